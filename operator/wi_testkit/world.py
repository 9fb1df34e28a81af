"""Teams in a staged cluster: organization, app, vault and objects of each, and kickoffs in real pods."""

from __future__ import annotations

import hashlib
import json
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from wi_testkit.stage.clusters import Cluster
from wi_testkit.stage.emulators import StagedEntra, StagedKeyVault
from wi_testkit.stage.errors import StageError

GROUP = "identity.crewai.com"
AUDIENCE = "api://AzureADTokenExchange"
USER_ROLE = "Key Vault Secrets User"
SHOW = """
import hashlib, os
for name in sorted(os.environ):
    if name.startswith("APP_"):
        print(name, hashlib.sha256(os.environ[name].encode()).hexdigest()[:12], flush=True)
"""
"""Print name and fingerprint of every variable ``APP_*``."""


def fingerprint(value: str) -> str:
    """Return what SHOW prints for ``value``."""
    return hashlib.sha256(value.encode()).hexdigest()[:12]


@dataclass(slots=True)
class Outcome:
    """How a kickoff Job ended; times in seconds."""

    succeeded: bool
    log: str
    sidecar_log: str
    exit_code: int | None
    termination_message: str
    pod: dict[str, Any]
    job: dict[str, Any]

    @property
    def fingerprints(self) -> dict[str, str]:
        """Variable → fingerprint as the application saw it."""
        pairs = (line.split() for line in self.log.splitlines())
        return {pair[0]: pair[1] for pair in pairs if len(pair) == 2 and pair[0].startswith("APP_")}


@dataclass(slots=True)
class World:
    """A cluster on which the product and the emulators run."""

    cluster: Cluster
    entra: StagedEntra
    keyvault: StagedKeyVault
    issuer_url: str
    app_image: str
    tenant: str = field(default_factory=lambda: str(uuid.uuid4()))

    def kubectl(self, *arguments: str, stdin: str | None = None, timeout: float = 120) -> str:
        """Return kubectl's output; raises CommandError with its complaint."""
        return self.cluster.kubectl(*arguments, stdin=stdin, timeout=timeout)

    def add_team(self, name: str) -> Team:
        """Make a namespace with an organization, an app that trusts it and a vault that it may read."""
        team = Team(self, name)
        self.entra.add_tenant(self.tenant)
        team.principal = self.entra.add_application(self.tenant, team.client)
        team.trust()
        self.keyvault.add_vault(team.vault, self.tenant)
        self.keyvault.assign(team.vault, team.principal, USER_ROLE)
        self.cluster.apply([team.render_namespace()])
        return team


