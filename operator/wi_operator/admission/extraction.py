"""Which entries of a container's env are delivered at the kickoff instead of by the kubelet. Pure.

The kubelet goes through env in order; ``$(NAME)`` means the definition before it, the last definition of a name is
the one that the process sees. The split must give the process the same environment.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from wi_operator.admission.declaration import Entry
from wi_operator.admission.expansion import escape_variables, expand, find_variables
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


@dataclass(slots=True)
class Extraction:
    """Entries for the declaration, the indexes that leave env, and what is refused.

    ``references`` are the indexes of references that the process sees; one that is overwritten is only taken.
    """

    entries: list[Entry] = field(default_factory=list)
    taken: list[int] = field(default_factory=list)
    references: list[int] = field(default_factory=list)
    templates: list[int] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)


@dataclass(slots=True)
class _Reading:
    """One pass over env: what each entry is and which definitions it means."""

    names: list[str]
    texts: list[str]
    references: set[int] = field(default_factory=set)
    templates: dict[int, dict[str, int]] = field(default_factory=dict)
    last: dict[str, int] = field(default_factory=dict)

    def is_moved(self, index: int) -> bool:
        return index in self.references or index in self.templates

    @property
    def moved(self) -> list[int]:
        return sorted(self.references | self.templates.keys())


def has_reference(env: Sequence[Mapping[str, Any]]) -> bool:
    """Tell whether any value claims to be a reference."""
    return any(is_reference(item.get("value") or "") for item in env)


def extract(env: Sequence[Mapping[str, Any]], *, has_env_from: bool) -> Extraction:
    """Split ``env``; with ``envFrom`` an unknown ``$(NAME)`` may still become known and stays as written."""
    if not has_reference(env):
        return Extraction()
    reading = _read(env)
    result = Extraction()
    result.taken = reading.moved
    live = _live(reading, result)
    result.references = [index for index in live if index in reading.references]
    result.templates = sorted(reading.templates)
    for index in live:
        result.entries.append(_entry(reading, index, result, has_env_from=has_env_from))
    return result


def _read(env: Sequence[Mapping[str, Any]]) -> _Reading:
    reading = _Reading([item.get("name") or "" for item in env], [item.get("value") or "" for item in env])
    bound = reading.last
    for index, (name, text) in enumerate(zip(reading.names, reading.texts, strict=True)):
        if is_reference(text):
            reading.references.add(index)
        elif "$(" in text:
            means = {v.name: bound[v.name] for v in find_variables(text) if v.name in bound}
            if any(reading.is_moved(definition) for definition in means.values()):
                reading.templates[index] = means
        bound[name] = index
    return reading


def _live(reading: _Reading, result: Extraction) -> list[int]:
    """The taken entries that the process can see, in order; an overwritten one that no template needs is dead."""
    needed: set[int] = set()
    live = []
    for index in reversed(result.taken):
        name = reading.names[index]
        if reading.last[name] == index:
            live.append(index)
            needed.update(reading.templates.get(index, {}).values())
        elif index in needed:
            result.problems.append(Problem(name, rows.VARIABLE_SET_TWICE, {"detail": name}))
    return live[::-1]


def _entry(reading: _Reading, index: int, result: Extraction, *, has_env_from: bool) -> Entry:
    name, text = reading.names[index], reading.texts[index]
    if not is_variable_name(name):
        result.problems.append(Problem(name, rows.INVALID_VARIABLE_NAME))
    if index in reading.references:
        return Entry(name, _reference(name, text, result))
    for used, definition in reading.templates[index].items():
        if not reading.is_moved(definition) and reading.last[used] != definition:
            # The launcher sees one environment: it could only take the later value.
            result.problems.append(Problem(name, rows.VARIABLE_SET_TWICE, {"detail": used}))
    return Entry(name, _template(reading, index, has_env_from=has_env_from), is_template=True)


def _reference(name: str, text: str, result: Extraction) -> str:
    if "$(" in text and (variables := find_variables(text)):
        held = text[variables[0].start : variables[0].end]
        result.problems.append(Problem(name, rows.VARIABLE_IN_REFERENCE, {"detail": held}))
        return text
    plain = expand(text, {}) if "$" in text else text
    try:
        parse(plain)
    except MalformedReferenceError as error:
        result.problems.append(Problem.malformed(name, error))
    return plain


def _template(reading: _Reading, index: int, *, has_env_from: bool) -> str:
    """Escape what the kubelet would have left alone: the launcher knows more names than the kubelet does."""
    text = reading.texts[index]
    known = reading.templates[index]
    unknown = {v.name for v in find_variables(text)} - known.keys()
    # T=$(T) can only mean envFrom's T; the launcher finds that one in the environment, because ours left env.
    own = {reading.names[index]} if has_env_from else set()
    defined_later = {name for name in unknown - own if name in reading.last}
    nowhere = set() if has_env_from else {name for name in unknown if not _SERVICE_VARIABLE.fullmatch(name)}
    return escape_variables(text, defined_later | nowhere)
