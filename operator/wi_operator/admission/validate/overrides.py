"""Choices about the sidecar that the chart does not leave to pods."""

from __future__ import annotations

from collections.abc import Iterator

from wi_operator.admission.overrides import find_faults
from wi_operator.admission.plan import Plan


def faulty_overrides(plan: Plan) -> Iterator[str]:
    """Yield annotations that are malformed or out of bounds."""
    return find_faults(plan.settings, plan.annotations)
