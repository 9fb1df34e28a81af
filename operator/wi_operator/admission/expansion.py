"""Kubernetes' ``$(NAME)`` syntax, exactly as the kubelet reads it.

``$(NAME)`` is replaced if NAME is known and stays as written if not; ``$$`` is a literal ``$``; a ``$`` before anything
else is literal (Kubernetes documentation, "Define dependent environment variables").
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import NamedTuple


class Variable(NamedTuple):
    """An unescaped ``$(name)`` at ``text[start:end]``."""

    start: int
    end: int
    name: str


def find_variables(text: str) -> list[Variable]:
    """List the unescaped ``$(NAME)`` of ``text`` from left to right."""
    found = []
    cursor = text.find("$")
    while cursor >= 0:
        close = text.find(")", cursor + 2) if text.startswith("(", cursor + 1) else -1
        if close < 0:
            # "$$", "$x" and an unclosed "$(" are two literal characters: the second never opens a variable.
            cursor = text.find("$", cursor + 2)
            continue
        found.append(Variable(cursor, close + 1, text[cursor + 2 : close]))
        cursor = text.find("$", close + 1)
    return found


def expand(text: str, values: Mapping[str, str]) -> str:
    """Expand ``text`` as the kubelet does."""
    parts = []
    begin = 0
    for variable in find_variables(text):
        parts.append(_unescape(text[begin : variable.start]))
        parts.append(values.get(variable.name, text[variable.start : variable.end]))
        begin = variable.end
    parts.append(_unescape(text[begin:]))
    return "".join(parts)


def _unescape(literal: str) -> str:
    return literal.replace("$$", "$")


def escape(text: str) -> str:
    """Write ``text`` so that the kubelet's expansion gives it back unchanged."""
    return text.replace("$", "$$")


def escape_variables(text: str, names: Collection[str]) -> str:
    """Escape the ``$(NAME)`` whose NAME is in ``names``; they then expand to themselves whoever is asked."""
    parts = []
    begin = 0
    for variable in find_variables(text):
        parts.append(text[begin : variable.start])
        whole = text[variable.start : variable.end]
        # escape() doubles every "$": a name may itself hold "$(", which would else become a variable.
        parts.append(escape(whole) if variable.name in names else whole)
        begin = variable.end
    parts.append(text[begin:])
    return "".join(parts)
