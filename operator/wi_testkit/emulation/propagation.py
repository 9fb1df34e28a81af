"""Propagation: a change is seen by one node of the service after the other, and each request reaches some node.

That is why real failures are intermittent, also after a first success. The first node sees a change at once, the last
one when the time is over; a single node sees it only then.
"""

from __future__ import annotations

import random
from typing import Generic, TypeVar

from wi_testkit.emulation.settings import Settings

Value = TypeVar("Value")
# Far more changes of one object than fit into any propagation time; older ones are forgotten.
KEPT = 100


class History(Generic[Value]):
    """A value with its past. Moments are monotonic: setting a clock does not make anything unseen."""

    def __init__(self, first: Value) -> None:
        self._first = first
        self._changes: list[tuple[float, float, Value]] = []

    def record(self, moment: float, seconds: float, value: Value) -> None:
        """Remember what the value is from this moment on; ``seconds`` later the last node sees it."""
        self._changes = [*self._changes[-KEPT:], (moment, seconds, value)]

    def at(self, moment: float, lateness: float) -> Value:
        """Return what a node sees at a moment; ``lateness`` is 0 for the first node and 1 for the last."""
        seen = (value for since, seconds, value in reversed(self._changes) if since + lateness * seconds <= moment)
        return next(seen, self._first)


class Nodes:
    """The nodes of a service; which one a request reaches is random, but the same for the same seed."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._random = random.Random(settings.seed)  # noqa: S311  repeatable on purpose

    def seconds(self, own: float | None) -> float:
        """Return how long a change takes that is made now; an object may have a time of its own."""
        return self._settings.propagation_seconds if own is None else own

    def lateness(self, own: float | None = None) -> float:
        """Return which node the next request reaches, from 0 to 1; without propagation everything is seen."""
        last = max(1, self._settings.propagation_nodes) - 1
        if self.seconds(own) <= 0:
            return 0.0
        return self._random.randint(0, last) / last if last else 1.0
