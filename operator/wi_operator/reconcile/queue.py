"""Our own keyed queue: when which object is due, one run per object at a time, a bounded number in all and per lane."""

from __future__ import annotations

import asyncio
import heapq
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from wi_operator.cluster.errors import ApiError, ConflictError
from wi_operator.core.clock import Clock
from wi_operator.core.log import fields
from wi_operator.reconcile.lanes import Lanes

BACKOFF_FIRST = 1.0
BACKOFF_LIMIT = 60.0
CONFLICT_SECONDS = 1.0

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, order=True)
class Ref:
    """Which object: kind, namespace, name."""

    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}"


Handler = Callable[[Ref], Awaitable[float | None]]
"""Reconciles one object; returns in how many seconds it is due again, ``None`` when it is gone."""
LanesOf = Callable[[Ref], tuple[str, ...]]
"""Names the tenant and the vault that a check of an object will speak to."""


def backoff(failures: int, *, first: float = BACKOFF_FIRST, limit: float = BACKOFF_LIMIT) -> float:
    """Return the wait after the n-th failure in a row: doubling, bounded."""
    return min(limit, first * 2.0 ** min(max(failures - 1, 0), 30))


@dataclass(slots=True)
class Schedule:
    """Due times by key; pure. A key stands here once, with its earliest time; a running key waits for its end."""

    _due: dict[Ref, float] = field(default_factory=dict)
    _heap: list[tuple[float, Ref]] = field(default_factory=list)
    _running: set[Ref] = field(default_factory=set)

    def add(self, ref: Ref, due: float) -> None:
        """Make ``ref`` due at ``due``, unless it is earlier already."""
        if due >= self._due.get(ref, float("inf")):
            return
        self._due[ref] = due
        if ref not in self._running:
            heapq.heappush(self._heap, (due, ref))

    def forget(self, ref: Ref) -> None:
        """Take ``ref`` out."""
        self._due.pop(ref, None)

    def take(self, now: float) -> Ref | None:
        """Return the key that is due the longest and mark it running; ``None`` when nothing is due."""
        due = self.next_due()
        if due is None or due > now:
            return None
        _, ref = heapq.heappop(self._heap)
        del self._due[ref]
        self._running.add(ref)
        return ref

    def finish(self, ref: Ref) -> None:
        """End the run of ``ref``; what was added meanwhile becomes due."""
        self._running.discard(ref)
        if ref in self._due:
            heapq.heappush(self._heap, (self._due[ref], ref))

    def next_due(self) -> float | None:
        """Return the earliest due time."""
        # Entries that were moved or forgotten stay in the heap until they come up.
        while self._heap and (self._due.get(self._heap[0][1]) != self._heap[0][0] or self._heap[0][1] in self._running):
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def count(self, now: float) -> tuple[int, int, int, float]:
        """Return how many keys are for later, due, and running, and for how long the oldest due one has waited."""
        resting = [due for ref, due in self._due.items() if ref not in self._running]
        due = [moment for moment in resting if moment <= now]
        return len(resting) - len(due), len(due), len(self._running), now - min(due, default=now)

    def __len__(self) -> int:
        return len(self._due)


def no_lanes(_: Ref) -> tuple[str, ...]:
    """Pace nothing."""
    return ()


@dataclass(slots=True)
class KeyedQueue:
    """Runs a handler for keys when they are due; before ``run`` keys are only collected (a standby's warm state)."""

    clock: Clock
    concurrency: int
    lanes_of: LanesOf = no_lanes
    schedule: Schedule = field(default_factory=Schedule)
    lanes: Lanes[Ref] = field(init=False)
    _changed: asyncio.Event = field(default_factory=asyncio.Event)
    _failures: dict[Ref, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.lanes = Lanes(self.concurrency)

    def enqueue(self, ref: Ref, delay: float = 0.0) -> None:
        """Make ``ref`` due in ``delay`` seconds; an earlier time stays."""
        self.schedule.add(ref, self.clock.monotonic() + delay)
        self._changed.set()

    def forget(self, ref: Ref) -> None:
        """Drop what is known of ``ref``: it was deleted."""
        self.schedule.forget(ref)
        self._failures.pop(ref, None)

    def look(self) -> tuple[dict[str, int], float]:
        """Return how many keys are in which state, and the seconds for which the oldest due one has waited."""
        later, due, running, lag = self.schedule.count(self.clock.monotonic())
        return {"scheduled": later, "due": due, "waiting": self.lanes.waiting(), "running": running}, lag

    async def run(self, handler: Handler) -> None:
        """Serve until cancelled."""
        free = asyncio.Semaphore(self.concurrency)
        async with asyncio.TaskGroup() as tasks:
            while True:
                await free.acquire()
                ref, lanes = await self._next()
                task = tasks.create_task(self._serve(ref, lanes, handler))
                task.add_done_callback(lambda _: free.release())

    async def _next(self) -> tuple[Ref, tuple[str, ...]]:
        while True:
            self._changed.clear()
            now = self.clock.monotonic()
            ref = self.schedule.take(now)
            if ref is not None:
                lanes = self.lanes_of(ref)
                if self._may_start(ref, lanes, now):
                    return ref, lanes
                continue
            due = self.schedule.next_due()
            try:
                async with asyncio.timeout(None if due is None else max(0.0, due - now)):
                    await self._changed.wait()
            except TimeoutError:
                continue

    def _may_start(self, ref: Ref, lanes: tuple[str, ...], now: float) -> bool:
        """Tell whether a due key starts now; one that must wait is put back, or is called when its lane has a place."""
        again = self.lanes.enter(ref, lanes, now)
        if again is None:
            return True
        self.schedule.finish(ref)
        if again != float("inf"):
            self.schedule.add(ref, again)
        return False

    async def _serve(self, ref: Ref, lanes: tuple[str, ...], handler: Handler) -> None:
        begun = self.clock.monotonic()
        try:
            delay = await handler(ref)
            self._failures.pop(ref, None)
        except ConflictError:
            delay = CONFLICT_SECONDS  # somebody else wrote first: judge again what is there now
        except ApiError as error:
            delay = self._fail(ref)
            log.warning("reconcile postponed", extra=fields(object=str(ref), error=str(error), retry_seconds=delay))
        except Exception:  # one object's bug must not end the others' reconciling
            delay = self._fail(ref)
            log.exception("reconcile failed", extra=fields(object=str(ref), retry_seconds=delay))
        finally:
            self.schedule.finish(ref)
            for waiting in self.lanes.leave(lanes, lasted=self.clock.monotonic() - begun):
                self.enqueue(waiting)
            self._changed.set()
        if delay is not None:
            self.enqueue(ref, delay)

    def _fail(self, ref: Ref) -> float:
        self._failures[ref] = self._failures.get(ref, 0) + 1
        return backoff(self._failures[ref])
