"""From a verdict to the status that is written, or to nothing when nothing changed. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from wi_operator.api import reasons
from wi_operator.api.conditions import find_condition, merge_conditions
from wi_operator.core.clock import format_rfc3339, parse_rfc3339
from wi_operator.reconcile.decide import Verdict

SUCCESS_INTERVAL = 7200.0
"""Seconds between two writes of ``lastSuccessTime`` while nothing else changes."""
COUNTED = ("consecutiveFailures", "traceId", "correlationId")
"""Of the handshake record: written along with a change, never a reason to write."""


def render_status(
    item: Mapping[str, Any], verdict: Verdict, *, now: float, asked: str, extra: Mapping[str, Any]
) -> dict[str, Any] | None:
    """Return the whole new status, or ``None`` when the old one says the same.

    ``asked`` is the test annotation's value; ``extra`` holds the kind's own fields (``federation`` and the like).
    """
    previous = item.get("status") or {}
    record = previous.get("handshake") or {}
    was_asked = asked != record.get("observedTestRequest", "")
    if verdict.conditions is None and not was_asked:
        return None
    generation = item["metadata"].get("generation", 0)
    conditions = _render_conditions(previous, verdict, generation=generation, now=now)
    status = {
        "observedGeneration": generation,
        "conditions": conditions,
        **extra,
        "handshake": _render_record(record, verdict, _turned(previous, conditions), now=now, asked=asked),
    }
    return None if _significant(status) == _significant(previous) else status


def ready_of(status: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the Ready condition of a status, or an empty one."""
    return find_condition(status.get("conditions") or [], reasons.READY) or {}


def _render_conditions(
    previous: Mapping[str, Any], verdict: Verdict, *, generation: int, now: float
) -> list[dict[str, Any]]:
    before = previous.get("conditions") or []
    if verdict.conditions is None:
        return [dict(condition) for condition in before]
    return merge_conditions(before, verdict.conditions, generation=generation, now=format_rfc3339(now))


def _turned(previous: Mapping[str, Any], conditions: list[dict[str, Any]]) -> bool:
    return ready_of(previous).get("status") != ready_of({"conditions": conditions}).get("status")


def _render_record(
    record: Mapping[str, Any], verdict: Verdict, turned: bool, *, now: float, asked: str
) -> dict[str, Any]:
    moment, failure = format_rfc3339(now), verdict.failure
    succeeded = bool(verdict.conditions) and any(
        condition.type == reasons.READY and condition.status == "True" for condition in verdict.conditions or ()
    )
    new: dict[str, Any] = {
        "observedTestRequest": asked,
        "consecutiveFailures": verdict.streak.failures,
        "errorCode": "" if failure is None else failure.code[:64],
        "traceId": "" if failure is None else verdict.streak.trace_id,
        "correlationId": "" if failure is None else verdict.streak.correlation_id,
    }
    for name in ("lastTransitionTime", "lastSuccessTime"):
        if name in record:
            new[name] = record[name]
    if turned:
        new["lastTransitionTime"] = moment
    was_asked = asked != record.get("observedTestRequest", "")
    if succeeded and (turned or was_asked or _is_old(record.get("lastSuccessTime"), now)):
        new["lastSuccessTime"] = moment
    return new


def _is_old(moment: str | None, now: float) -> bool:
    try:
        return moment is None or now - parse_rfc3339(moment) >= SUCCESS_INTERVAL
    except ValueError:
        return True


def _significant(status: Mapping[str, Any]) -> dict[str, Any]:
    record = {name: value for name, value in (status.get("handshake") or {}).items() if name not in COUNTED}
    return {**status, "handshake": record}
