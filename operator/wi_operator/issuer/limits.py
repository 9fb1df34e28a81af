"""How often somebody may ask: token buckets by key, bounded in number."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field

from wi_operator.core.clock import Clock

BURST_SECONDS = 5.0
KEYS = 10_000


@dataclass(slots=True)
class Limit:
    """``rate`` requests per second for each key, with bursts of five seconds' worth."""

    rate: float
    clock: Clock
    _buckets: OrderedDict[str, tuple[float, float]] = field(default_factory=OrderedDict, init=False)

    def take(self, key: str = "") -> float:
        """Take one request out of the key's bucket; return 0, or the seconds after which there is one again."""
        now, burst = self.clock.monotonic(), max(self.rate * BURST_SECONDS, 1.0)
        level, then = self._buckets.pop(key, (burst, now))
        level = min(burst, level + (now - then) * self.rate)
        is_allowed = level >= 1.0
        self._buckets[key] = (level - 1.0 if is_allowed else level, now)
        if len(self._buckets) > KEYS:
            # The one that was quiet for longest: its bucket is full again, or nearly.
            self._buckets.popitem(last=False)
        return 0.0 if is_allowed else (1.0 - level) / self.rate
