"""Required affinity to Linux nodes: the sidecar's image has no other platform."""

from __future__ import annotations

from typing import Any

from wi_operator.admission.patch import Patch
from wi_operator.admission.plan import Plan

LINUX = {"key": "kubernetes.io/os", "operator": "In", "values": ["linux"]}
_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"


def require_linux(plan: Plan, patch: Patch) -> None:
    """Merge into what is there: terms are alternatives, so each of them gets the expression."""
    path: tuple[str, ...] = ("spec", "affinity")
    value: Any = {"nodeAffinity": {_REQUIRED: {"nodeSelectorTerms": [{"matchExpressions": [LINUX]}]}}}
    present: Any = plan.spec.get("affinity")
    for key in ("nodeAffinity", _REQUIRED, "nodeSelectorTerms"):
        if not present:
            patch.add(*path, value=value)
            return
        path, value, present = (*path, key), value[key], present.get(key)
    for index, term in enumerate(present or ()):
        _narrow((*path, index), term, patch)


def _narrow(path: tuple[str | int, ...], term: dict[str, Any], patch: Patch) -> None:
    expressions = term.get("matchExpressions")
    # An empty term matches no node; an expression in it would make it match some.
    if LINUX in (expressions or ()) or not (expressions or term.get("matchFields")):
        return
    patch.extend(*path, "matchExpressions", values=[LINUX], to=expressions)
