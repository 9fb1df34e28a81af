"""When a watch last showed something, and when it was last proven to show everything."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from wi_operator.core.clock import Clock, SystemClock
from wi_operator.core.metrics import Reading, Spec, StateCollector

EVENT = Spec(
    "wi_watch_last_event_timestamp_seconds",
    "gauge",
    "When the watch of a resource last showed an event. Old is normal where nothing changes.",
    ("resource",),
)
PROOF = Spec(
    "wi_watch_last_proof_timestamp_seconds",
    "gauge",
    "When the watch of a resource was last proven alive: an event, a bookmark, a new list, or a comparison that found all seen.",
    ("resource",),
)
SPECS = (EVENT, PROOF)


@dataclass(slots=True)
class Pulse:
    """Two moments of one watch, seconds since the epoch; 0 until the first."""

    clock: Clock = field(default_factory=SystemClock)
    event_at: float = 0.0
    proof_at: float = 0.0

    def beat(self) -> None:
        """Note an event."""
        self.event_at = self.proof_at = self.clock.now()

    def prove(self) -> None:
        """Note that nothing was missed."""
        self.proof_at = self.clock.now()


@dataclass(slots=True, eq=False)
class Pulses(StateCollector):
    """The watches of a process, by resource."""

    specs = SPECS
    pulses: Mapping[str, Pulse]

    def read(self) -> Iterator[Reading]:
        """Yield both moments of every watch that has had them."""
        for resource, pulse in self.pulses.items():
            if pulse.event_at:
                yield EVENT, (resource,), pulse.event_at
            if pulse.proof_at:
                yield PROOF, (resource,), pulse.proof_at
