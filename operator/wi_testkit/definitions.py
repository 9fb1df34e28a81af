"""Definitions of others' kinds, from their Go modules: what our manifests are validated against."""

import json
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wi_testkit.controlplane.cache import find_cache, hold_lock, publish
from wi_testkit.controlplane.errors import ControlPlaneError
from wi_testkit.controlplane.modules import ModuleSet
from wi_testkit.controlplane.progress import Progress
from wi_testkit.controlplane.toolchain import build_environment, find_go


@dataclass(frozen=True)
class Definitions:
    """Modules, of which nothing is built, and for each the pattern of the definitions in it."""

    modules: ModuleSet
    patterns: Mapping[str, str]

    def find(self, progress: Progress | None = None) -> Path:
        """Return the folder that holds the definitions; fetched once. Raises ControlPlaneError."""
        name = self.modules.name
        folder = find_cache() / f"{name}-{self.modules.version}-{self.modules.key}"
        with hold_lock(name):
            if not folder.exists():
                sources = self._download(progress or Progress())
                with publish(folder) as draft:
                    for module, pattern in self.patterns.items():
                        for file in sorted(sources[module].glob(pattern)):
                            shutil.copy(file, draft / file.name)
        return folder

    def _download(self, progress: Progress) -> dict[str, Path]:
        """Return the folder of each module's source; go.sum vouches for it."""
        go = find_go(self.modules.minimum_go, progress)
        with progress.stage(f"{self.modules.name} {self.modules.version}: download modules"):
            done = subprocess.run(
                [str(go), "mod", "download", "-json", *self.patterns],
                cwd=self.modules.folder,
                env=build_environment(cgo=False),
                capture_output=True,
                text=True,
                check=False,
            )
        if done.returncode:
            raise ControlPlaneError(
                f"go mod download of {', '.join(self.patterns)} failed: {(done.stderr or done.stdout).strip()}"
            )
        return {each["Path"]: Path(each["Dir"]) for each in _read_documents(done.stdout)}


def _read_documents(text: str) -> list[dict[str, Any]]:
    """Read JSON documents that stand one after the other."""
    decoder, found, position = json.JSONDecoder(), [], 0
    while position < len(text):
        document, end = decoder.raw_decode(text, position)
        found.append(document)
        position = len(text) - len(text[end:].lstrip())
    return found


GATEWAY_API = Definitions(
    ModuleSet(name="gateway-api", module="sigs.k8s.io/gateway-api", programs={}),
    {"sigs.k8s.io/gateway-api": "config/crd/standard/*.yaml"},
)
GITOPS = Definitions(
    ModuleSet(name="gitops", module="github.com/argoproj/argo-cd/v3", programs={}),
    {
        "github.com/argoproj/argo-cd/v3": "manifests/crds/*-crd.yaml",
        "github.com/fluxcd/helm-controller": "config/crd/bases/*.yaml",
        "github.com/fluxcd/kustomize-controller": "config/crd/bases/*.yaml",
        "github.com/fluxcd/source-controller": "config/crd/bases/*.yaml",
    },
)
"""Argo CD and the controllers of Flux."""
CERT_MANAGER = Definitions(
    ModuleSet(name="cert-manager", module="github.com/cert-manager/cert-manager", programs={}),
    {"github.com/cert-manager/cert-manager": "deploy/crds/cert-manager.io_*.yaml"},
)
PROMETHEUS_OPERATOR = Definitions(
    ModuleSet(name="prometheus-operator", module="github.com/prometheus-operator/prometheus-operator", programs={}),
    {"github.com/prometheus-operator/prometheus-operator": "example/prometheus-operator-crd/*.yaml"},
)
