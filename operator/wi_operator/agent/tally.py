"""What kickoffs came to, until the issuer has been told: the sidecar has no port that anybody could scrape."""

from __future__ import annotations

from collections import deque

HEADER = "wi-kickoffs"
KEPT = 16
"""The latest ones; the issuer counts no more of one question."""
SUCCEEDED = "succeeded"

Entry = tuple[str, int]
"""``succeeded`` or the reason of the first failure; milliseconds."""


class Tally:
    """Entries wait here and travel with the next question for grants."""

    def __init__(self) -> None:
        self._entries: deque[Entry] = deque(maxlen=KEPT)

    def note(self, outcome: str, milliseconds: int) -> None:
        """Add a kickoff."""
        self._entries.append((outcome, milliseconds))

    def take(self) -> list[Entry]:
        """Return what is to be told, and forget it."""
        taken = list(self._entries)
        self._entries.clear()
        return taken

    def give_back(self, entries: list[Entry]) -> None:
        """Keep for the next question what the issuer did not hear."""
        room = KEPT - len(self._entries)
        if room:
            self._entries.extendleft(reversed(entries[-room:]))

    def __bool__(self) -> bool:
        return bool(self._entries)


def render(entries: list[Entry]) -> str:
    """Return the header's text; a reason that is no plain word stands as ``Other``."""
    return ",".join(
        f"{outcome if outcome.isascii() and outcome.isalpha() else 'Other'} {ms}" for outcome, ms in entries
    )
