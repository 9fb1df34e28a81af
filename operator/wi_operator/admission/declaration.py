"""What a pod declared: the variables of each container, carried in the sidecar's own (immutable) environment."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

import orjson

VERSION = 1
VARIABLE = "WI_DECLARATION"


class Entry(NamedTuple):
    """One variable of a container: a reference, or a template over such variables."""

    name: str
    text: str
    is_template: bool = False

    def to_json(self) -> dict[str, str]:
        """Return the entry as the sidecar reads it."""
        return {"name": self.name, "template" if self.is_template else "reference": self.text}

    @classmethod
    def from_json(cls, item: Mapping[str, str]) -> Entry:
        """Read what ``to_json`` wrote; raises ``KeyError`` or ``TypeError`` on anything else."""
        is_template = "template" in item
        name, text = item["name"], item["template" if is_template else "reference"]
        if not (isinstance(name, str) and isinstance(text, str)):
            raise TypeError("a name or text that is no string")
        return cls(name, text, is_template)


Declaration = Mapping[str, tuple[Entry, ...]]
"""Container name to its entries, in the order of its env."""


def write(declaration: Declaration) -> str:
    """Write the value of ``WI_DECLARATION``."""
    containers = {name: {"entries": [e.to_json() for e in entries]} for name, entries in declaration.items()}
    text = orjson.dumps({"version": VERSION, "containers": containers}).decode()
    # The kubelet expands this value too: a bare "$$(X)" would reach the sidecar as "$(X)". "$" occurs in strings only.
    return text.replace("$", "\\u0024")


def read(text: str) -> Declaration | None:
    """Read a ``WI_DECLARATION``; ``None`` if it is none of ours."""
    try:
        document = json.loads(text)
        if document["version"] != VERSION:
            return None
        return {
            name: tuple(Entry.from_json(item) for item in container["entries"])
            for name, container in document["containers"].items()
        }
    except (ValueError, LookupError, TypeError, AttributeError):
        return None


def of_sidecar(container: Mapping[str, Any]) -> Declaration | None:
    """Read the declaration out of a container's env; ``None`` if it has none of ours."""
    for item in container.get("env") or ():
        if item.get("name") == VARIABLE:
            return read(item.get("value") or "")
    return None
