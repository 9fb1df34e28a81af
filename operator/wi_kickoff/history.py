"""Which text is a value that this process was given earlier; digests only, nothing is kept in clear."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping

SHORTEST = 8
"""Characters below which a text is never taken for a secret: ``1`` or ``gpt-4o`` stands in many places by chance."""


class History:
    """Keyed digests of all values seen, and which of them are current."""

    def __init__(self) -> None:
        self._key = os.urandom(16)
        self._names: dict[bytes, set[str]] = {}
        self._current: dict[str, bytes] = {}

    @property
    def is_empty(self) -> bool:
        """Tell whether nothing can be stale, because nothing ever changed."""
        return len(self._names) <= len(set(self._current.values()))

    def note(self, values: Mapping[str, str]) -> None:
        """Remember the values as the current ones of their variables."""
        for name, value in values.items():
            digest = self._digest(value)
            self._names.setdefault(digest, set()).add(name)
            self._current[name] = digest

    def is_given(self, name: str) -> bool:
        """Tell whether ``name`` is a secret variable."""
        return name in self._current

    def stale_names(self, text: str) -> tuple[str, ...]:
        """Return the variables of which ``text`` is an earlier value, and of none a current one."""
        if len(text) < SHORTEST:
            return ()
        digest = self._digest(text)
        names = self._names.get(digest)
        if not names or digest in self._current.values():
            return ()
        return tuple(sorted(names))

    def is_known(self, text: str) -> bool:
        """Tell whether ``text`` was ever given to this process."""
        return self._digest(text) in self._names

    def _digest(self, text: str) -> bytes:
        return hashlib.blake2b(text.encode("utf-8", "surrogateescape"), key=self._key, digest_size=16).digest()
