"""The bare plane: etcd and an API server on loopback, in seconds, for integration tests. It has no nodes."""

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from wi_testkit.controlplane import binaries
from wi_testkit.controlplane.apiserver import ADMIN_GROUP, ApiServer, Credentials
from wi_testkit.controlplane.cache import find_cache, hold_lock
from wi_testkit.controlplane.errors import ControlPlaneError, NotReadyError
from wi_testkit.controlplane.etcd import Etcd
from wi_testkit.controlplane.kubeconfig import write_kubeconfig
from wi_testkit.controlplane.modules import KUBERNETES
from wi_testkit.controlplane.pki import Authority, KeyPair
from wi_testkit.controlplane.processes import Process, Register, identify, spawn, terminate
from wi_testkit.controlplane.progress import Progress, Silence
from wi_testkit.controlplane.readiness import answers, wait_until

_LOOPBACK = "127.0.0.1"
_START_SECONDS = 60.0
_STOP_SECONDS = 5.0
_ATTEMPTS = 3
_OWNER = "owner"


@dataclass(frozen=True)
class Programs:
    """Where the programs of a bare plane stand."""

    folder: Path

    @classmethod
    def find(cls, progress: Progress) -> "Programs":
        """Return those in ``KUBEBUILDER_ASSETS`` when it is set, else ours, building them when needed (minutes)."""
        if assets := os.environ.get("KUBEBUILDER_ASSETS"):
            return cls(Path(assets))
        return cls(binaries.ensure(KUBERNETES, progress))

    def locate(self, name: str) -> Path:
        """Return the path of one program; raises ControlPlaneError when the folder lacks it."""
        path = self.folder / name
        if not path.exists():
            raise ControlPlaneError(f"{self.folder} has no {name}; unset KUBEBUILDER_ASSETS to use a built one")
        return path


