"""Which entries of a container's env are delivered at the kickoff instead of by the kubelet. Pure.

The kubelet goes through env in order; ``$(NAME)`` means the definition before it, the last definition of a name is
the one that the process sees. The split must give the process the same environment.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple

from wi_operator.admission.declaration import Entry
from wi_operator.admission.expansion import escape_variables, expand, find_variables
from wi_operator.admission.keeping import is_small
from wi_operator.admission.uses import Use, find_uses
from wi_operator.api.reference import FORM, MalformedReferenceError, is_reference, is_variable_name, parse
from wi_operator.federation.diagnosis import admission as rows
from wi_operator.federation.diagnosis.base import Row

# Names that the kubelet makes for Services; it knows them although env does not define them.
_SERVICE_VARIABLE = re.compile(
    r"[A-Z0-9_]+_(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?|PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)"
)


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a variable is refused."""

    variable: str
    row: Row
    facts: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def malformed(cls, variable: str, error: MalformedReferenceError) -> Problem:
        """Say what the parser said."""
        correction = error.correction or f"it as {FORM}"
        facts = {"detail": error.problem, "position": str(error.position), "correction": correction}
        return cls(variable, rows.MALFORMED_REFERENCE, facts)

    def tell(self, container: str) -> str:
        """Return the line for the user; ``container`` is how messages call it."""
        return rows.tell(f"{container}, variable '{self.variable}'", self.row, **self.facts)


class Extraction(NamedTuple):
    """Entries for the declaration and what they ask for, the indexes that leave env, and what is refused.

    ``references`` are the indexes of references that the process sees; one that is overwritten is only taken.
    """

    entries: tuple[Entry, ...] = ()
    uses: tuple[Use, ...] = ()
    taken: tuple[int, ...] = ()
    references: tuple[int, ...] = ()
    templates: tuple[int, ...] = ()
    problems: tuple[Problem, ...] = ()


Written = tuple[tuple[str, str], ...]
"""Name and text of each entry of an env; the text is empty where nothing depends on it."""


@dataclass(slots=True)
class _Reading:
    """One pass over env.

    ``moved`` are the entries that leave env, in order: a reference with ``None``, a template with the definitions that its
    variables mean. ``last`` is the last definition of each name.
    """

    written: Written
    moved: dict[int, dict[str, int] | None] = field(default_factory=dict)
    last: dict[str, int] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def complain(self, variable: str, row: Row, **facts: str) -> None:
        self.problems.append(Problem(variable, row, facts))


def extract(env: Sequence[Mapping[str, Any]], *, has_env_from: bool) -> Extraction:
    """Split ``env``; with ``envFrom`` an unknown ``$(NAME)`` may still become known and stays as written."""
    # Pods come from templates: the same references again and again, beside literals that differ. Those are left out
    # here, so that what is remembered of one pod serves the next and holds nothing that a user may have meant to hide.
    written = tuple([(item.get("name") or "", _needed(item.get("value") or "")) for item in env])
    return (_extract_kept if is_small(written) else _extract)(written, has_env_from)


def _needed(text: str) -> str:
    return text if "$(" in text or is_reference(text) else ""


def _extract(written: Written, has_env_from: bool) -> Extraction:
    reading = _read(written)
    if not reading.moved:
        return Extraction()
    live = _live(reading)
    entries = tuple([_entry(reading, index, has_env_from=has_env_from) for index in live])
    return Extraction(
        entries,
        uses=tuple(find_uses(entries)),
        taken=tuple(reading.moved),
        references=tuple([index for index in live if reading.moved[index] is None]),
        templates=tuple([index for index, means in reading.moved.items() if means is not None]),
        problems=tuple(reading.problems),
    )


_extract_kept = lru_cache(maxsize=64)(_extract)


def _read(written: Written) -> _Reading:
    reading = _Reading(written)
    bound, moved = reading.last, reading.moved
    for index, (name, text) in enumerate(written):
        if is_reference(text):
            moved[index] = None
        elif "$(" in text:
            means = {v.name: bound[v.name] for v in find_variables(text) if v.name in bound}
            if not moved.keys().isdisjoint(means.values()):
                moved[index] = means
        bound[name] = index
    return reading


def _live(reading: _Reading) -> list[int]:
    """The taken entries that the process can see, in order; an overwritten one that no template needs is dead."""
    needed: set[int] = set()
    live = []
    for index in reversed(reading.moved):
        name, _ = reading.written[index]
        if reading.last[name] == index:
            live.append(index)
            needed.update((reading.moved[index] or {}).values())
        elif index in needed:
            reading.complain(name, rows.VARIABLE_SET_TWICE, detail=name)
    live.reverse()
    return live


def _entry(reading: _Reading, index: int, *, has_env_from: bool) -> Entry:
    name, text = reading.written[index]
    means = reading.moved[index]
    if not is_variable_name(name):
        reading.complain(name, rows.INVALID_VARIABLE_NAME)
    if means is None:
        return Entry(name, _reference(name, text, reading))
    for used, definition in means.items():
        if definition not in reading.moved and reading.last[used] != definition:
            # The launcher sees one environment: it could only take the later value.
            reading.complain(name, rows.VARIABLE_SET_TWICE, detail=used)
    return Entry(name, _template(reading, index, means, has_env_from=has_env_from), is_template=True)


def _reference(name: str, text: str, reading: _Reading) -> str:
    plain = text
    if "$" in text:
        if variables := find_variables(text):
            reading.complain(name, rows.VARIABLE_IN_REFERENCE, detail=text[variables[0].start : variables[0].end])
            return text
        plain = expand(text, {})
    try:
        parse(plain)
    except MalformedReferenceError as error:
        reading.problems.append(Problem.malformed(name, error))
    return plain


def _template(reading: _Reading, index: int, known: Mapping[str, int], *, has_env_from: bool) -> str:
    """Escape what the kubelet would have left alone: the launcher knows more names than the kubelet does."""
    name, text = reading.written[index]
    unknown = {variable.name for variable in find_variables(text)} - known.keys()
    # T=$(T) can only mean envFrom's T; the launcher finds that one in the environment, because ours left env.
    own = {name} if has_env_from else set()
    defined_later = {each for each in unknown - own if each in reading.last}
    nowhere = set() if has_env_from else {each for each in unknown if not _SERVICE_VARIABLE.fullmatch(each)}
    return escape_variables(text, defined_later | nowhere)
