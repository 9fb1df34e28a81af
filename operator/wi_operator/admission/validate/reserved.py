"""Names and paths that are the operator's, taken by the pod."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from wi_operator.admission.content import covers, find_foreign
from wi_operator.admission.delivery import ENVFILE
from wi_operator.admission.mutate.env_writer import build_env_writer
from wi_operator.admission.mutate.sidecar import build_sidecar
from wi_operator.admission.mutate.volumes import expected_volumes, run_mount
from wi_operator.admission.plan import INIT_CONTAINERS, Plan, label_of
from wi_operator.api import names
from wi_operator.federation.diagnosis import admission as rows
from wi_operator.federation.diagnosis.base import Row


def foreign_containers(plan: Plan) -> Iterator[str]:
    """Yield containers with a name of ours that we did not write."""
    for group, position, container in plan.containers:
        if not container["name"].startswith(names.RESERVED_PREFIX):
            continue
        if group != INIT_CONTAINERS or position not in plan.own:
            yield rows.tell(label_of(container, group), rows.RESERVED_NAME)
        elif fields := find_foreign(container, _expected(plan, position)):
            yield rows.tell(
                label_of(container, group),
                rows.FOREIGN_SIDECAR,
                object=", ".join(fields),
                detail=plan.settings.sidecar_image,
            )


def _expected(plan: Plan, position: int) -> dict[str, Any]:
    """What an earlier call wrote at ``position``: it is judged by the declaration of then."""
    if position == plan.sidecar:
        return build_sidecar(plan.declared, plan.settings)
    return build_env_writer([name for name in plan.declared if plan.deliveries.of(name) == ENVFILE], plan.settings)


def foreign_volumes(plan: Plan) -> Iterator[str]:
    """Yield volumes with a name of ours that are not what we would write."""
    ours: dict[str, Any] = {}
    if plan.sidecar is not None:
        volumes = expected_volumes(plan.declared, has_files=plan.env_writer is not None)
        ours = {volume["name"]: volume for volume in volumes}
    for volume in plan.spec.get("volumes") or ():
        name = volume["name"]
        if name.startswith(names.RESERVED_PREFIX) and not covers(volume, ours.get(name, {"name": None})):
            yield rows.tell(f"volume '{name}'", rows.RESERVED_NAME)


def foreign_mounts(plan: Plan) -> Iterator[str]:
    """Yield mounts of our volumes, and mounts over the launcher's folder in containers that need it."""
    targets = {target.name for target in plan.launched}
    for group, position, container in plan.containers:
        if group == INIT_CONTAINERS and position in plan.own:
            continue
        for mount in container.get("volumeMounts") or ():
            if row := _judge(mount, container["name"], targets):
                yield rows.tell(
                    f"{label_of(container, group)}, mount of volume '{mount['name']}'", row, detail=mount["name"]
                )


def _judge(mount: Mapping[str, Any], container: str, targets: set[str]) -> Row | None:
    # The token's volume in an application's container would hand it the subject token.
    if mount["name"].startswith(names.RESERVED_PREFIX):
        return None if container in targets and covers(mount, run_mount(container)) else rows.RESERVED_NAME
    path = mount.get("mountPath", "").rstrip("/")
    if container in targets and (path == names.RUN_DIR or path.startswith(names.RUN_DIR + "/")):
        return rows.RESERVED_PATH
    return None
