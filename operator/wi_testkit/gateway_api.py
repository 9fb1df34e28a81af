"""The definitions of the Gateway API, from its Go module: what our manifests are validated against."""

import json
import shutil
import subprocess
from pathlib import Path

from wi_testkit.controlplane.cache import find_cache, hold_lock, publish
from wi_testkit.controlplane.errors import ControlPlaneError
from wi_testkit.controlplane.modules import ModuleSet
from wi_testkit.controlplane.progress import Progress
from wi_testkit.controlplane.toolchain import build_environment, find_go

GATEWAY_API = ModuleSet(name="gateway-api", module="sigs.k8s.io/gateway-api", programs={})
_DEFINITIONS = Path("config/crd/standard")


def find_definitions(progress: Progress | None = None) -> Path:
    """Return the folder of the standard channel's definitions; fetched once. Raises ControlPlaneError."""
    folder = find_cache() / f"gateway-api-{GATEWAY_API.version}-{GATEWAY_API.key}"
    with hold_lock("gateway-api"):
        if not folder.exists():
            module = _download(progress or Progress())
            with publish(folder) as draft:
                shutil.copytree(module / _DEFINITIONS, draft, dirs_exist_ok=True)
    return folder


def _download(progress: Progress) -> Path:
    go = find_go(GATEWAY_API.minimum_go, progress)
    command = [str(go), "mod", "download", "-json", GATEWAY_API.module]
    with progress.stage(f"gateway-api {GATEWAY_API.version}: download module"):
        done = subprocess.run(
            command,
            cwd=GATEWAY_API.folder,
            env=build_environment(cgo=False),
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode:
        raise ControlPlaneError(f"go mod download {GATEWAY_API.module} failed: {(done.stderr or done.stdout).strip()}")
    return Path(json.loads(done.stdout)["Dir"])
