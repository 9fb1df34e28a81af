"""Takes references, and the templates over them, out of a container's env; in the mode ``envfile`` they stay, as files."""

from __future__ import annotations

from wi_operator.admission.mutate.env_writer import file_reference
from wi_operator.admission.patch import Patch
from wi_operator.admission.plan import Plan, Target


def take_out_references(plan: Plan, patch: Patch) -> None:
    """Remove from the end, so that the positions before stay right."""
    for target in plan.touched:
        if target.is_envfile:
            _refer_to_file(target, patch)
        else:
            _take_out(target, patch)


def _take_out(target: Target, patch: Patch) -> None:
    taken = target.extraction.taken
    if taken and len(taken) == len(target.container["env"]):
        patch.remove("spec", target.group, target.position, "env")
        return
    for index in reversed(taken):
        patch.remove("spec", target.group, target.position, "env", index)


def _refer_to_file(target: Target, patch: Patch) -> None:
    """Replace in place: the kubelet goes through env in order, and expands values that refer to one of these."""
    extraction = target.extraction
    path = ("spec", target.group, target.position, "env")
    for index in sorted(set(extraction.taken) - set(extraction.templates), reverse=True):
        if index in extraction.references:
            name = target.container["env"][index]["name"]
            patch.replace(*path, index, value=file_reference(target.name, name))
        else:
            patch.remove(*path, index)
