"""What was found and what to do about it; what all commands judge with. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

from wi_operator.api import reasons
from wi_operator.api.conditions import find_condition
from wi_operator.federation.diagnosis.table import ROWS

LEAST_PREFIX = 6
"""Characters of a remedy before its first fact: fewer would be found anywhere."""


class Level(Enum):
    """How bad it is."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Finding:
    """One fact; ``objects`` as ``wic team-a/azure``."""

    level: Level
    reason: str
    objects: tuple[str, ...]
    message: str
    remedy: str = ""


def merge(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Tell the same fault of several objects once; failures first."""
    groups: dict[tuple[Any, ...], Finding] = {}
    for each in findings:
        key = (each.level, each.reason, each.message, each.remedy)
        known = groups.get(key)
        groups[key] = replace(known, objects=(*known.objects, *each.objects)) if known else each
    return tuple(sorted(groups.values(), key=lambda each: each.level is not Level.FAIL))


def worst(findings: Iterable[Finding]) -> Level:
    """Return the worst level of all."""
    order = list(Level)
    return max((each.level for each in findings), key=order.index, default=Level.OK)


def condition(item: Mapping[str, Any], kind: str) -> Mapping[str, Any]:
    """Return a condition of an object, empty when it has none."""
    return find_condition((item.get("status") or {}).get("conditions") or [], kind) or {}


def is_judged(item: Mapping[str, Any]) -> bool:
    """Tell whether the controller has judged the object's present spec."""
    return bool(condition(item, reasons.READY).get("observedGeneration") == item["metadata"].get("generation", 0))


def split(reason: str, message: str) -> tuple[str, str]:
    """Part a condition's message into cause and remedy, by the rows of ``reason``; the remedy is ``""`` for others."""
    rows = [row for row in ROWS if row.reason == reason]
    prefixes = [row.remedy.partition("{")[0].strip() for row in rows if message.startswith(f"{row.code}: ")] or [
        row.remedy.partition("{")[0].strip() for row in rows
    ]
    places = [message.find(prefix) for prefix in prefixes if len(prefix) >= LEAST_PREFIX]
    begin = min((place for place in places if place > 0), default=0)
    if not begin:
        return message, f"kubectl wi explain {reason}" if rows else ""
    return message[:begin].strip(), message[begin:]
