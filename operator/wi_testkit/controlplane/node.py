"""A whole Kubernetes node of its own: real pods, services and cluster DNS, beside other nodes on one machine."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from wi_testkit.controlplane import binaries, coredns
from wi_testkit.controlplane.cache import find_cache, hold_lock
from wi_testkit.controlplane.cgroups import ControlGroup
from wi_testkit.controlplane.errors import ControlPlaneError, NotReadyError
from wi_testkit.controlplane.images import Image
from wi_testkit.controlplane.layout import PAUSE_IMAGE, Layout, Toolbox
from wi_testkit.controlplane.modules import CONTAINERD, COREDNS, HELM, KUBERNETES, RUNC, SOURCES
from wi_testkit.controlplane.network import Wire, pick_number
from wi_testkit.controlplane.packages import ensure_packages
from wi_testkit.controlplane.plane import render_environment, run_kubectl
from wi_testkit.controlplane.processes import Process, Register, find_children, identify, spawn, terminate
from wi_testkit.controlplane.progress import Progress
from wi_testkit.controlplane.readiness import answers, quote_log
from wi_testkit.controlplane.supervisor import GO, RUNNING, Status

PACKAGES = ("busybox-static", "iproute2", "mount", "nftables", "util-linux")
_SOURCE_ROOT = SOURCES.parents[1] / "operator"
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,10}[a-z0-9])?")
BUSYBOX = Path("/bin/busybox")
# Process 1 of a pod that shares its process namespace: `wait` reaps the orphans of the other containers.
_PAUSE = ("/busybox", "sh", "-c", "trap 'exit 0' TERM INT; /busybox sleep 2147483647 & wait")
_HOLDER = "supervisor"
_START_SECONDS = 120.0
_POLL_SECONDS = 0.1
_POLL_CLUSTER_SECONDS = 0.3


@dataclass(frozen=True)
class Report:
    """What :meth:`Node.report` found: ``state`` is ``running``, ``broken`` or ``down``."""

    name: str
    state: str
    detail: str
    url: str = ""
    kubeconfig: str = ""
    pid: int = 0


class Node:
    """The node ``name`` (at most 12 of a-z, 0-9 and hyphens), whose state stands in the cache under that name.

    It runs in namespaces of its own, behind one supervisor process: when that one ends, so does everything else.
    """

    def __init__(self, name: str, *, progress: Progress | None = None) -> None:
        """Nothing is started yet; raises ControlPlaneError for a name that cannot be an interface's."""
        if not _NAME.fullmatch(name):
            raise ControlPlaneError(f"{name!r} is no node name: 1 to 12 of a-z, 0-9 and '-', as in --name demo")
        self.name = name
        self.node_name = f"wi-{name}"
        self.state = find_cache() / "nodes" / name
        self._progress = progress or Progress()
        self._register = Register(self.state / "processes")
        self._cgroup = ControlGroup(self.node_name)

    @property
    def kubeconfig(self) -> Path:
        """The cluster admin's kubeconfig."""
        return self.state / "kubeconfig"

    @property
    def url(self) -> str:
        """The API server's https URL as the host reaches it; raises ControlPlaneError when the node is down."""
        return self._find_layout().url

    @property
    def authority_file(self) -> Path:
        """The CA bundle to trust."""
        return self._find_layout().authority_file

    @property
    def kubectl(self) -> Path:
        """The kubectl program."""
        return binaries.locate(KUBERNETES) / "kubectl"

    def up(self) -> None:
        """Bring the node up; returns when pods can run and names resolve. Does nothing when it is up and healthy.

        What is broken, or was left half-way, is removed first. Raises ControlPlaneError; the logs then stay.
        """
        _require_root()
        with hold_lock(f"node-{self.name}"):
            if self.report().state == RUNNING:
                self._progress.say(f"node {self.name} is up already")
                return
            ensure_packages(PACKAGES, self._progress)
            sets = (KUBERNETES, HELM, CONTAINERD, RUNC, COREDNS)
            folders = binaries.ensure_all(sets, self._progress)
            self._clear()
            with self._progress.stage(f"node {self.name}"):
                self._start(Toolbox(folders["kubernetes"], folders["containerd"], folders["runc"]))

    def down(self) -> None:
        """End the node and remove every trace of it; may be called twice. Raises ControlPlaneError."""
        _require_root()
        with hold_lock(f"node-{self.name}"):
            self._clear()
        self._progress.say(f"node {self.name} is down")

    def report(self) -> Report:
        """Return how the node does now."""
        holder = self._register.find(_HOLDER)
        if holder is None or not holder.is_alive:
            status = Status.read(self.state / "status.json")
            return Report(self.name, "down", status.error or "it does not run")
        trouble = self._find_trouble()
        return Report(
            self.name,
            "broken" if trouble else RUNNING,
            trouble or "every component runs",
            self._find_layout().url,
            str(self.kubeconfig),
            holder.pid,
        )

    def kubectl_env(self) -> dict[str, str]:
        """Return the caller's environment with ``KUBECONFIG`` and a ``PATH`` that has kubectl and helm, no proxy."""
        folders = [binaries.locate(KUBERNETES), binaries.locate(HELM)]
        return render_environment(self.kubeconfig, folders, self._find_layout().wire.node_address)

    def run_kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        """Return kubectl's output as cluster admin; raises ControlPlaneError with its complaint."""
        return run_kubectl(self.kubectl, self.kubectl_env(), arguments, stdin)

    def load_image(self, archive: Path) -> list[str]:
        """Import an image archive (OCI or docker, plain or gzip); returns the names of the images in it.

        Raises ControlPlaneError when containerd refuses it.
        """
        command = [*self.enter(), str(binaries.locate(CONTAINERD) / "ctr"), "--namespace=k8s.io", "images", "import"]
        # By standard input: the file may stand in a folder that the node has covered with its own.
        with archive.open("rb") as stream:
            done = subprocess.run([*command, "-"], stdin=stream, capture_output=True, text=True, check=False)
        if done.returncode:
            raise ControlPlaneError(f"importing {archive} into {self.name} failed: {done.stderr.strip()}")
        return re.findall(r"^(\S+[:@]\S+)", done.stdout, re.MULTILINE)

    def enter(self) -> list[str]:
        """Return the command prefix that runs a program inside the node; raises ControlPlaneError when it is down."""
        holder = self._register.find(_HOLDER)
        children = find_children(holder.pid) if holder and holder.is_alive else []
        if not children:
            raise ControlPlaneError(f"node {self.name} is down; run: python -m {__package__} up --name {self.name}")
        return ["nsenter", f"--target={children[0]}", "--mount", "--net", "--pid", "--"]

    def wait_ready(self, timeout: float = _START_SECONDS) -> None:
        """Return once the node is Ready and cluster DNS serves; raises NotReadyError after ``timeout`` seconds."""
        deadline = time.monotonic() + timeout
        for what, is_met in self._list_conditions():
            while not is_met():
                self._require_components()
                if time.monotonic() > deadline:
                    raise NotReadyError(f"{what}: took over {timeout:.0f} s; see {self.state}/log/kubelet.log")
                time.sleep(_POLL_CLUSTER_SECONDS)
            self._progress.say(what)

    def _require_components(self) -> None:
        """Raise NotReadyError, quoting its log, when a component has ended: waiting on would be in vain."""
        for name, code in Status.read(self.state / "status.json").exits.items():
            raise NotReadyError(f"{name} ended with {code}; {quote_log(self.state / 'log' / f'{name}.log')}")

    def _list_conditions(self) -> Iterator[tuple[str, Callable[[], bool]]]:
        account = ("get", "serviceaccount", "default", "--namespace=default")
        yield f"node {self.node_name} is Ready", self._is_node_ready
        yield "cluster DNS serves", self._is_dns_ready
        yield "service accounts are there", lambda: bool(self._ask(*account))

    def _is_node_ready(self) -> bool:
        conditions = self._ask("get", "node", self.node_name).get("status", {}).get("conditions", [])
        return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)

    def _is_dns_ready(self) -> bool:
        arguments = ("get", "deployment", coredns.NAME, f"--namespace={coredns.NAMESPACE}")
        return bool(self._ask(*arguments).get("status", {}).get("readyReplicas"))

    def _ask(self, *arguments: str) -> dict[str, Any]:
        """Return an object, an empty one while it cannot be had."""
        try:
            answer: dict[str, Any] = json.loads(self.run_kubectl(*arguments, "--output=json"))
        except ControlPlaneError:
            return {}
        return answer

    def _start(self, toolbox: Toolbox) -> None:
        layout = self._plan(toolbox)
        layout.write()
        self._cgroup.create()
        holder = self._start_supervisor(layout)
        self._follow(holder, layout)
        image, archive = coredns.write_image(binaries.locate(COREDNS) / "coredns")
        self.load_image(Image(PAUSE_IMAGE, _PAUSE, {"/busybox": BUSYBOX}).write(self.state / "pause.tar"))
        self.load_image(archive)
        objects = {"apiVersion": "v1", "kind": "List", "items": coredns.render_manifests(image)}
        self.run_kubectl("create", "--filename=-", stdin=json.dumps(objects))
        self.wait_ready()
        (self.state / "complete").touch()

    def _plan(self, toolbox: Toolbox) -> Layout:
        """Choose the subnet, write the choice down and return the layout."""
        with hold_lock("nodes"):
            others = [_read_number(path) for path in self.state.parent.glob("*/node.json")]
            wire = Wire(self.node_name, pick_number(others))
            self.state.mkdir(parents=True, mode=0o700)
            (self.state / "node.json").write_text(json.dumps(asdict(wire)))
        return self._lay_out(wire, toolbox)

    def _find_layout(self) -> Layout:
        try:
            wire = Wire(**json.loads((self.state / "node.json").read_text()))
        except FileNotFoundError:
            raise ControlPlaneError(f"node {self.name} is down") from None
        return self._lay_out(wire, Toolbox(*map(binaries.locate, (KUBERNETES, CONTAINERD, RUNC))))

    def _lay_out(self, wire: Wire, toolbox: Toolbox) -> Layout:
        return Layout(self.node_name, self.state, wire, self._cgroup.path, toolbox, keep=[find_cache(), _SOURCE_ROOT])

    def _start_supervisor(self, layout: Layout) -> Process:
        reader, writer = os.pipe()
        try:
            holder = spawn(
                _HOLDER,
                _render_supervisor(layout),
                log=layout.logs / f"{_HOLDER}.log",
                environment=_clean_environment(),
                stdin=reader,
            )
            self._register.record(holder)
            self._await_stage(holder, layout, lambda stage: stage == "waiting")
            layout.wire.lay(holder.pid)
            os.write(writer, GO.encode())
        finally:
            os.close(reader)
            os.close(writer)
        return holder

    def _follow(self, holder: Process, layout: Layout) -> None:
        self._await_stage(holder, layout, lambda stage: stage == RUNNING)

    def _await_stage(self, holder: Process, layout: Layout, is_reached: Callable[[str], bool]) -> None:
        """Tell each stage of the supervisor until ``is_reached``; raises NotReadyError when it ends or takes long."""
        deadline, told = time.monotonic() + _START_SECONDS, ""
        while True:
            is_alive = holder.is_alive
            status = Status.read(layout.status_file)
            if status.stage != told and status.stage.startswith("started"):
                self._progress.say(told := status.stage)
            if is_reached(status.stage):
                return
            if not is_alive or time.monotonic() > deadline:
                raise NotReadyError(status.error or f"no {_HOLDER}; {quote_log(layout.logs / f'{_HOLDER}.log')}")
            time.sleep(_POLL_SECONDS)

    def _find_trouble(self) -> str:
        status = Status.read(self.state / "status.json")
        if status.exits:
            return ", ".join(f"{name} ended with {code}" for name, code in status.exits.items())
        if not (self.state / "complete").exists():
            return f"it was not brought up completely ({status.stage})"
        layout = self._find_layout()
        if not answers(f"{layout.url}/readyz", layout.authority_file):
            return f"{layout.url} is not ready"
        return ""

    def _clear(self) -> None:
        """Remove whatever there is of the node: processes first, then what the kernel leaves behind."""
        for holder in self._register.load():
            inner = [identify("init", pid) for pid in find_children(holder.pid)] if holder.is_alive else []
            terminate(holder, grace=0)
            for process in inner:
                # It is gone only when every process of its namespace is.
                terminate(process, grace=0)
        Wire(self.node_name, 0).cut()
        self._cgroup.remove()
        shutil.rmtree(self.state, ignore_errors=True)


def _render_supervisor(layout: Layout) -> list[str]:
    namespaces = ["--mount", "--propagation=private", "--net", "--pid", "--fork", "--mount-proc"]
    program = [sys.executable, "-P", "-m", "wi_testkit.controlplane.supervisor", str(layout.spec_file)]
    return ["unshare", *namespaces, "--kill-child=KILL", *program]


def _clean_environment() -> dict[str, str]:
    """Return what the components may inherit: no proxy, no KUBECONFIG, nothing of the caller's session."""
    kept = {name: value for name, value in os.environ.items() if name in {"PATH", "HOME", "LANG", "LD_LIBRARY_PATH"}}
    return {**kept, "PYTHONPATH": str(_SOURCE_ROOT), "PYTHONDONTWRITEBYTECODE": "1"}


def _read_number(path: Path) -> int:
    return int(json.loads(path.read_text())["number"])


def _require_root() -> None:
    if os.geteuid() != 0:
        raise ControlPlaneError("a node needs root, for its namespaces and control groups; run this with sudo")
