"""Pacing per tenant and per vault: who may start now, who waits, and until when a throttled one rests. Pure.

A lane is one tenant of a login host, or one vault. One that hangs or throttles must cost the others nothing: it may have few
checks under way, one while it is slow, and slow lanes together at most a part of all.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

WIDTH = 4
"""Checks of one lane at once."""
SLOW_SECONDS = 2.5
"""A check that took longer makes its lanes slow, until one is quicker."""
SLOW_SHARE = 2
"""Slow lanes have one in so many of all places."""
REST_FIRST = 1.0
REST_LIMIT = 16.0
"""Microsoft Learn, "Azure Key Vault throttling guidance": wait 1, 2, 4, 8, 16 seconds."""

T = TypeVar("T", bound=Hashable)


@dataclass(slots=True)
class _Lane(Generic[T]):
    running: int = 0
    slow: bool = False
    rests: int = 0
    rest_until: float = 0.0
    waiting: deque[T] = field(default_factory=deque)

    @property
    def width(self) -> int:
        return 1 if self.slow else WIDTH


@dataclass(slots=True)
class Lanes(Generic[T]):
    """``capacity`` is how many checks run at once in all; times in seconds on one clock."""

    capacity: int
    _lanes: dict[str, _Lane[T]] = field(default_factory=dict)

    def enter(self, key: T, lanes: Iterable[str], now: float) -> float | None:
        """Start ``key`` in all its lanes and return ``None``, or tell when to come again (``inf``: ``leave`` says)."""
        wanted = [(name, self._lane(name)) for name in lanes]
        rest = max((lane.rest_until for _, lane in wanted), default=0.0)
        if rest > now:
            return rest
        for _, lane in wanted:
            if lane.running >= lane.width or (lane.slow and self._slow_running() >= self.capacity // SLOW_SHARE):
                if key not in lane.waiting:
                    lane.waiting.append(key)
                return float("inf")
        for _, lane in wanted:
            lane.running += 1
        return None

    def leave(self, lanes: Iterable[str], *, lasted: float) -> list[T]:
        """End a check; return the keys that may try to enter now."""
        freed: list[T] = []
        was_slow = False
        for name in lanes:
            lane = self._lane(name)
            was_slow = was_slow or lane.slow
            lane.running -= 1
            lane.slow = lasted >= SLOW_SECONDS
            freed += self._release(name)
        if was_slow:
            # A place of the slow ones became free.
            for name in [name for name, lane in self._lanes.items() if lane.slow and lane.waiting and not lane.running]:
                freed += self._release(name)
        return freed

    def rest(self, name: str, now: float, retry_after: float | None, longest: float) -> None:
        """Start nothing more in a lane that throttles: as long as it says, else doubling; never over ``longest`` seconds."""
        lane = self._lane(name)
        if lane.rest_until > now:
            return  # others of the same burst
        wait = retry_after if retry_after is not None else min(REST_LIMIT, REST_FIRST * 2.0**lane.rests)
        lane.rests = min(lane.rests + 1, 10)
        lane.rest_until = now + min(wait, longest)

    def recover(self, name: str) -> None:
        """Note an answer that was no throttling."""
        lane = self._lanes.get(name)
        if lane is not None:
            lane.rests = 0

    def waiting(self) -> int:
        """Return how many keys wait for a place."""
        return len({key for lane in self._lanes.values() for key in lane.waiting})

    def _release(self, name: str) -> list[T]:
        lane = self._lane(name)
        count = max(0, lane.width - lane.running)
        freed = [lane.waiting.popleft() for _ in range(min(count, len(lane.waiting)))]
        if not lane.running and not lane.waiting and not lane.slow and not lane.rests:
            self._lanes.pop(name, None)
        return freed

    def _slow_running(self) -> int:
        return sum(lane.running for lane in self._lanes.values() if lane.slow)

    def _lane(self, name: str) -> _Lane[T]:
        return self._lanes.setdefault(name, _Lane())
