"""``kubectl wi explain``: the diagnosis table, offline. Pure."""

from __future__ import annotations

import difflib
from dataclasses import dataclass

from rich.console import Group, RenderableType
from rich.text import Text

from wi_operator.cli.complaints import Complaint
from wi_operator.cli.exits import Exit
from wi_operator.cli.output import pairs
from wi_operator.federation.diagnosis.base import Row
from wi_operator.federation.diagnosis.handbook import PLAIN, RETRIES, SYMPTOMS
from wi_operator.federation.diagnosis.table import ROWS


@dataclass(frozen=True, slots=True)
class Explanation:
    """One row in words; facts of a case show as ``<name>``."""

    reason: str
    code: str
    symptom: str
    cause: str
    remedy: str
    retry: str
    known_from: str


def find(name: str) -> tuple[Explanation, ...]:
    """Return what is known of a reason, a code, or the number of one; raises ``Complaint`` with what is like it."""
    wanted = name.strip().lower()
    for plain, meaning in PLAIN.items():
        if plain.lower() == wanted:
            return (Explanation(plain, plain, "condition or event", meaning, "", "", ""),)
    rows = [
        row for row in ROWS if wanted in {row.reason.lower(), row.code.lower(), row.code.lower().removeprefix("aadsts")}
    ]
    if not rows:
        raise Complaint(f"'{name}' is no reason or code that is known.{_suggest(wanted)}", Exit.USAGE)
    return tuple(dict.fromkeys(_explain(row) for row in rows))


def _suggest(wanted: str) -> str:
    known = {each.lower(): each for row in ROWS for each in (row.reason, row.code)} | {
        each.lower(): each for each in PLAIN
    }
    close = difflib.get_close_matches(wanted, known, n=3, cutoff=0.6) or [each for each in known if wanted in each][:3]
    names = ", ".join(known[each] for each in close)
    return f" Did you mean {names}?" if names else " `kubectl wi explain` without a name lists all."


def _explain(row: Row) -> Explanation:
    shown = row.diagnose()
    met = "; ".join(text for surface, text in SYMPTOMS.items() if surface in row.surfaces)
    return Explanation(
        reason=row.reason,
        code=row.code,
        symptom=met or "no error: the application goes on with an old value",
        cause=shown.cause,
        remedy=shown.remedy,
        retry=RETRIES[row.retry],
        known_from=row.provenance.value,
    )


def list_all() -> dict[str, list[str]]:
    """Return all reasons with their codes."""
    found: dict[str, list[str]] = {}
    for row in sorted(ROWS, key=lambda row: (row.reason.lower(), row.code)):
        found.setdefault(row.reason, []).extend(
            [row.code] if row.code not in (row.reason, *found.get(row.reason, ())) else []
        )
    return found | {reason: [] for reason in PLAIN}


def render(explanations: tuple[Explanation, ...]) -> RenderableType:
    """Return a paragraph for each."""
    parts: list[RenderableType] = []
    for each in explanations:
        head = each.reason if each.code == each.reason else f"{each.reason}  {each.code}"
        told = {
            "symptom": each.symptom,
            "cause": each.cause,
            "what to do": each.remedy,
            "retry": each.retry,
            "known from": each.known_from,
        }
        parts += [Text(head, "bold"), pairs({name: text for name, text in told.items() if text}), Text("")]
    return Group(*parts[:-1])
