"""Volumes of the pod and the launcher's mount in each container that takes secrets."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from wi_operator.admission.patch import Patch
from wi_operator.admission.plan import Plan, run_volume
from wi_operator.api import names

TOKEN_SECONDS = 3600


def expected_volumes(container_names: Iterable[str], *, has_files: bool) -> list[dict[str, Any]]:
    """All volumes that an injected pod has of us; ``has_files`` if the kubelet reads values from files."""
    source = {"audience": names.GRANT_AUDIENCE, "expirationSeconds": TOKEN_SECONDS, "path": "token"}
    return [
        *({"name": run_volume(name), "emptyDir": {"medium": "Memory", "sizeLimit": "4Mi"}} for name in container_names),
        {"name": names.TOKEN_VOLUME, "projected": {"sources": [{"serviceAccountToken": source}]}},
        {"name": names.NO_API_TOKEN_VOLUME, "emptyDir": {}},
        *([{"name": names.ENV_VOLUME, "emptyDir": {"medium": "Memory", "sizeLimit": "4Mi"}}] if has_files else []),
    ]


def run_mount(container_name: str) -> dict[str, Any]:
    """The mount through which a container reaches its socket; read-only, so that it cannot replace the launcher."""
    return {"name": run_volume(container_name), "mountPath": names.RUN_DIR, "readOnly": True}


def add_volumes(plan: Plan, patch: Patch) -> None:
    """Add the volumes that are not there yet."""
    volumes = list(plan.spec.get("volumes") or ())
    present = {volume["name"] for volume in volumes}
    for volume in expected_volumes(plan.declaration, has_files=bool(plan.envfile_containers)):
        if volume["name"] not in present:
            patch.append("spec", "volumes", value=volume, to=volumes)
            volumes.append(volume)


def mount_launchers(plan: Plan, patch: Patch) -> None:
    """Mount each target's own volume; who reads a file needs none."""
    for target in plan.targets:
        if target.is_envfile:
            continue
        mounts = target.container.get("volumeMounts")
        mount = run_mount(target.name)
        if not any(present["name"] == mount["name"] for present in mounts or ()):
            patch.append("spec", target.group, target.position, "volumeMounts", value=mount, to=mounts)
