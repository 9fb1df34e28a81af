"""Volumes of the pod and the launcher's mount in each container that takes secrets."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from wi_operator.admission.patch import Patch
from wi_operator.admission.plan import Plan, run_volume
from wi_operator.api import names

TOKEN_SECONDS = 3600

_MEMORY = {"medium": "Memory", "sizeLimit": "4Mi"}
_SOURCE = {"audience": names.GRANT_AUDIENCE, "expirationSeconds": TOKEN_SECONDS, "path": "token"}
_TOKENS: tuple[dict[str, Any], ...] = (
    {"name": names.TOKEN_VOLUME, "projected": {"sources": [{"serviceAccountToken": _SOURCE}]}},
    # In memory, too: the cluster autoscaler keeps a node alive for an emptyDir on its disk.
    {"name": names.NO_API_TOKEN_VOLUME, "emptyDir": _MEMORY},
)


def expected_volumes(container_names: Iterable[str], *, has_files: bool) -> list[dict[str, Any]]:
    """All volumes that an injected pod has of us; ``has_files`` if the kubelet reads values from files."""
    return [
        *[{"name": run_volume(name), "emptyDir": _MEMORY} for name in container_names],
        *_TOKENS,
        *([{"name": names.ENV_VOLUME, "emptyDir": _MEMORY}] if has_files else []),
    ]


def run_mount(container_name: str) -> dict[str, Any]:
    """The mount through which a container reaches its socket; read-only, so that it cannot replace the launcher."""
    return {"name": run_volume(container_name), "mountPath": names.RUN_DIR, "readOnly": True}


def add_volumes(plan: Plan, patch: Patch) -> None:
    """Add the volumes that are not there yet."""
    volumes = plan.spec.get("volumes")
    for position in _find_doubles(volumes or ()):
        patch.remove("spec", "volumes", position)
    present = {volume["name"] for volume in volumes or ()}
    expected = expected_volumes(plan.declaration, has_files=bool(plan.envfile_containers))
    patch.extend("spec", "volumes", values=[each for each in expected if each["name"] not in present], to=volumes)


def _find_doubles(volumes: Sequence[dict[str, Any]]) -> list[int]:
    """Return the positions, last first, at which a volume of ours stands again.

    GKE Autopilot was seen to double volumes of webhooks when it changes resources, and then the API server refuses the pod.
    """
    first: dict[str, dict[str, Any]] = {}
    doubles = []
    for position, volume in enumerate(volumes):
        earlier = first.setdefault(volume["name"], volume)
        if earlier is not volume and earlier == volume and volume["name"].startswith(names.RESERVED_PREFIX):
            doubles.append(position)
    return doubles[::-1]


def mount_launchers(plan: Plan, patch: Patch) -> None:
    """Mount each target's own volume; who reads a file needs none."""
    for target in plan.launched:
        mounts = target.container.get("volumeMounts")
        mount = run_mount(target.name)
        if mount["name"] not in [present["name"] for present in mounts or ()]:
            patch.extend("spec", target.group, target.position, "volumeMounts", values=[mount], to=mounts)
