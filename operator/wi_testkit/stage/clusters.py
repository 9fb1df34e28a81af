"""The cluster under the stage: embedded (ours), current (the kubeconfig's) or kind. After this module all is shared."""

import json
import os
import shlex
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wi_testkit.controlplane import binaries
from wi_testkit.controlplane.cache import find_cache
from wi_testkit.controlplane.modules import CONTAINERD, HELM, KUBERNETES
from wi_testkit.controlplane.node import Node
from wi_testkit.controlplane.progress import Progress
from wi_testkit.stage.commands import run, works
from wi_testkit.stage.errors import StageError
from wi_testkit.stage.images import BuiltImage

KINDS = ("embedded", "current", "kind")
LOAD_VARIABLE = "WI_IMAGE_LOAD"
_SECONDS = 120.0


@dataclass(frozen=True)
class Cluster:
    """A cluster that runs: how to speak to it, how images get into it, how to remove it.

    ``environment`` has KUBECONFIG and a PATH with kubectl and helm. ``is_ours`` tells whether the stage made it.
    """

    name: str
    environment: Mapping[str, str]
    has_image: Callable[[str], bool]
    load_archive: Callable[[Path], object]
    is_ours: bool

    def kubectl(self, *arguments: str, stdin: str | None = None, timeout: float = _SECONDS) -> str:
        """Return kubectl's output; raises CommandError with its complaint."""
        return run([self._find("kubectl"), *arguments], environment=self.environment, stdin=stdin, timeout=timeout)

    def helm(self, *arguments: str, stdin: str | None = None, timeout: float = _SECONDS) -> str:
        """Return helm's output; raises CommandError with its complaint."""
        return run([self._find("helm"), *arguments], environment=self.environment, stdin=stdin, timeout=timeout)

    def get(self, *arguments: str) -> dict[str, Any]:
        """Return an object or a list as JSON, ``{}`` when there is none of that name."""
        text = self.kubectl("get", *arguments, "--ignore-not-found", "--output=json")
        answer: dict[str, Any] = json.loads(text) if text.strip() else {}
        return answer

    def apply(self, objects: Sequence[Mapping[str, Any]]) -> str:
        """Create or replace ``objects`` by server-side apply."""
        text = json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)})
        flags = ["--server-side", "--force-conflicts", "--field-manager=wi-stage"]
        return self.kubectl("apply", *flags, "--filename=-", stdin=text)

    def ensure_images(self, images: Sequence[BuiltImage], progress: Progress) -> None:
        """Import those images that the cluster lacks."""
        for image in images:
            if not self.has_image(image.name):
                with progress.stage(f"load {image.name} into {self.name}"):
                    self.load_archive(image.archive)

    def _find(self, program: str) -> str:
        found = shutil.which(program, path=self.environment.get("PATH"))
        if not found:
            raise StageError(f"{program} is not on PATH; install it, or use CLUSTER=embedded, which builds its own")
        return found


def open_cluster(kind: str, name: str, progress: Progress) -> Cluster:
    """Return the cluster of this kind, making it first when it is ours to make; raises StageError."""
    openers = {"embedded": open_embedded, "current": open_current, "kind": open_kind}
    return openers[check_kind(kind)](name, progress)


def check_kind(kind: str) -> str:
    """Return ``kind``; raises StageError that lists what there is."""
    if kind not in KINDS:
        raise StageError(
            f"CLUSTER={kind} is unknown; there are embedded (a real node built and run on this machine, as root), "
            "current (that of your kubeconfig) and kind (made with kind)"
        )
    return kind


def remove_cluster(kind: str, name: str, progress: Progress) -> bool:
    """Remove a cluster that the stage made; returns False for one that is not ours. May be called twice."""
    if check_kind(kind) == "current":
        return False
    if kind == "embedded":
        Node(name, progress=progress).down()
    elif shutil.which("kind"):
        run(["kind", "delete", "cluster", "--name", f"wi-{name}"])
        progress.say(f"kind cluster wi-{name} is down")
    return True


