"""The operator's own processes on a bare plane, with the chart's rights and no others; kubelet and scheduler are played here.

``Lab`` runs the controller and issuers as processes, brings them Secrets and ConfigMaps as mounted folders, and makes pods
whose tokens are real ones of the API server.
"""

from __future__ import annotations

import base64
import http.client
import json
import os
import shutil
import socket
import ssl
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from wi_testkit.controlplane.plane import Plane, find_ports
from wi_testkit.controlplane.processes import Process, spawn, terminate
from wi_testkit.pki import CertificateAuthority
from wi_testkit.stage.chart import DEFINITIONS, NAMESPACE, render_objects
from wi_testkit.stage.errors import StageError
from wi_testkit.stage.images import ROOT

GRANTS_NAME = f"wi-issuer-grants.{NAMESPACE}.svc"
PARTS = (
    "crd-workloadidentityconfigs", "crd-secretprovidercredentials", "rbac-controller", "rbac-issuer", "rbac-webhook",
    "rbac-users", "serviceaccounts", "policy-organization", "webhook-configuration",
)  # fmt: skip
MOUNTS = (
    ("secret", "wi-issuer-keys", "keys"),
    ("configmap", "wi-issuer-state", "state"),
    ("secret", "wi-issuer-tls", "tls"),
    ("secret", "wi-webhook-tls", "webhook-tls"),
    ("configmap", "wi-ca-bundle", "ca"),
)
MOUNT_SECONDS = 0.5
PATIENCE = 90.0
AUDIT_POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "rules": [{"level": "Metadata", "omitStages": ["RequestReceived"]}],
}


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer; ``document`` is its JSON, or empty."""

    status: int
    headers: Mapping[str, str]
    document: Any

    @property
    def reason(self) -> str:
        """The problem document's reason."""
        return str(self.document.get("reason", "")) if isinstance(self.document, dict) else ""


