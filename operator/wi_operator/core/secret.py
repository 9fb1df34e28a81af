"""Values that must not be seen: opened only by ``reveal``."""

from __future__ import annotations

import hmac
from typing import NoReturn


class SecretValue:
    """A secret text that no repr, format, log, pickle or comparison shortcut gives away.

    Holds ``str``; equality is constant-time; there is no ordering and no length.
    """

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """Return the plain text: the one door, easy to search for in a review."""
        return self._value

    def __repr__(self) -> str:
        return "SecretValue(<redacted>)"

    __str__ = __repr__

    def __format__(self, format_spec: str) -> str:
        return repr(self)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, SecretValue):
            return NotImplemented
        return hmac.compare_digest(self._value.encode(), other._value.encode())

    __hash__ = None  # type: ignore[assignment] # a hash would make values comparable across tables

    def __bool__(self) -> NoReturn:
        raise TypeError("the truth of a secret value says something about it; compare explicitly")

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret value is not pickled")
