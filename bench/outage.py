"""Kickoffs while the issuer is gone, and while the API server hangs: none may fail for twelve minutes, in real time.

    MINUTES=12 python bench/outage.py

Two sidecars with the settings of an installation, each with an issuer of its own. Their clocks leap to the moment before
the renewal of their grants, the worst one for an outage; then one issuer is killed, and the API server of the other one is
stopped. Every ten seconds each of them kicks off with a secret that was rotated a moment before. Afterwards all comes back.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from figures import ROOT, find_python

from wi_testkit.entra.server import Entra, running_entra
from wi_testkit.keyvault.server import KeyVault, running_keyvault
from wi_testkit.lab import GRANTS_NAME, Lab
from wi_testkit.pki import CertificateAuthority

STEP_SECONDS = 10.0
ORGANIZATION = "3f2504e0-4f89-41d3-9a0c-0305e82c3301"
TENANT, CLIENT = "11111111-2222-4333-8444-555555555555", "99999999-8888-4777-8666-555555555555"
DAY = 86400.0
"""For about so long a cloud remembers an issuer's keys; the emulator is told the same."""
BOOT = """
import os, signal, socket, sys
from wi_testkit.local.start import with_services
from wi_testkit.emulation.names import redirecting
plain = socket.getaddrinfo
socket.getaddrinfo = with_services(plain, redirecting(plain, *map(int, sys.argv[1:3])))
from wi_operator.core import clock
from wi_operator.agent import grant_set
grant_set.JITTER = 0.0
ahead = 0.0
class Leaping(clock.SystemClock):
    def now(self): return super().now() + ahead
    def monotonic(self): return super().monotonic() + ahead
clock.SystemClock = Leaping
def leap(*_):
    global ahead
    ahead = float(sys.argv[3])
signal.signal(signal.SIGUSR1, leap)
from wi_operator.agent.process import main
sys.exit(main(os.environ))
"""
"""The sidecar with the clouds' names leading to the emulators, the latest renewal, and a clock that leaps when it is told."""


@dataclass(slots=True)
class Pod:
    """A sidecar process and its launcher; ``told`` holds what failed."""

    lab: Lab
    entra: Entra
    keyvault: KeyVault
    vault: str
    replica: int
    leap: float
    folder: Path = field(init=False)
    process: subprocess.Popen[bytes] = field(init=False)
    kickoffs: int = 0
    told: list[str] = field(default_factory=list)

    def start(self) -> None:
        """Start the sidecar, with a real token of a real pod."""
        self.folder = Path(tempfile.mkdtemp(prefix="wi-", dir="/tmp"))
        (self.folder / "token").write_text(self.lab.pod_token("team-a", "kick"))
        entries = [{"name": "VALUE", "reference": f"secret://{self.vault}/value"}]
        environ = {
            "PYTHONPATH": str(ROOT / "operator"),
            "WI_DECLARATION": json.dumps({"version": 1, "containers": {"app": {"entries": entries}}}),
            "WI_GRANTS_URL": f"https://{GRANTS_NAME}:{self.lab.ports[4 * self.replica + 1]}",
            "WI_CA_BUNDLE": (self.lab.folder / "ca" / "ca.crt").read_text(),
            "WI_TOKEN_FILE": str(self.folder / "token"),
            "WI_RUN_DIR": str(self.folder / "run"),
        }
        ports = [str(urlsplit(each.url).port) for each in (self.entra, self.keyvault)]
        command = [sys.executable, "-c", BOOT, *ports, str(self.leap)]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(command, env=environ, stderr=log)
        self.lab.wait(lambda: (self.folder / "run/app/started").exists(), "the sidecar")

    def kick(self) -> None:
        """Rotate the secret and kick off; note what went wrong."""
        self.kickoffs += 1
        value = f"fake-{self.vault}-{self.kickoffs}"
        self.keyvault.set_secret(self.vault, "value", value)
        launcher = self.folder / "run/app/launch.py"
        command = [find_python(), "-I", "-S", str(launcher), "--", "sh", "-c", 'printf %s "$VALUE"']
        done = subprocess.run(command, env={"PATH": os.environ["PATH"]}, capture_output=True, text=True, check=False)
        if done.stdout != value:
            self.told.append(f"kickoff {self.kickoffs}: {done.stdout!r} {done.stderr.strip()[-400:]}")

    def count(self, message: str) -> int:
        """Count the log lines with this message."""
        lines = (self.folder / "log").read_text().splitlines()
        return sum(json.loads(line)["message"] == message for line in lines if line.startswith("{"))

    def stop(self) -> None:
        """End it."""
        self.process.terminate()
        self.process.wait(10)
        shutil.rmtree(self.folder)