@dataclass(slots=True)
class Lab:
    """A context manager; ``settings`` are further variables of every process, ``issuers`` the number of replicas."""

    authority: CertificateAuthority
    issuers: int = 1
    settings: Mapping[str, str] = field(default_factory=dict)
    plane: Plane = field(init=False)
    folder: Path = field(init=False)
    ports: list[int] = field(init=False)
    _stack: ExitStack = field(default_factory=ExitStack)
    _stopped: threading.Event = field(default_factory=threading.Event)
    _processes: dict[str, Process] = field(default_factory=dict)

    def __enter__(self) -> Self:
        """Start everything; returns when all issuers are ready. Raises ControlPlaneError, StageError."""
        self.folder = Path(tempfile.mkdtemp(prefix="wi-lab-"))
        self._stack.callback(shutil.rmtree, self.folder, ignore_errors=True)
        try:
            self._start()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End every process."""
        self._stack.close()

    @property
    def url(self) -> str:
        """The public URL: that of the first replica."""
        return f"https://localhost:{self.ports[0]}"

    @property
    def audit_log(self) -> Path:
        """The API server's audit log, a JSON object a line."""
        return self.folder / "audit.log"

    def _start(self) -> None:
        policy = self.folder / "audit.yaml"
        policy.write_text(json.dumps(AUDIT_POLICY))
        flags = [f"--audit-policy-file={policy}", f"--audit-log-path={self.audit_log}"]
        self.plane = self._stack.enter_context(
            Plane(flags=flags, controllers=["serviceaccount-controller", "clusterrole-aggregation-controller"])
        )
        self.ports = find_ports(4 * self.issuers + 1)
        self._stack.callback(self._end)
        self.apply(*self._render_chart())
        self.plane.run_kubectl("wait", "--for=condition=Established", f"--filename={DEFINITIONS}", "--timeout=30s")
        self.authority.issue(["localhost", "127.0.0.1"]).write(self.folder / "public-tls")
        self.authority.write(self.folder / "extra-ca.crt")
        self._run("controller", WI_TOKEN_FILE=str(self.folder / "token"), WI_HEALTH_PORT=str(self.ports[-1]))
        threading.Thread(target=self._mount, daemon=True).start()
        self.wait(lambda: all((self.folder / target).exists() for _, _, target in MOUNTS), "mounted folders")
        for number in range(self.issuers):
            self.start_issuer(number)

    def _end(self) -> None:
        self._stopped.set()
        for process in reversed(list(self._processes.values())):
            terminate(process, grace=5.0)

    def _render_chart(self) -> list[dict[str, Any]]:
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
        return [namespace, *render_objects({"image": {"ref": "unused"}}, only=PARTS)]

    def apply(self, *items: Mapping[str, Any]) -> None:
        """Create or change objects as cluster admin."""
        text = json.dumps({"apiVersion": "v1", "kind": "List", "items": list(items)})
        self.plane.run_kubectl("apply", "--server-side", "--filename=-", stdin=text)

    def read(self, kind: str, name: str, namespace: str = NAMESPACE) -> dict[str, Any]:
        """Return an object."""
        found: dict[str, Any] = json.loads(
            self.plane.run_kubectl("get", kind, name, f"--namespace={namespace}", "--output=json")
        )
        return found

    def wait(self, is_true: Callable[[], object], what: str | Callable[[], str], *, patience: float = PATIENCE) -> None:
        """Wait until it is; raises StageError with the last lines of every log."""
        deadline = time.monotonic() + patience
        while not is_true():
            if time.monotonic() > deadline:
                logs = (f"{name}: {self.log(name)[-800:]}" for name in self._processes)
                missed = what if isinstance(what, str) else what()
                raise StageError(f"{missed}: not within {patience:.0f} s\n" + "\n".join(logs))
            time.sleep(0.05)

    def log(self, name: str) -> str:
        """Return what a process has logged."""
        file = self.folder / f"{name}.log"
        return file.read_text() if file.exists() else ""

    def start_issuer(self, number: int = 0) -> None:
        """Start a replica and wait until it is ready."""
        public, grants, health, _ = self.ports[4 * number : 4 * number + 4]
        mounts = {f"WI_{name}_DIR": str(self.folder / name.lower()) for name in ("KEYS", "STATE", "TLS")}
        self._run(
            "issuer",
            number,
            **mounts,
            WI_CA_FILE=str(self.folder / "ca" / "ca.crt"),
            WI_PUBLIC_TLS_DIR=str(self.folder / "public-tls"),
            WI_PUBLIC_PORT=str(public),
            WI_GRANTS_PORT=str(grants),
            WI_HEALTH_PORT=str(health),
            WI_DRAIN_SECONDS="0",
        )
        self.wait(lambda: self._is_ready(health), f"issuer {number}")

    def start_webhook(self) -> tuple[int, int]:
        """Start the webhook and wait until it is ready; returns its port and that of its health."""
        serving, health = find_ports(2)
        self._run(
            "webhook",
            WI_TLS_DIR=str(self.folder / "webhook-tls"),
            WI_CA_FILE=str(self.folder / "ca" / "ca.crt"),
            WI_SIDECAR_IMAGE="unused",
            WI_PORT=str(serving),
            WI_HEALTH_PORT=str(health),
            WI_DRAIN_SECONDS="0",
        )
        self.wait(lambda: self._is_ready(health), "webhook")
        return serving, health

    def stop(self, name: str) -> None:
        """End one process, ``issuer-0`` for example."""
        terminate(self._processes.pop(name), grace=5.0)

    def pid(self, name: str) -> int:
        """Return a process's id."""
        return self._processes[name].pid

    def _run(self, what: str, number: int = 0, **settings: str) -> None:
        name = f"{what}-{number}"
        account = f"system:serviceaccount:{NAMESPACE}:wi-{what}"
        environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT / "operator"),
            "KUBECONFIG": str(self.plane.mint_kubeconfig(account)),
            "WI_POD_NAME": name,
            "WI_PUBLIC_URL": self.url,
            "WI_EXTRA_CA_FILE": str(self.folder / "extra-ca.crt"),
            **settings,
            **self.settings,
        }
        command = [sys.executable, "-m", "wi_operator.main", what]
        log = self.folder / f"{name}.log"
        self._processes[name] = spawn(name, command, log=log, environment=environment, leashed=True)

    def _is_ready(self, port: int) -> bool:
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
            connection.request("GET", "/readyz")
            return connection.getresponse().status == 200
        except OSError:
            return False

    def _mount(self) -> None:
        """Bring the objects into folders again and again, as a kubelet does."""
        while not self._stopped.wait(MOUNT_SECONDS):
            for kind, name, target in MOUNTS:
                found = self.plane.run_kubectl(
                    "get", kind, name, f"--namespace={NAMESPACE}", "--output=json", "--ignore-not-found"
                )
                if found and not self._stopped.is_set():
                    self._write(json.loads(found), self.folder / target)

    def stop_mounting(self) -> None:
        """Leave the folders as they are from now on: asking again and again would disturb a measurement."""
        self._stopped.set()

    def _write(self, item: Mapping[str, Any], folder: Path) -> None:
        is_secret = item["kind"] == "Secret"
        entries = {
            name: base64.b64decode(text) if is_secret else text.encode()
            for name, text in (item.get("data") or {}).items()
        }
        folder.mkdir(exist_ok=True)
        for file in folder.iterdir():
            if file.name not in entries:
                file.unlink()
        for name, entry in entries.items():
            file = folder / name
            if not file.exists() or file.read_bytes() != entry:
                draft = folder / f"..{name}"
                draft.write_bytes(entry)
                draft.rename(file)

    def add_namespace(self, name: str, organization: str = "") -> None:
        """Make a namespace with the accounts ``default`` and ``worker``."""
        annotations = {"identity.crewai.com/organization": organization} if organization else {}
        items = [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "annotations": annotations}}]
        items += [
            {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": account, "namespace": name}}
            for account in ("default", "worker")
        ]
        self.apply(*items)

    def add_pod(self, namespace: str, name: str, account: str = "worker", **metadata: Any) -> None:
        """Make a pod that nobody runs."""
        spec = {"serviceAccountName": account, "containers": [{"name": "app", "image": "unused"}]}
        head = {"name": name, "namespace": namespace, **metadata}
        self.apply({"apiVersion": "v1", "kind": "Pod", "metadata": head, "spec": spec})

    def mint_token(
        self, namespace: str, account: str = "worker", *, audience: str = "wi-issuer", bound: Sequence[str] = ()
    ) -> str:
        """Ask the API server for a token; ``bound`` is kind and name of what it ends with."""
        flags = [f"--bound-object-kind={bound[0]}", f"--bound-object-name={bound[1]}"] if bound else []
        flags += [f"--audience={audience}"] if audience else []
        return self.plane.run_kubectl("create", "token", account, f"--namespace={namespace}", *flags).strip()

    def pod_token(self, namespace: str, pod: str, account: str = "worker", *, audience: str = "wi-issuer") -> str:
        """Return a token as the kubelet projects it into a pod."""
        return self.mint_token(namespace, account, audience=audience, bound=("Pod", pod))

    def grants_context(self) -> ssl.SSLContext:
        """Return a context that trusts the internal CA only."""
        return ssl.create_default_context(cafile=str(self.folder / "ca" / "ca.crt"))

    def open_grants(self, replica: int = 0) -> http.client.HTTPSConnection:
        """Return a connection to the internal port of a replica; the caller closes it."""
        port = self.ports[4 * replica + 1]
        connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=10, context=self.grants_context())
        # The certificate is for the Service's name, which no DNS here knows.
        connection._create_connection = lambda address, *rest: _connect(port, *rest)  # type: ignore[attr-defined]
        connection.host = GRANTS_NAME
        return connection

    def ask(
        self, path: str, body: Any, token: str = "", *, replica: int = 0, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """POST to the internal port of a replica, as a sidecar or the controller does."""
        connection = self.open_grants(replica)
        own = {"Content-Type": "application/json", **({"Authorization": f"Bearer {token}"} if token else {})}
        try:
            connection.request("POST", path, json.dumps(body), own | dict(headers or {}))
            response = connection.getresponse()
            data = response.read()
        finally:
            connection.close()
        return Answer(response.status, dict(response.getheaders()), json.loads(data) if data else {})

    def grant(self, token: str, *credentials: str, **options: Any) -> Answer:
        """Ask for grants; without names for the credential ``demo``."""
        return self.ask("/v1/grants", {"credentials": list(credentials or ("demo",))}, token, **options)

    def fetch(self, path: str, replica: int = 0) -> Any:
        """GET a public document of a replica."""
        port = self.ports[4 * replica]
        connection = http.client.HTTPSConnection("localhost", port, timeout=10, context=self.authority.client_context())
        connection.request("GET", path)
        response = connection.getresponse()
        data = response.read()
        connection.close()
        if response.status != 200:
            raise StageError(f"{path}: {response.status} {data[:200]!r}")
        return json.loads(data)


def _connect(port: int, *rest: Any) -> Any:
    return socket.create_connection(("127.0.0.1", port), *rest)


def unsigned(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return header and claims of a JWT, unverified."""
    header, claims = (json.loads(base64.urlsafe_b64decode(part + "==")) for part in token.split(".")[:2])
    return header, claims
