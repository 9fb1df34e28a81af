"""The only reader of the clock; everything else takes a ``Clock`` as an argument."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Protocol


class Clock(Protocol):
    """What the product needs of time."""

    def now(self) -> float:
        """Return seconds since the epoch (UTC)."""

    def monotonic(self) -> float:
        """Return seconds that never go back; for durations and deadlines."""


class SystemClock:
    """The machine's clock."""

    def now(self) -> float:
        """Return seconds since the epoch (UTC)."""
        return time.time()

    def monotonic(self) -> float:
        """Return seconds that never go back."""
        return time.monotonic()


@dataclass(slots=True)
class FrozenClock:
    """A clock that moves only when told to; for tests."""

    seconds: float = 1_795_000_000.0

    def now(self) -> float:
        """Return the seconds set."""
        return self.seconds

    def monotonic(self) -> float:
        """Return the seconds set."""
        return self.seconds

    def advance(self, seconds: float) -> None:
        """Move forward by ``seconds``."""
        self.seconds += seconds


def format_rfc3339(seconds: float) -> str:
    """Write seconds since the epoch as Kubernetes writes ``metav1.Time`` (RFC 3339, seconds, Z)."""
    return _format_second(int(seconds // 1))


@lru_cache(maxsize=16)  # every line of a log asks for the current second
def _format_second(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def parse_rfc3339(text: str) -> float:
    """Read an RFC 3339 time into seconds since the epoch; raises ``ValueError`` on anything else."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"time without zone: {text!r}")
    return moment.timestamp()
