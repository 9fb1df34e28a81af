"""JSON Patch (RFC 6902), built operation by operation; unknown fields of the pod are never touched."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

Token = str | int
Operations = Sequence[Mapping[str, Any]]


# The tokens are names of fields, positions and annotations of ours: few, and none of the pod's choosing.
@lru_cache(maxsize=1024)
def pointer(*tokens: Token) -> str:
    """Write a JSON Pointer (RFC 6901 section 3: ``~`` is ``~0``, ``/`` is ``~1``)."""
    return "".join(["/" + _escape(str(token)) for token in tokens])


def _escape(token: str) -> str:
    return token.replace("~", "~0").replace("/", "~1")


@dataclass(slots=True)
class Patch:
    """Operations in the order in which they are applied."""

    operations: list[dict[str, Any]] = field(default_factory=list)

    def add(self, *tokens: Token, value: Any) -> None:
        """Add a member, or insert before an index (``-``: at the end)."""
        self.operations.append({"op": "add", "path": pointer(*tokens), "value": value})

    def replace(self, *tokens: Token, value: Any) -> None:
        """Replace what is there."""
        self.operations.append({"op": "replace", "path": pointer(*tokens), "value": value})

    def remove(self, *tokens: Token) -> None:
        """Remove what is there."""
        self.operations.append({"op": "remove", "path": pointer(*tokens)})

    def extend(self, *tokens: Token, values: list[Any], to: list[Any] | None) -> None:
        """Append ``values`` to the list at ``tokens``, which now is ``to``; make the list if there is none."""
        if to:
            for value in values:
                self.add(*tokens, "-", value=value)
        elif values:
            # "add" on a member that exists replaces it (RFC 6902 section 4.1): right for null and [] too.
            self.add(*tokens, value=values)
