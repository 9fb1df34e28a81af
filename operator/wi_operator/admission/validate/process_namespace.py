"""Pods whose containers see each other's processes: who could read the sidecar's token through /proc is refused."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from wi_operator.admission.plan import INIT_CONTAINERS, Plan, label_of
from wi_operator.federation.diagnosis import admission as rows

_DANGEROUS = frozenset({"ALL", "CAP_ALL", "SYS_PTRACE", "CAP_SYS_PTRACE", "SYS_ADMIN", "CAP_SYS_ADMIN"})


def shares_processes(spec: Mapping[str, Any]) -> bool:
    """Tell whether containers of the pod see the sidecar's processes."""
    return bool(spec.get("shareProcessNamespace") or spec.get("hostPID"))


def readable_sidecars(plan: Plan) -> Iterator[str]:
    """Yield containers that could open ``/proc/<sidecar>/root`` in a shared process namespace."""
    if not shares_processes(plan.spec):
        return
    if plan.settings.sidecar_uid is None:
        yield rows.tell("pod", rows.SIDECAR_USER_UNKNOWN)
        return
    pod_context = plan.spec.get("securityContext") or {}
    for group, position, container in plan.containers:
        if (group, position) == (INIT_CONTAINERS, plan.sidecar):
            continue
        if reason := _reach(container.get("securityContext") or {}, pod_context, plan.settings.sidecar_uid):
            yield rows.tell(label_of(container, group), rows.SIDECAR_READABLE, detail=reason)


def _reach(context: Mapping[str, Any], pod_context: Mapping[str, Any], sidecar_uid: int) -> str:
    user = context.get("runAsUser", pod_context.get("runAsUser"))
    if user == sidecar_uid:
        return f"runs as the sidecar's user {sidecar_uid}"
    if context.get("privileged"):
        return "is privileged"
    if dangerous := _DANGEROUS.intersection((context.get("capabilities") or {}).get("add") or ()):
        return f"adds the capability {min(dangerous)}"
    # Without runAsUser the image decides; only runAsNonRoot keeps root out.
    if user == 0 or (user is None and not context.get("runAsNonRoot", pod_context.get("runAsNonRoot"))):
        return "runs as root or may do so (set runAsNonRoot: true)"
    return ""