def set_up(lab: Lab, entra: Entra, keyvault: KeyVault, vaults: list[str]) -> None:
    """Make the organization, its app, and a vault with its credential for each sidecar."""
    lab.add_namespace("team-a", ORGANIZATION)
    lab.add_pod("team-a", "kick")
    entra.add_tenant(TENANT)
    principal = entra.add_application(TENANT, CLIENT)
    subject = f"organization:{ORGANIZATION}"
    entra.trust(TENANT, CLIENT, "team", issuer=lab.url, subject=subject, audience="api://AzureADTokenExchange")
    entra.set(jwksCacheSeconds=DAY)
    kinds = {
        "WorkloadIdentityConfig": {"azure": {"provider": "Azure", "azure": {"tenantId": TENANT, "clientId": CLIENT}}}
    }
    kinds["SecretProviderCredential"] = {}
    for vault in vaults:
        keyvault.add_vault(vault, TENANT)
        keyvault.assign(vault, principal, "Key Vault Secrets User")
        block = {"vaultUrl": f"https://{vault}.vault.azure.net"}
        spec = {"provider": "AzureKeyVault", "workloadIdentityRef": {"name": "azure"}, "azureKeyVault": block}
        kinds["SecretProviderCredential"][vault] = spec
    for kind, specs in kinds.items():
        for name, spec in specs.items():
            metadata = {"name": name, "namespace": "team-a"}
            lab.apply({"apiVersion": "identity.crewai.com/v1alpha1", "kind": kind, "metadata": metadata, "spec": spec})
    token = lab.pod_token("team-a", "kick")
    for replica in range(lab.issuers):
        lab.wait(
            lambda replica=replica: (
                len(lab.grant(token, *vaults, replica=replica).document.get("grants", ())) == len(vaults)
            ),
            "the first grants",
        )


@contextlib.contextmanager
def running(pods: list[Pod]) -> Iterator[None]:
    try:
        for pod in pods:
            pod.start()
        yield
    finally:
        for pod in pods:
            pod.stop()


def run(lab: Lab, without_issuer: Pod, without_server: Pod, seconds: float) -> int:
    """Kick off before, during and after the outages; return 1 when one failed."""
    pods = [without_issuer, without_server]
    for pod in pods:
        pod.kick()
        pod.process.send_signal(signal.SIGUSR1)
        pod.kick()
    lab.stop_mounting()  # it asks the API server all the time
    server = lab.plane.find_pid("kube-apiserver")
    os.kill(lab.pid("issuer-0"), signal.SIGKILL)
    os.kill(server, signal.SIGSTOP)
    began, before = time.monotonic(), [pod.kickoffs for pod in pods]
    try:
        while time.monotonic() < began + seconds:
            following = time.monotonic() + STEP_SECONDS
            for pod in pods:
                pod.kick()
            time.sleep(max(0.0, following - time.monotonic()))
    finally:
        os.kill(server, signal.SIGCONT)
    lasted = time.monotonic() - began
    for pod, gone, count in zip(pods, ("issuer killed", "API server stopped"), before, strict=True):
        told, during = "\n".join(pod.told[:3]), pod.kickoffs - count
        stale = pod.count("stale grant")
        print(
            f"{gone} for {lasted / 60:.1f} min: kickoffs {during}, failed {len(pod.told)}; {stale} with a stale grant\n{told}"
        )
    lab.stop("issuer-0")
    lab.start_issuer(0)
    # A kubelet brings a new token long before the old one ends.
    for pod in pods:
        (pod.folder / "token").write_text(lab.pod_token("team-a", "kick"))
        lab.wait(lambda pod=pod: is_fresh(pod), "the way back")
    # A token that was just reviewed is believed for 45 s: only then does the issuer miss the API server.
    was_missed = seconds < 60 or all(pod.count("stale grant") for pod in pods)
    is_met = was_missed and all(not pod.told for pod in pods)
    print("everything is back" if is_met else "the promise was not kept")
    return 0 if is_met else 1


def is_fresh(pod: Pod) -> bool:
    """Kick off; tell whether the issuer has confirmed the grant."""
    before = pod.count("stale grant")
    pod.kick()
    return pod.count("stale grant") == before


def main() -> int:
    minutes = float(os.environ.get("MINUTES") or 12)
    authority, vaults = CertificateAuthority(), ["by-issuer", "by-server"]
    leap = 0.79 * 3600 - 30.0
    with contextlib.ExitStack() as stack:
        entra = stack.enter_context(running_entra(authority))
        keyvault = stack.enter_context(running_keyvault(authority, entra.url))
        lab = stack.enter_context(Lab(authority, issuers=2))
        set_up(lab, entra, keyvault, vaults)
        pods = [Pod(lab, entra, keyvault, vault, replica, leap) for replica, vault in enumerate(vaults)]
        with running(pods):
            return run(lab, *pods, minutes * 60)


if __name__ == "__main__":
    sys.exit(main())
