"""Takes references, and the templates over them, out of a container's env."""

from __future__ import annotations

from wi_operator.admission.patch import Patch
from wi_operator.admission.plan import Plan, Target


def take_out_references(plan: Plan, patch: Patch) -> None:
    """Remove from the end, so that the positions before stay right."""
    for target in plan.touched:
        _take_out(target, patch)


def _take_out(target: Target, patch: Patch) -> None:
    taken = target.extraction.taken
    if taken and len(taken) == len(target.container["env"]):
        patch.remove("spec", target.group, target.position, "env")
        return
    for index in reversed(taken):
        patch.remove("spec", target.group, target.position, "env", index)