@dataclass(slots=True)
class Team:
    """One namespace and what belongs to it in the cloud."""

    world: World
    name: str
    organization: str = field(default_factory=lambda: str(uuid.uuid4()))
    client: str = field(default_factory=lambda: str(uuid.uuid4()))
    principal: str = ""

    @property
    def subject(self) -> str:
        """The subject that the app trusts."""
        return f"organization:{self.organization}"

    def trust(self, subject: str = "") -> None:
        """Create or change the app's federated credential; the subject is the team's unless given."""
        self.world.entra.trust(
            self.world.tenant,
            self.client,
            self.name,
            issuer=self.world.issuer_url,
            subject=subject or self.subject,
            audience=AUDIENCE,
        )

    @property
    def vault(self) -> str:
        """Name of the team's vault."""
        return f"v-{self.name}"[:24]

    def render_namespace(self) -> dict[str, Any]:
        """Return the namespace: restricted, with its organization."""
        return {
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {
                "name": self.name,
                "labels": {"pod-security.kubernetes.io/enforce": "restricted"},
                "annotations": {f"{GROUP}/organization": self.organization},
            },
        }

    def apply_config(self, name: str = "azure", **azure: Any) -> None:
        """Create or change a WorkloadIdentityConfig."""
        block = {"tenantId": self.world.tenant, "clientId": self.client} | azure
        self._apply("WorkloadIdentityConfig", name, {"provider": "Azure", "default": name == "azure", "azure": block})

    def apply_credential(self, name: str = "demo", *, vault: str = "", config: str = "azure", **spec: Any) -> None:
        """Create or change a SecretProviderCredential."""
        self._apply(
            "SecretProviderCredential",
            name,
            {
                "provider": "AzureKeyVault",
                "workloadIdentityRef": {"name": config},
                "azureKeyVault": {"vaultUrl": f"https://{vault or self.vault}.vault.azure.net"},
            }
            | spec,
        )

    def _apply(self, kind: str, name: str, spec: Mapping[str, Any]) -> None:
        metadata = {"name": name, "namespace": self.name}
        self.world.cluster.apply(
            [{"apiVersion": f"{GROUP}/v1alpha1", "kind": kind, "metadata": metadata, "spec": spec}]
        )

    def wait_ready(self, *objects: str, seconds: int = 60) -> None:
        """Wait for the condition Ready of ``wic/name`` or ``spcred/name``."""
        self.kubectl("wait", "--for=condition=Ready", f"--timeout={seconds}s", *objects)

    def wait_reason(self, what: str, reason: str, *, seconds: float = 60) -> dict[str, Any]:
        """Wait until Ready of ``what`` has ``reason``; returns the condition; raises StageError with the last one."""
        deadline = time.monotonic() + seconds
        while True:
            conditions = json.loads(self.kubectl("get", what, "-o", "json")).get("status", {}).get("conditions", [])
            ready: dict[str, Any] = next((c for c in conditions if c["type"] == "Ready"), {})
            if ready.get("reason") == reason:
                return ready
            if time.monotonic() > deadline:
                raise StageError(f"{what} in {self.name} did not become {reason}: {ready}")
            time.sleep(0.3)

    def set_up(self) -> None:
        """Create the usual config and credential and wait until they are Ready."""
        self.apply_config()
        self.apply_credential()
        self.wait_ready("wic/azure", "spcred/demo")

    def set_secret(self, name: str, value: str, *, vault: str = "") -> str:
        """Set or rotate a secret; returns its version."""
        return str(self.world.keyvault.set_secret(vault or self.vault, name, value))

    def kubectl(self, *arguments: str, stdin: str | None = None, timeout: float = 120) -> str:
        """Run kubectl in the team's namespace."""
        return self.world.kubectl("--namespace", self.name, *arguments, stdin=stdin, timeout=timeout)

    def render_pod(
        self, variables: Mapping[str, str], command: Sequence[str], *, label: bool = True, **more: Any
    ) -> dict[str, Any]:
        """Return metadata and spec of a restricted pod with one container ``app``."""
        container = {
            "name": "app",
            "image": self.world.app_image,
            "imagePullPolicy": "IfNotPresent",
            "command": list(command),
            "env": [{"name": name, "value": value} for name, value in variables.items()],
            "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        }
        spec = {
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 5,
            "securityContext": {"runAsNonRoot": True, "runAsUser": 1000, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [container | more.pop("container", {})],
        }
        labels = {f"{GROUP}/inject": "true"} if label else {}
        return {"metadata": {"labels": labels, "annotations": more.pop("annotations", {})}, "spec": spec | more}

    def kick(
        self, name: str, variables: Mapping[str, str], *, command: Sequence[str] = ("python3", "-c", SHOW), **more: Any
    ) -> Outcome:
        """Run a Job to its end and tell how it ended; an earlier Job of that name is replaced."""
        self.kubectl("delete", "job", name, "--ignore-not-found", "--wait", "--cascade=foreground")
        job = {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {"name": name, "namespace": self.name},
            "spec": {"backoffLimit": 0, "template": self.render_pod(variables, command, **more)},
        }
        self.kubectl("create", "--filename=-", stdin=json.dumps(job))
        return self._wait_for_job(name)

    def _wait_for_job(self, name: str, *, seconds: float = 90) -> Outcome:
        deadline = time.monotonic() + seconds
        while True:
            job = json.loads(self.kubectl("get", "job", name, "-o", "json"))
            ended = {c["type"] for c in job.get("status", {}).get("conditions", []) if c["status"] == "True"}
            if ended & {"Complete", "Failed"}:
                return self._read_outcome(job, succeeded="Complete" in ended)
            if time.monotonic() > deadline:
                raise StageError(f"Job {self.name}/{name} did not end within {seconds:.0f} s\n{self.describe()}")
            time.sleep(0.3)

    def _read_outcome(self, job: dict[str, Any], *, succeeded: bool) -> Outcome:
        selector = f"--selector=job-name={job['metadata']['name']}"
        pod = json.loads(self.kubectl("get", "pods", selector, "-o", "json"))["items"][0]
        name = pod["metadata"]["name"]
        statuses = {s["name"]: s for s in pod["status"].get("containerStatuses", [])}
        ended = statuses.get("app", {}).get("state", {}).get("terminated", {})
        has_sidecar = any(c["name"] == "wi-sidecar" for c in pod["spec"].get("initContainers", []))
        return Outcome(
            succeeded=succeeded,
            log=self.kubectl("logs", name, "-c", "app"),
            sidecar_log=self.kubectl("logs", name, "-c", "wi-sidecar") if has_sidecar else "",
            exit_code=ended.get("exitCode"),
            termination_message=ended.get("message", ""),
            pod=pod,
            job=job,
        )

    def describe(self) -> str:
        """Return what helps when something did not end: pods and events of the namespace."""
        return self.kubectl("get", "pods,jobs,events", "-o", "wide")

    def start_worker(self, name: str, variables: Mapping[str, str]) -> Worker:
        """Start a pod that runs on, in which kickoffs can be made at will; an earlier one of that name is replaced."""
        self.kubectl("delete", "pod", name, "--ignore-not-found", "--grace-period=1")
        pod = self.render_pod(variables, ["python3", "-c", "import time; time.sleep(3600)"])
        pod |= {"apiVersion": "v1", "kind": "Pod"}
        pod["metadata"] |= {"name": name, "namespace": self.name}
        self.kubectl("create", "--filename=-", stdin=json.dumps(pod))
        self.kubectl("wait", "--for=condition=Ready", "--timeout=60s", f"pod/{name}")
        return Worker(self, name)


ENDS_AT_ONCE = "import os, signal; signal.signal(signal.SIGTERM, lambda *_: os._exit(0)); signal.pause()"


def render_bare_sidecar(image: str) -> dict[str, Any]:
    """Return a native sidecar that does nothing, and ends at once when it is told to: what any sidecar costs."""
    return {
        "name": "bare",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "restartPolicy": "Always",
        "command": ["python3", "-I", "-S", "-c", ENDS_AT_ONCE],
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }


KICK_LOOP = """
import subprocess, sys, time
end, done, failed = time.monotonic() + float(sys.argv[1]), 0, 0
while time.monotonic() < end:
    run = subprocess.run([sys.executable, '-I', '-S', '/run/wi/launch.py', '--', 'true'], capture_output=True, text=True)
    done += 1
    if run.returncode:
        failed += 1
        print(run.stderr, file=sys.stderr, flush=True)
    time.sleep(0.1)
print(f'kickoffs {done}, failed {failed}')
"""


@dataclass(slots=True)
class Worker:
    """A pod that runs on."""

    team: Team
    name: str

    def kick(self, *command: str) -> str:
        """Make one kickoff in the application's container; returns what ``command`` prints (SHOW by default)."""
        wanted = command or ("python3", "-c", SHOW)
        launcher = ("python3", "-I", "-S", "/run/wi/launch.py", "--")
        return self.team.kubectl("exec", self.name, "-c", "app", "--", *launcher, *wanted)

    def kick_for(self, seconds: float) -> str:
        """Make kickoffs for ``seconds``; returns ``kickoffs N, failed M``."""
        loop = ("python3", "-c", KICK_LOOP, str(seconds))
        return self.team.kubectl("exec", self.name, "-c", "app", "--", *loop, timeout=seconds + 60).strip()

    def sidecar_log(self) -> str:
        """Return the sidecar's log."""
        return self.team.kubectl("logs", self.name, "-c", "wi-sidecar")
