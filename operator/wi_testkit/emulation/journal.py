"""The journal of an emulator: what was asked and how it was answered, without anything that grants access."""

from __future__ import annotations

from collections import deque
from dataclasses import asdict, dataclass
from typing import Any

# Old entries fall out: an emulator in a cluster runs for days under a probe every few seconds.
CAPACITY = 10_000


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One answered request. Tokens, assertions and values are left out on purpose."""

    time: float
    method: str
    host: str
    path: str
    status: int
    outcome: str
    client_id: str = ""
    principal: str = ""
    assertion_claims: dict[str, Any] | None = None


class Journal:
    """The last requests of an emulator, oldest first."""

    def __init__(self) -> None:
        self._entries: deque[Entry] = deque(maxlen=CAPACITY)

    def record(self, entry: Entry) -> None:
        """Remember one answered request."""
        self._entries.append(entry)

    def clear(self) -> None:
        """Forget everything, so that a test counts only what it caused."""
        self._entries.clear()

    def as_json(self) -> list[dict[str, Any]]:
        """Return the entries as JSON values."""
        return [asdict(entry) for entry in self._entries]
