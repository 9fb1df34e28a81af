"""The keyed queue: one run per object, bounded in all, due in time."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wi_operator.cluster.errors import ConflictError, UnreachableError
from wi_operator.core.clock import FrozenClock, SystemClock
from wi_operator.reconcile.queue import KeyedQueue, Ref, Schedule, backoff

A, B, C = (Ref("K", "ns", name) for name in "abc")


def test_the_earliest_time_of_a_key_counts():
    schedule = Schedule()
    schedule.add(A, 10)
    schedule.add(B, 5)
    schedule.add(A, 3)
    schedule.add(A, 20)
    assert len(schedule) == 2
    assert schedule.take(2) is None
    assert schedule.take(30) == A
    assert schedule.take(30) == B
    assert schedule.take(30) is None
    assert schedule.next_due() is None


def test_a_running_key_waits_for_its_end():
    schedule = Schedule()
    schedule.add(A, 0)
    assert schedule.take(0) == A
    schedule.add(A, 1)
    assert schedule.take(5) is None
    schedule.finish(A)
    assert schedule.take(5) == A
    schedule.finish(A)
    assert schedule.take(5) is None


def test_a_forgotten_key_is_not_due():
    schedule = Schedule()
    schedule.add(A, 0)
    schedule.forget(A)
    assert schedule.take(1) is None
    schedule.add(A, 2)
    assert schedule.next_due() == 2


@given(st.lists(st.tuples(st.sampled_from([A, B, C]), st.integers(0, 20), st.sampled_from(["add", "take", "finish"]))))
def test_a_key_never_runs_twice_at_once_and_none_is_lost(steps):
    schedule, running, wanted = Schedule(), set(), {}
    for ref, moment, step in steps:
        if step == "add":
            schedule.add(ref, moment)
            wanted[ref] = min(moment, wanted.get(ref, moment))
        elif step == "finish" and ref in running:
            running.discard(ref)
            schedule.finish(ref)
        elif step == "take":
            taken = schedule.take(moment)
            ripe = {key for key, due in wanted.items() if due <= moment and key not in running}
            assert (taken is None) == (not ripe)
            if taken is not None:
                assert taken in ripe
                assert wanted[taken] == min(wanted[key] for key in ripe)
                del wanted[taken]
                running.add(taken)


def test_backoff_doubles_and_is_bounded():
    assert [backoff(n) for n in (1, 2, 3, 10, 10**6)] == [1, 2, 4, 60, 60]
    assert [backoff(n, first=5) for n in (1, 2, 5)] == [5, 10, 60]


async def drive(queue, handler, until):
    task = asyncio.create_task(queue.run(handler))
    try:
        async with asyncio.timeout(5):
            await until.wait()
    finally:
        task.cancel()
        await asyncio.wait({task})


async def test_concurrency_is_bounded_and_keys_are_served_once():
    queue, done, seen, at_once = KeyedQueue(SystemClock(), 3), asyncio.Event(), [], set()
    most = 0

    async def handler(ref):
        nonlocal most
        at_once.add(ref)
        most = max(most, len(at_once))
        await asyncio.sleep(0.005)
        at_once.discard(ref)
        seen.append(ref)
        if len(seen) == 20:
            done.set()

    refs = [Ref("K", "ns", str(number)) for number in range(20)]
    for ref in refs * 3:
        queue.enqueue(ref)
    await drive(queue, handler, done)
    assert most == 3
    assert sorted(seen) == sorted(refs)


async def test_what_is_enqueued_during_a_run_is_served_after_it():
    queue, done, runs = KeyedQueue(SystemClock(), 8), asyncio.Event(), []

    async def handler(ref):
        runs.append(ref)
        if len(runs) == 1:
            queue.enqueue(A)
            await asyncio.sleep(0.01)
            assert len(runs) == 1
        else:
            done.set()

    queue.enqueue(A)
    await drive(queue, handler, done)
    assert runs == [A, A]


@pytest.mark.parametrize(
    ("error", "delays"),
    [
        (ConflictError("PATCH", 409, ""), [1.0, 1.0, 1.0]),
        (UnreachableError("PATCH", 0, ""), [1.0, 2.0, 4.0]),
        (RuntimeError("bug"), [1.0, 2.0, 4.0]),
    ],
)
async def test_failures_back_off_by_key_and_end_nothing(error, delays):
    clock = FrozenClock(0.0)
    queue, runs = KeyedQueue(clock, 2), []

    async def handler(ref):
        runs.append(ref)
        if ref == A:
            raise error
        return

    queue.enqueue(A)
    task = asyncio.create_task(queue.run(handler))
    for delay in delays:
        await settle()
        assert queue.schedule.next_due() == pytest.approx(clock.now() + delay)
        clock.advance(delay)
        queue.enqueue(B)
    await settle()
    assert runs.count(A) == 1 + len(delays)
    assert runs.count(B) == len(delays)
    task.cancel()
    await asyncio.wait({task})


async def settle():
    for _ in range(20):
        await asyncio.sleep(0)
