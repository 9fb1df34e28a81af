"""An installation of local processes: what the chart installs, less the pods; the kubelet's part is done by hand.

The controller makes keys and certificates, as it does in a cluster. What a kubelet would mount is written to files: the
Secrets and ConfigMaps of the issuer, and pod-bound tokens that the API server made for Pod objects that run nowhere.
"""

from __future__ import annotations

import base64
import json
import os
import socket
import time
import urllib.error
import urllib.request
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

import yaml

from wi_testkit.controlplane.plane import Plane
from wi_testkit.entra.server import Entra
from wi_testkit.keyvault.server import KeyVault
from wi_testkit.local.api import Api, CallError, Item
from wi_testkit.local.process import Started
from wi_testkit.pki import CertificateAuthority

SYSTEM = "wi-system"
MANIFESTS = Path(__file__).resolve().parents[3] / "manifests" / "install.yaml"
WITHOUT = frozenset({"Deployment", "Service", "PodDisruptionBudget"})
LEASE = f"/apis/coordination.k8s.io/v1/namespaces/{SYSTEM}/leases/wi-controller"
PATIENCE = 30.0
TOKEN_SECONDS = 4 * 3600


class SiteError(RuntimeError):
    """Something of the installation did not come up in time."""


@dataclass(slots=True)
class Site:
    """A context manager; ``folder`` takes its files. One issuer, any number of controllers."""

    plane: Plane
    ca: CertificateAuthority
    entra: Entra
    keyvault: KeyVault
    folder: Path
    api: Api = field(init=False)
    issuer_url: str = field(init=False)
    issuer: Started | None = None
    _grants_port: int = field(init=False)
    _cleanup: ExitStack = field(default_factory=ExitStack)

    def __enter__(self) -> Self:
        """Install, let a controller make keys and certificates, and start the issuer."""
        self.api = Api(self.plane.kubeconfig)
        self._grants_port, public = free_ports(2)
        self.issuer_url = f"https://localhost:{public}"
        self.ca.write(self.folder / "ca.crt")
        try:
            self._install()
            first = self.start_controller("first")
            try:
                self._start_issuer(public)
            except SiteError as error:
                raise SiteError(f"{error}; the controller says: {first.tail()}") from error
            first.stop()
            self.forget_lease()
        except BaseException:
            self._cleanup.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """End every process."""
        self._cleanup.close()

    def _install(self) -> None:
        items = [item for item in yaml.safe_load_all(MANIFESTS.read_text()) if item and item["kind"] not in WITHOUT]
        self.plane.run_kubectl("apply", "--server-side", "--filename=-", stdin=yaml.safe_dump_all(items))
        crds = [f"crd/{item['metadata']['name']}" for item in items if item["kind"] == "CustomResourceDefinition"]
        self.plane.run_kubectl("wait", "--for=condition=Established", "--timeout=30s", *crds)

    def start_controller(
        self, name: str, *, server: str = "", core: int | None = None, **settings: object
    ) -> Started:
        """Start a controller called ``name``; ``server`` stands between it and the API server.

        ``settings`` are those of the process without their prefix, in lower case.
        """
        (port,) = free_ports(1)
        pod = f"wi-controller-{name}"
        folder = self.folder / pod
        folder.mkdir(exist_ok=True)
        (folder / "token").write_text(self._request_token("wi-controller", pod, "wi-issuer-controller"))
        own = {
            "pod_name": pod,
            "token_file": folder / "token",
            "grants_url": f"https://wi-issuer-grants.{SYSTEM}.svc:{self._grants_port}",
            "health_port": port,
            **settings,
        }
        arguments = [] if core is None else [f"--core={core}"]
        return self._start("controller", pod, arguments, server, own)

    def _start_issuer(self, public: int) -> None:
        (health,) = free_ports(1)
        folder = self.folder / "issuer"
        self._mount("secrets", "wi-issuer-keys", folder / "keys")
        self._mount("secrets", "wi-issuer-tls", folder / "tls")
        self._mount("configmaps", "wi-issuer-state", folder / "state")
        self.ca.issue(["localhost"]).write(folder / "public-tls")
        own = {
            "keys_dir": folder / "keys",
            "tls_dir": folder / "tls",
            "state_dir": folder / "state",
            "public_tls_dir": folder / "public-tls",
            "public_port": public,
            "grants_port": self._grants_port,
            "health_port": health,
            "drain_seconds": 0,
        }
        self.issuer = self._start("issuer", "wi-issuer", [], "", own)
        await_answer(f"http://127.0.0.1:{health}/readyz")

    def _start(self, kind: str, name: str, arguments: list[str], server: str, own: dict[str, object]) -> Started:
        ports = [f"--{cloud}={urlsplit(url).port}" for cloud, url in self._clouds()]
        settings = {
            "namespace": SYSTEM,
            "public_url": self.issuer_url,
            "extra_ca_file": self.folder / "ca.crt",
            **own,
        }
        environment = {f"WI_{key.upper()}": str(value) for key, value in settings.items()}
        environment["KUBECONFIG"] = str(self._write_kubeconfig(name, f"wi-{kind}", server))
        started = Started.start(name, [*ports, *arguments, kind], environment)
        self._cleanup.callback(started.stop)
        return started

    def _clouds(self) -> list[tuple[str, str]]:
        return [("entra", self.entra.url), ("vault", self.keyvault.url)]

    def _write_kubeconfig(self, pod: str, account: str, server: str) -> Path:
        document = json.loads(self.plane.kubeconfig.read_text())
        if server:
            document["clusters"][0]["cluster"]["server"] = server
        document["users"][0]["user"] = {"token": self._request_token(account, pod)}
        path = self.folder / f"{pod}.kubeconfig"
        with open(path, "w", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
            json.dump(document, file)
        return path

    def _request_token(self, account: str, pod: str, audience: str = "") -> str:
        uid = self._ensure_pod(account, pod)
        spec: dict[str, Any] = {
            "expirationSeconds": TOKEN_SECONDS,
            "boundObjectRef": {"apiVersion": "v1", "kind": "Pod", "name": pod, "uid": uid},
        }
        if audience:
            spec["audiences"] = [audience]
        path = f"/api/v1/namespaces/{SYSTEM}/serviceaccounts/{account}/token"
        answer = self.api.call(
            "POST", path, {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
        )
        return str(answer["status"]["token"])

    def _ensure_pod(self, account: str, pod: str) -> str:
        path = f"/api/v1/namespaces/{SYSTEM}/pods"
        try:
            return str(self.api.get(f"{path}/{pod}")["metadata"]["uid"])
        except CallError as error:
            if error.status != 404:
                raise
        return str(self.api.call("POST", path, render_pod(account, pod))["metadata"]["uid"])

    def _mount(self, resource: str, name: str, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        path = f"/api/v1/namespaces/{SYSTEM}/{resource}/{name}"
        data = eventually(lambda: self._find(path), f"{resource}/{name}")["data"]
        for file, text in data.items():
            target = folder / file
            target.touch(mode=0o600)
            target.write_bytes(base64.b64decode(text) if resource == "secrets" else text.encode())

    def _find(self, path: str) -> Item | None:
        try:
            return self.api.get(path)
        except CallError as error:
            if error.status != 404:
                raise
            return None

    def forget_lease(self) -> None:
        """Let the next controller lead at once."""
        self.api.delete(LEASE)


def render_pod(account: str, name: str) -> Item:
    """Return a Pod that runs nowhere, for a token to be bound to."""
    security = {
        "allowPrivilegeEscalation": False,
        "runAsNonRoot": True,
        "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": SYSTEM},
        "spec": {
            "serviceAccountName": account,
            "automountServiceAccountToken": False,
            "containers": [{"name": "process", "image": "none", "securityContext": security}],
        },
    }


def eventually(check: Any, what: str, seconds: float = PATIENCE) -> Any:
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


def await_answer(url: str, status: int = 200) -> None:
    """Wait until ``url`` answers ``status``."""
    eventually(lambda: status_of_url(url) == status, url)


def free_ports(count: int) -> list[int]:
    """Return ports of loopback that were free just now, all different."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [int(each.getsockname()[1]) for each in sockets]
