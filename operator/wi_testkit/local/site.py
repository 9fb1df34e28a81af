"""An installation for load and outages: ``Lab``'s plane and issuer, the emulated clouds, and controllers as one wants them."""

from __future__ import annotations

import json
import os
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self, TypeVar
from urllib.parse import urlsplit

from wi_testkit.controlplane.plane import Plane, find_ports
from wi_testkit.entra.server import Entra
from wi_testkit.keyvault.server import KeyVault
from wi_testkit.lab import GRANTS_NAME, Lab
from wi_testkit.local.api import Api, CallError
from wi_testkit.local.process import Started
from wi_testkit.pki import CertificateAuthority
from wi_testkit.stage.chart import NAMESPACE

LEASE = f"/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases/wi-controller"
ACCOUNT = "wi-controller"
HANDSHAKE_AUDIENCE = "wi-issuer-controller"
PATIENCE = 60.0

T = TypeVar("T")


class SiteError(RuntimeError):
    """Something did not come in time."""


@dataclass(slots=True)
class Site:
    """A context manager; it has no controller until one is started."""

    authority: CertificateAuthority
    entra: Entra
    keyvault: KeyVault
    lab: Lab = field(init=False)
    api: Api = field(init=False)
    _stack: ExitStack = field(default_factory=ExitStack)

    def __enter__(self) -> Self:
        """Install; the lab's controller makes keys and certificates, then it ends."""
        self.lab = self._stack.enter_context(Lab(self.authority))
        self.lab.stop_mounting()
        self.lab.stop("controller-0")
        self.api = Api(self.plane.kubeconfig)
        self.forget_lease()
        return self

    def __exit__(self, *_: object) -> None:
        """End every process."""
        self._stack.close()

    @property
    def plane(self) -> Plane:
        """The API server's plane."""
        return self.lab.plane

    def start_controller(self, name: str, *, server: str = "", core: int | None = None, **settings: object) -> Started:
        """Start a controller whose pod is called ``name``; ``server`` is what stands before the API server.

        It runs as the chart's account, with tokens that are bound to that pod. ``settings`` are those of the process
        without their prefix, in lower case.
        """
        folder = self.lab.folder / name
        if not folder.exists():
            folder.mkdir()
            self.lab.add_pod(NAMESPACE, name, ACCOUNT)
        token = folder / "token"
        token.write_text(self.lab.pod_token(NAMESPACE, name, ACCOUNT, audience=HANDSHAKE_AUDIENCE))
        (health,) = find_ports(1)
        own: dict[str, object] = {
            "pod_name": name,
            "token_file": token,
            "public_url": self.lab.url,
            "grants_url": f"https://{GRANTS_NAME}:{self.lab.ports[1]}",
            "extra_ca_file": self.lab.folder / "extra-ca.crt",
            "health_port": health,
            **settings,
        }
        environment = {f"WI_{key.upper()}": str(value) for key, value in own.items()}
        environment["KUBECONFIG"] = str(self._write_kubeconfig(folder / "kubeconfig", name, server))
        clouds = (("entra", self.entra.url), ("vault", self.keyvault.url))
        arguments = [f"--{cloud}={urlsplit(url).port}" for cloud, url in clouds]
        arguments += [] if core is None else [f"--core={core}"]
        started = Started.start(name, [*arguments, "controller"], environment, health)
        self._stack.callback(started.stop)
        return started

    def _write_kubeconfig(self, path: Path, pod: str, server: str) -> Path:
        document = json.loads(self.plane.kubeconfig.read_text())
        if server:
            document["clusters"][0]["cluster"]["server"] = server
        document["users"][0]["user"] = {"token": self.lab.pod_token(NAMESPACE, pod, ACCOUNT, audience="")}
        with open(path, "w", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
            json.dump(document, file)
        return path

    def forget_lease(self) -> None:
        """Let the next controller lead at once."""
        self.api.delete(LEASE)

    def holder(self) -> str:
        """Return who holds the Lease, ``""`` for nobody."""
        try:
            return str(self.api.get(LEASE)["spec"].get("holderIdentity") or "")
        except CallError as error:
            if error.status != 404:
                raise
            return ""


def eventually(check: Callable[[], T], what: str, seconds: float = PATIENCE) -> T:
    """Return what ``check`` returns once it is true; raises ``SiteError`` naming ``what``."""
    deadline = time.monotonic() + seconds
    while not (found := check()):
        if time.monotonic() > deadline:
            raise SiteError(f"{what} did not come within {seconds:.0f} s")
        time.sleep(0.1)
    return found


def status_of_url(url: str) -> int:
    """Return the status of a GET over plain HTTP, 0 for none."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=5) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code
    except OSError:
        return 0
