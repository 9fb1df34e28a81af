"""Reading of foreign bodies: never trusted to have a shape, never shown unbounded."""

from __future__ import annotations

import json
from typing import Any

MAX_TEXT = 800


def json_object(body: bytes) -> dict[str, Any]:
    """Return the JSON object in ``body``, or an empty one for anything else."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def member(document: dict[str, Any], name: str) -> dict[str, Any]:
    """Return an inner object, or an empty one."""
    value = document.get(name)
    return value if isinstance(value, dict) else {}


def text_of(document: dict[str, Any], name: str) -> str:
    """Return a text member, or an empty text."""
    value = document.get(name)
    return value if isinstance(value, str) else ""


def one_line(text: str) -> str:
    """Return text fit for a condition or a log: one line, printable, bounded."""
    # A line break in a foreign text could forge a log line of ours.
    words = "".join(character if character.isprintable() else " " for character in text).split()
    line = " ".join(words)
    return line if len(line) <= MAX_TEXT else line[:MAX_TEXT] + "..."
