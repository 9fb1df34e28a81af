"""A watch's pulse: what counts as an event, what as a proof, and what an absent one looks like."""

import asyncio

from prometheus_client import CollectorRegistry

from wi_operator.cluster.pulse import Pulse, Pulses
from wi_operator.cluster.watch import Watch
from wi_operator.core.clock import FrozenClock

BOOKMARK = {"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": "7"}}}
ADDED = {"type": "ADDED", "object": {"metadata": {"name": "a", "resourceVersion": "8"}}}


class Client:
    """Lists nothing, shows one event ten seconds after the list, ends the watch, and shows no more."""

    def __init__(self, clock, event):
        self.clock, self.event, self.silent = clock, event, asyncio.Event()

    async def list(self, path, **_):
        return [], "1"

    async def watch(self, path, **_):
        if self.event is None:
            self.silent.set()
            await asyncio.Event().wait()
        self.clock.advance(10)
        event, self.event = self.event, None
        if event:
            yield event
        self.clock.advance(10)


async def follow(event):
    """Return event and proof in seconds from the start, when a watch has shown one event and ended in order."""
    clock = FrozenClock()
    begun, client = clock.now(), Client(clock, event)
    watch = Watch(client, "/api/v1/namespaces", lambda _: None, lambda _: None, pulse=Pulse(clock))
    task = asyncio.create_task(watch.run())
    await client.silent.wait()
    task.cancel()
    registry = CollectorRegistry()
    registry.register(Pulses({watch.resource: watch.pulse}))
    names = (f"wi_watch_last_{what}_timestamp_seconds" for what in ("event", "proof"))
    moments = [registry.get_sample_value(name, {"resource": "namespaces"}) for name in names]
    return [None if moment is None else moment - begun for moment in moments]


async def test_an_event_is_both_and_an_end_in_order_a_proof():
    assert await follow(ADDED) == [10, 20]


async def test_a_bookmark_is_no_event():
    assert await follow(BOOKMARK) == [None, 20]


async def test_before_the_first_word_there_is_no_series():
    assert await follow(None) == [None, 0]
    registry = CollectorRegistry()
    registry.register(Pulses({"namespaces": Pulse(FrozenClock())}))
    assert [sample for family in registry.collect() for sample in family.samples] == []
