"""The delivery mode ``envfile``: allowed by the chart, supported by every node, and not where a restart would be stale."""

from __future__ import annotations

from collections.abc import Iterator

from wi_operator.admission.mutate.env_writer import file_reference
from wi_operator.admission.plan import Plan, Target, label_of
from wi_operator.api import names
from wi_operator.federation.diagnosis import admission as rows
from wi_operator.index.store import Index

_NEVER = "Never"
_SHOWN_NODES = 5


def unclear_deliveries(plan: Plan) -> Iterator[str]:
    """Yield an annotation that cannot be read or that names a container which is not there."""
    problem = plan.deliveries.problem
    named = set(plan.deliveries.named)
    unknown = sorted(named - {container["name"] for _, _, container in plan.containers}) if named else []
    if unknown:
        problem = f"the pod has no container {', '.join(unknown)}"
    if problem:
        yield rows.tell("pod", rows.INVALID_DELIVERY, detail=problem)


def forbidden_files(plan: Plan) -> Iterator[str]:
    """Yield containers that ask for the mode where the chart does not allow it, or where a restart would be stale."""
    accepts = plan.annotations.get(names.STALE_RESTART_ANNOTATION) == "true"
    for target in plan.targets:
        if not target.is_envfile:
            continue
        if not plan.settings.is_envfile_allowed:
            yield rows.tell(target.label, rows.ENVFILE_NOT_ALLOWED)
        elif not accepts and (restart := _restart(plan, target)):
            yield rows.tell(target.label, rows.ENVFILE_RESTART, detail=restart)


def _restart(plan: Plan, target: Target) -> str:
    """Say what may start the container again; empty if nothing does."""
    if target.container.get("restartPolicyRules"):
        return "restartPolicyRules"
    own, of_pod = target.container.get("restartPolicy"), plan.spec.get("restartPolicy") or "Always"
    policy = own or of_pod
    return "" if policy == _NEVER else f"restartPolicy: {policy}"


def foreign_files(plan: Plan) -> Iterator[str]:
    """Yield env entries that read our file and are not what we wrote: another container's values stand beside them."""
    ours = {(t.name, entry.name) for t in plan.targets if t.is_envfile for entry in t.declared}
    for group, _, container in plan.containers:
        for item in container.get("env") or ():
            if "valueFrom" not in item:
                continue
            source = (item["valueFrom"] or {}).get("fileKeyRef") or {}
            if not str(source.get("volumeName") or "").startswith(names.RESERVED_PREFIX):
                continue
            key = (container["name"], item["name"])
            if key not in ours or item != file_reference(*key):
                yield rows.tell(f"{label_of(container, group)}, variable '{item['name']}'", rows.RESERVED_NAME)


def nodes_without_files(plan: Plan, *, index: Index) -> Iterator[str]:
    """Yield Linux nodes that are too old: the scheduler does not know, and the pod would fail there."""
    if not plan.envfile_containers or not plan.settings.is_envfile_allowed:
        return
    if not index.nodes:
        yield rows.tell("pod", rows.ENVFILE_NODES_UNKNOWN)
        return
    old = sorted(node.name for node in index.nodes.values() if not node.reads_env_files)
    if old:
        shown = ", ".join(old[:_SHOWN_NODES]) + (" …" if len(old) > _SHOWN_NODES else "")
        yield rows.tell("pod", rows.ENVFILE_NODES, detail=shown)
