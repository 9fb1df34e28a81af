"""A day of sixty objects on a fake clock: scheduler, lanes, gathering's outcomes, decisions, rendering; faults at random."""

import asyncio
import copy
import random

import pytest

from wi_operator.core.clock import FrozenClock
from wi_operator.federation.diagnosis import entra, transport
from wi_operator.reconcile.decide import ConfigOutcome
from wi_operator.reconcile.gather import ConfigFacts
from wi_operator.reconcile.queue import KeyedQueue
from wi_operator.reconcile.reconciler import Reconciler
from wi_operator.reconcile.store import Store

KIND = "WorkloadIdentityConfig"
DAY, OBJECTS, FAULTS = 86400.0, 60, 0.01
ARRIVES = 900.0
"""Seconds in which a change reaches one server of the cloud after the other."""
SLOW = transport.diagnose(transport.Failure.SLOW, host="login.example", port=443, detail="5 s")
BUSY = entra.diagnose(503, b"")


def wrong_subject(number):
    body = f'{{"error":"invalid_client","error_codes":[700213],"trace_id":"{number}"}}'
    return entra.diagnose(401, body.encode(), client_id="c", subject="s", issuer="i", audience="a", tenant_id="t")


class Cloud:
    """Trusts each app or does not, since some moment; until a change has arrived everywhere, servers answer at random."""

    def __init__(self, clock, chance):
        self.clock, self.chance = clock, chance
        self.changes = {}

    def change(self, name, trusted):
        self.changes[name] = (self.clock.now(), trusted)

    def answer(self, name):
        since, trusted = self.changes[name]
        arrived = min(1.0, (self.clock.now() - since) / ARRIVES)
        seen = trusted if self.chance.random() < arrived else not trusted
        if self.chance.random() < FAULTS:
            return self.chance.choice([SLOW, BUSY])
        return None if seen else wrong_subject(self.chance.random())


class Gathering:
    def __init__(self, cloud):
        self.cloud = cloud

    async def gather_config(self, item, *, asked):
        failure = self.cloud.answer(item["metadata"]["name"])
        return ConfigFacts(ConfigOutcome(failure, issuer="published", proof="ok"), {"subject": "s"})

    def forget(self, uid):
        pass


class Api:
    """Keeps objects; counts writes and Ready's changes of status."""

    def __init__(self, clock):
        self.clock, self.items, self.writes, self.turns, self.changed = clock, {}, 0, {}, {}

    async def apply(self, path, body, *, manager):
        name = path.split("/")[-2]
        old = self.items[name]
        before, after = ready(old), ready(body)
        self.writes += 1
        if before != after:
            self.turns.setdefault(name, []).append((self.clock.now(), after))
        new = copy.deepcopy(old)
        new["status"] = body["status"]
        new["metadata"]["resourceVersion"] = str(self.writes)
        self.items[name] = new
        return new

    async def create(self, path, body):
        pass


def ready(item):
    conditions = item.get("status", {}).get("conditions", [])
    return next((c["status"] for c in conditions if c["type"] == "Ready"), "")


def config(name):
    metadata = {"name": name, "namespace": "a", "uid": name, "resourceVersion": "0", "generation": 1}
    return {"metadata": metadata, "spec": {"provider": "Azure", "azure": {}}}


async def live(seed):
    """Lead all objects through the day; a third has its trust taken away and given back at random times."""
    chance, clock, store = random.Random(seed), FrozenClock(), Store()
    cloud, api, end = Cloud(clock, chance), Api(clock), clock.now() + DAY
    queue = KeyedQueue(clock, 32, lambda ref: (f"login:{ref.name}",))
    reconciler = Reconciler(
        client=api, store=store, queue=queue, gatherer=Gathering(cloud), clock=clock, recheck_seconds=600.0,
        instance="pod", spread=chance,
    )  # fmt: skip
    events = []
    for number in range(OBJECTS):
        name = f"c{number}"
        api.items[name] = config(name)
        cloud.change(name, trusted=True)
        cloud.changes[name] = (clock.now() - ARRIVES, True)
        reconciler.observe(KIND, api.items[name])
        if number % 3 == 0:
            away = clock.now() + chance.uniform(3600, DAY / 2)
            back = away + chance.uniform(3 * 3600, DAY / 3)
            events += [(away, name, False), (back, name, True)]
            api.changed[name] = away, back
    events.sort(reverse=True)
    while (due := queue.schedule.next_due()) is not None and min(due, events[-1][0] if events else due) < end:
        if events and events[-1][0] <= due:
            clock.seconds, name, trusted = events.pop()
            cloud.change(name, trusted)
            continue
        clock.seconds = max(clock.seconds, due)
        await serve_one(queue, reconciler)
    return api


async def serve_one(queue, reconciler):
    """Take the next key as the queue does, without waiting for real time."""
    ref = queue.schedule.take(queue.clock.monotonic())
    lanes = queue.lanes_of(ref)
    if queue._may_start(ref, lanes, queue.clock.monotonic()):
        await queue._serve(ref, lanes, reconciler.reconcile)


@pytest.mark.parametrize("seed", range(3))
def test_a_real_change_is_at_most_one_transition(seed):
    api = asyncio.run(live(seed))
    for number in range(OBJECTS):
        turns = [status for _, status in api.turns[f"c{number}"]]
        expected = ["True", "False", "True"] if number % 3 == 0 else ["True"]
        # A fault at the very first look is told, and gone at the next.
        first = turns.index("True")
        assert first <= 1
        assert turns[first:] == expected, (number, api.turns[f"c{number}"])
    # Ready's changes, and the time of the last success at most every two hours.
    assert api.writes <= OBJECTS * (12 + 6)


def test_the_day_would_show_a_flapping(monkeypatch):
    monkeypatch.setattr("wi_operator.reconcile.decide.RECOVERY_SECONDS", 0.0)
    monkeypatch.setattr("wi_operator.reconcile.decide.GRACE_SECONDS", 0.0)
    api = asyncio.run(live(0))
    assert max(len(turns) for turns in api.turns.values()) > 3


def test_a_real_change_is_not_hidden():
    """Told at the latest when the change has arrived everywhere and one more check has come round."""
    api = asyncio.run(live(1))
    for name, (away, back) in api.changed.items():
        later = {status: moment for moment, status in api.turns[name]}
        assert away < later["False"] <= away + ARRIVES + 660 + 60
        assert back < later["True"] <= back + ARRIVES + 660 + 180
