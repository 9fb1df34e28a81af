"""Annotations on an injected pod: the CA's hash and the warnings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from wi_operator.admission.patch import Patch
from wi_operator.admission.plan import Plan
from wi_operator.api import names


def annotate(plan: Plan, warnings: Sequence[str], patch: Patch) -> None:
    """Set both; warnings of an earlier call that no longer hold are removed."""
    wanted = {names.CA_ANNOTATION: plan.settings.ca_sha256}
    if warnings:
        wanted[names.WARNINGS_ANNOTATION] = "\n".join(warnings)
    if not plan.annotations:
        patch.add("metadata", "annotations", value=wanted)
        return
    _set(plan.annotations, wanted, patch)


def _set(present: Mapping[str, str], wanted: Mapping[str, str], patch: Patch) -> None:
    for key, value in wanted.items():
        if present.get(key) != value:
            patch.add("metadata", "annotations", key, value=value)
    if names.WARNINGS_ANNOTATION in present and names.WARNINGS_ANNOTATION not in wanted:
        patch.remove("metadata", "annotations", names.WARNINGS_ANNOTATION)