class Plane:
    """etcd and kube-apiserver with their own ports and state; a context manager.

    ``flags`` are further flags of the API server. ``controllers`` are names of controllers that a
    kube-controller-manager shall run (``namespace``, ``serviceaccount``, …): without any, namespaces stay
    Terminating and no ``default`` service account appears. The processes are killed by the kernel when the thread
    that called :meth:`start` ends, and by the next start if that failed.
    """

    def __init__(
        self, *, flags: Sequence[str] = (), controllers: Sequence[str] = (), progress: Progress | None = None
    ) -> None:
        """Nothing is started yet."""
        self._flags = flags
        self._controllers = controllers
        self._progress = progress or Silence()
        self._cleanup = ExitStack()

    def __enter__(self) -> Self:
        """Start."""
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop."""
        self.stop()

    @property
    def url(self) -> str:
        """The API server's https URL on loopback."""
        return self._apiserver.url

    @property
    def authority_file(self) -> Path:
        """The CA bundle to trust."""
        return self._authority.bundle

    def find_pid(self, name: str) -> int:
        """Return the process id of ``etcd`` or ``kube-apiserver``, to measure what it costs; raises ControlPlaneError."""
        process = self._register.find(name)
        if process is None:
            raise ControlPlaneError(f"{name} does not run")
        return process.pid

    @property
    def service_account_keys(self) -> KeyPair:
        """What the API server signs service-account tokens with, for forgeries that are as good as they can be."""
        return self._apiserver.credentials.service_accounts

    @property
    def serving_keys(self) -> KeyPair:
        """The API server's certificate and key, for a test that stands before it."""
        return self._apiserver.credentials.serving

    @property
    def kubectl(self) -> Path:
        """The kubectl program."""
        return self._programs.locate("kubectl")

    def start(self) -> None:
        """Start; returns when the API server is ready. Raises ControlPlaneError, leaving nothing behind."""
        self._programs = Programs.find(self._progress)
        try:
            for attempt in range(1, _ATTEMPTS + 1):
                try:
                    return self._start_once()
                except NotReadyError:
                    # A free port may be taken by somebody else between the asking and the binding.
                    self.stop()
                    if attempt == _ATTEMPTS:
                        raise
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End every process and remove the state; may be called twice."""
        self._cleanup.close()

    def mint_kubeconfig(self, user: str, groups: Sequence[str] = ()) -> Path:
        """Return a new kubeconfig whose client certificate names ``user`` and ``groups``."""
        folder = Path(tempfile.mkdtemp(prefix="user-", dir=self.state))
        client = Authority(self._authority.folder).issue(folder.name, user, organizations=groups)
        return write_kubeconfig(folder / "kubeconfig", server=self.url, authority=self._authority.bundle, client=client)

    def environment(self) -> dict[str, str]:
        """Return the caller's environment with ``KUBECONFIG`` and ``PATH`` set for this plane, and no proxy."""
        return render_environment(self.kubeconfig, [self._programs.folder], _LOOPBACK)

    def run_kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        """Return kubectl's output as cluster admin; raises ControlPlaneError with its complaint."""
        return run_kubectl(self.kubectl, self.environment(), arguments, stdin)

    def _start_once(self) -> None:
        self.state = self._claim_state()
        self._register = Register(self.state / "processes")
        self._cleanup.callback(self._remove_state)
        etcd_port, peer_port, port, manager_port = find_ports(4)
        self._authority = Authority.create(self.state / "pki")
        etcd = Etcd(self._programs.locate("etcd"), self.state / "etcd", etcd_port, peer_port)
        self._apiserver = self._plan_apiserver(etcd, port)
        self.kubeconfig = self._write_admin_kubeconfig()
        process = self._spawn("etcd", etcd.render_command())
        self._await("etcd", process, etcd.health_url, None)
        process = self._spawn("kube-apiserver", self._apiserver.render_command())
        self._await("kube-apiserver", process, self._apiserver.health_url, self._authority.bundle)
        if self._controllers:
            self._spawn("kube-controller-manager", self._render_manager(manager_port))

    def _plan_apiserver(self, etcd: Etcd, port: int) -> ApiServer:
        return ApiServer(
            program=self._programs.locate("kube-apiserver"),
            etcd=etcd,
            credentials=Credentials.create(self._authority, [_LOOPBACK]),
            bind=_LOOPBACK,
            advertise=_LOOPBACK,
            port=port,
            # The endpoints of `kubernetes` may not be a loopback address; without nodes nobody needs them.
            flags=["--endpoint-reconciler-type=none", f"--cert-dir={self.state}/certs", *self._flags],
        )

    def _write_admin_kubeconfig(self) -> Path:
        client = self._authority.issue("admin", "admin", organizations=[ADMIN_GROUP])
        path = self.state / "kubeconfig"
        return write_kubeconfig(path, server=self.url, authority=self._authority.bundle, client=client)

    def _render_manager(self, port: int) -> list[str]:
        return [
            str(self._programs.locate("kube-controller-manager")),
            f"--kubeconfig={self.kubeconfig}",
            f"--controllers={','.join(self._controllers)}",
            f"--service-account-private-key-file={self._apiserver.credentials.service_accounts.key}",
            f"--root-ca-file={self._authority.bundle}",
            f"--cert-dir={self.state}/certs",
            f"--bind-address={_LOOPBACK}",
            f"--secure-port={port}",
            "--leader-elect=false",
        ]

    def _spawn(self, name: str, command: list[str]) -> Process:
        process = spawn(name, command, log=self._find_log(name), leashed=True)
        self._register.record(process)
        return process

    def _await(self, name: str, process: Process, url: str, authority: Path | None) -> None:
        wait_until(
            lambda: answers(url, authority),
            name=name,
            timeout=_START_SECONDS,
            log=self._find_log(name),
            is_alive=lambda: process.is_alive,
        )

    def _find_log(self, name: str) -> Path:
        return self.state / "log" / f"{name}.log"

    def _claim_state(self) -> Path:
        """Return a new state folder that names us as its owner, after removing those whose owner is dead."""
        root = find_cache() / "planes"
        root.mkdir(parents=True, exist_ok=True)
        with hold_lock("planes"):
            for folder in root.iterdir():
                _reap(folder)
            state = Path(tempfile.mkdtemp(dir=root))
            Register(state).record(identify(_OWNER, os.getpid()))
        return state

    def _remove_state(self) -> None:
        # The API server first, the newest: without etcd it would take its full grace period.
        self._register.terminate_all(grace=_STOP_SECONDS)
        shutil.rmtree(self.state, ignore_errors=True)


def _reap(folder: Path) -> None:
    owner = Register(folder).find(_OWNER)
    if owner and owner.is_alive:
        return
    for process in Register(folder / "processes").load():
        terminate(process, grace=0)
    shutil.rmtree(folder, ignore_errors=True)


def find_ports(count: int) -> list[int]:
    """Return ports of loopback that were free just now, all different."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind((_LOOPBACK, 0))
        return [int(each.getsockname()[1]) for each in sockets]


def render_environment(kubeconfig: Path, folders: Sequence[Path], address: str) -> dict[str, str]:
    """Return the environment in which kubectl and helm of ``folders`` speak to ``address``, never by a proxy."""
    path = os.pathsep.join([*map(str, folders), os.environ.get("PATH", os.defpath)])
    direct = ",".join(filter(None, [os.environ.get("NO_PROXY") or os.environ.get("no_proxy"), address]))
    return {**os.environ, "KUBECONFIG": str(kubeconfig), "PATH": path, "NO_PROXY": direct, "no_proxy": direct}


def run_kubectl(program: Path, environment: dict[str, str], arguments: Sequence[str], stdin: str | None = None) -> str:
    """Return the output of kubectl; raises ControlPlaneError with its complaint."""
    done = subprocess.run(
        [program, *arguments], env=environment, input=stdin, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise ControlPlaneError(f"kubectl {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout
