"""Which programs are built, from which Go packages, and with which flags. Versions stand in ``tools/go/<set>/go.mod``."""

import hashlib
import json
import platform
import re
from dataclasses import asdict, dataclass
from pathlib import Path

SOURCES = Path(__file__).resolve().parents[3] / "tools" / "go"
_MODULE_VERSION = r"^\s*(?:require\s+)?{module} (v\S+)"


@dataclass(frozen=True)
class ModuleSet:
    """Programs of one go.mod: ``programs`` maps the name of the binary to its Go package.

    ``stamps`` are ``-X`` linker assignments in which ``{version}`` is the version of ``module``; ``static`` links
    a cgo build statically, so that the cache can be carried to a machine that lacks the libraries.
    """

    name: str
    module: str
    programs: dict[str, str]
    stamps: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    cgo: bool = False
    static: bool = False
    packages: tuple[str, ...] = ()

    @property
    def folder(self) -> Path:
        """Return the folder that holds this set's go.mod and go.sum."""
        return SOURCES / self.name

    @property
    def version(self) -> str:
        """Return the version of the main module, with its ``v``."""
        pattern = _MODULE_VERSION.format(module=re.escape(self.module))
        found = re.search(pattern, self._text("go.mod"), re.MULTILINE)
        assert found, f"{self.name}/go.mod requires {self.module}"
        return found[1]

    @property
    def minimum_go(self) -> tuple[int, ...]:
        """Return the Go version that this set asks for, as numbers."""
        found = re.search(r"^go ([\d.]+)$", self._text("go.mod"), re.MULTILINE)
        assert found, f"{self.name}/go.mod has a go line"
        return tuple(int(part) for part in found[1].split("."))

    @property
    def linker_flags(self) -> str:
        """Return the value of ``-ldflags``: stripped, stamped with the version."""
        major, minor, _ = self.version.removeprefix("v").split(".", 2)
        stamps = [stamp.format(version=self.version, major=major, minor=minor) for stamp in self.stamps]
        link = ["-linkmode external -extldflags=-static"] if self.static else []
        return " ".join(["-s -w", *(f"-X {stamp}" for stamp in stamps), *link])

    @property
    def key(self) -> str:
        """Return the hash that names the build: sources, recipe and machine, not the Go toolchain."""
        recipe = json.dumps([asdict(self), platform.machine()], sort_keys=True)
        text = "\0".join([recipe, self._text("go.mod"), self._text("go.sum")])
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def _text(self, name: str) -> str:
        return (self.folder / name).read_text()


_KUBERNETES_COMMANDS = (
    "kube-apiserver", "kube-controller-manager", "kube-proxy", "kube-scheduler", "kubectl", "kubelet",
)  # fmt: skip
_VERSION_PACKAGES = ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version")

KUBERNETES = ModuleSet(
    name="kubernetes",
    module="k8s.io/kubernetes",
    programs={
        "etcd": "go.etcd.io/etcd/server/v3",
        **{command: f"k8s.io/kubernetes/cmd/{command}" for command in _KUBERNETES_COMMANDS},
    },
    stamps=tuple(
        f"{package}.{stamp}"
        for package in _VERSION_PACKAGES
        for stamp in ("gitVersion={version}", "gitMajor={major}", "gitMinor={minor}", "gitTreeState=clean")
    ),
)
_PLUGINS = "github.com/containernetworking/plugins/plugins"
_CONTAINERD = "github.com/containerd/containerd/v2"
CONTAINERD = ModuleSet(
    name="containerd",
    module=_CONTAINERD,
    programs={
        **{name: f"{_CONTAINERD}/cmd/{name}" for name in ("containerd", "containerd-shim-runc-v2", "ctr")},
        "ptp": f"{_PLUGINS}/main/ptp",
        "loopback": f"{_PLUGINS}/main/loopback",
        "host-local": f"{_PLUGINS}/ipam/host-local",
        "portmap": f"{_PLUGINS}/meta/portmap",
    },
    stamps=(f"{_CONTAINERD}/version.Version={{version}}",),
    tags=("no_btrfs", "no_devmapper", "no_zfs"),
)
RUNC = ModuleSet(
    name="runc",
    module="github.com/opencontainers/runc",
    programs={"runc": "github.com/opencontainers/runc"},
    tags=("seccomp", "netgo", "osusergo"),
    cgo=True,
    static=True,
    packages=("gcc", "libc6-dev", "libseccomp-dev", "pkg-config"),
)
COREDNS = ModuleSet(
    name="coredns", module="github.com/coredns/coredns", programs={"coredns": "github.com/coredns/coredns"}
)
HELM = ModuleSet(
    name="helm",
    module="helm.sh/helm/v3",
    programs={"helm": "helm.sh/helm/v3/cmd/helm"},
    stamps=(
        "helm.sh/helm/v3/internal/version.version={version}",
        # Without these `helm template` takes the cluster for Kubernetes 1.20 and refuses charts that ask for more.
        "helm.sh/helm/v3/pkg/chartutil.k8sVersionMajor=1",
        "helm.sh/helm/v3/pkg/chartutil.k8sVersionMinor=36",
        "helm.sh/helm/v3/pkg/lint/rules.k8sVersionMajor=1",
        "helm.sh/helm/v3/pkg/lint/rules.k8sVersionMinor=36",
    ),
)
KUBE_SCORE = ModuleSet(
    name="kube-score",
    module="github.com/zegl/kube-score",
    programs={"kube-score": "github.com/zegl/kube-score/cmd/kube-score"},
)
# The bare plane's set first: whoever waits for it waits least.
SETS: tuple[ModuleSet, ...] = (KUBERNETES, HELM, CONTAINERD, RUNC, COREDNS, KUBE_SCORE)
