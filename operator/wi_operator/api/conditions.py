"""Conditions as Kubernetes means them: transition time moves with the status only."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

MESSAGE_LIMIT = 32768
"""Characters; ``metav1.Condition`` allows no more."""


@dataclass(frozen=True, slots=True)
class Condition:
    """One judged condition; ``status`` is ``True``, ``False`` or ``Unknown``."""

    type: str
    status: str
    reason: str
    message: str


def find_condition(conditions: Iterable[Mapping[str, Any]], condition_type: str) -> Mapping[str, Any] | None:
    """Return the condition of that type as the API's JSON, or ``None``."""
    return next((condition for condition in conditions if condition.get("type") == condition_type), None)


def merge_conditions(
    previous: Iterable[Mapping[str, Any]], judged: Iterable[Condition], *, generation: int, now: str
) -> list[dict[str, Any]]:
    """Render ``judged`` in order; ``now`` (RFC 3339) is the transition time of those whose status changed.

    A type that is not judged any more disappears (abnormal-true types exist only while true).
    """
    before = {condition.get("type"): condition for condition in previous}
    return [_render(before.get(condition.type), condition, generation=generation, now=now) for condition in judged]


def _render(previous: Mapping[str, Any] | None, condition: Condition, *, generation: int, now: str) -> dict[str, Any]:
    unchanged = previous is not None and previous.get("status") == condition.status
    return {
        "type": condition.type,
        "status": condition.status,
        "reason": condition.reason,
        "message": condition.message[:MESSAGE_LIMIT],
        "observedGeneration": generation,
        "lastTransitionTime": previous.get("lastTransitionTime", now) if previous and unchanged else now,
    }