def open_embedded(name: str, progress: Progress) -> Cluster:
    """Bring the embedded node up, building it first when needed."""
    if os.geteuid() != 0:
        raise StageError("CLUSTER=embedded needs root; run this with sudo, or use CLUSTER=current or CLUSTER=kind")
    node = Node(name, progress=progress)
    node.up()
    return adopt_node(node)


def adopt_node(node: Node) -> Cluster:
    """Return the cluster of an embedded node that is up."""

    def has_image(image: str) -> bool:
        program = str(binaries.locate(CONTAINERD) / "ctr")
        return image in run([*node.enter(), program, "--namespace=k8s.io", "images", "list", "--quiet"]).split()

    return Cluster(f"node {node.name}", node.kubectl_env(), has_image, node.load_image, is_ours=True)


def open_current(_: str, progress: Progress) -> Cluster:
    """Use the kubeconfig's cluster; ``WI_IMAGE_LOAD`` is the command that imports ``{archive}`` into it."""
    environment = _add_programs(dict(os.environ), progress)
    cluster = Cluster(
        "the current cluster",
        environment,
        lambda image: has_on_all_nodes(cluster, image),
        _load_by_command,
        is_ours=False,
    )
    cluster.kubectl("version", timeout=20)
    return cluster


def has_on_all_nodes(cluster: Cluster, image: str) -> bool:
    """Tell whether every node reports the image; a node reports late, and only its largest fifty."""
    nodes = cluster.get("nodes")["items"]
    return bool(nodes) and all(
        any(image in (each.get("names") or []) for each in node["status"].get("images", [])) for node in nodes
    )


def _load_by_command(archive: Path) -> None:
    template = os.environ.get(LOAD_VARIABLE, "")
    if "{archive}" not in template:
        raise StageError(
            f"the cluster's nodes lack the image of {archive}; set {LOAD_VARIABLE} to the command that imports it, "
            f"for example {LOAD_VARIABLE}='minikube image load {{archive}}'"
        )
    run([part.replace("{archive}", str(archive)) for part in shlex.split(template)], timeout=600)


def open_kind(name: str, progress: Progress) -> Cluster:
    """Make a cluster with kind, which needs Docker."""
    if not shutil.which("kind") or not works(["docker", "info"]):
        raise StageError("CLUSTER=kind needs the programs kind and docker, and Docker running; or use CLUSTER=embedded")
    cluster_name, kubeconfig = f"wi-{name}", find_cache() / "kind" / f"{name}.kubeconfig"
    kubeconfig.parent.mkdir(parents=True, exist_ok=True)
    if cluster_name not in run(["kind", "get", "clusters"]).split():
        with progress.stage(f"kind cluster {cluster_name}"):
            run(
                ["kind", "create", "cluster", "--name", cluster_name, "--kubeconfig", str(kubeconfig), "--wait", "120s"]
            )
    else:
        run(["kind", "export", "kubeconfig", "--name", cluster_name, "--kubeconfig", str(kubeconfig)])
    environment = _add_programs({**os.environ, "KUBECONFIG": str(kubeconfig)}, progress)

    def load(archive: Path) -> None:
        run(["kind", "load", "image-archive", str(archive), "--name", cluster_name])

    cluster = Cluster(
        f"kind cluster {cluster_name}", environment, lambda image: has_on_all_nodes(cluster, image), load, is_ours=True
    )
    return cluster


def _add_programs(environment: dict[str, str], progress: Progress) -> dict[str, str]:
    """Add kubectl and helm to PATH, built when the machine has none."""
    path = environment.get("PATH", os.defpath)
    for program, module_set in (("kubectl", KUBERNETES), ("helm", HELM)):
        if not shutil.which(program, path=path):
            path = os.pathsep.join([path, str(binaries.ensure(module_set, progress))])
    return {**environment, "PATH": path}
