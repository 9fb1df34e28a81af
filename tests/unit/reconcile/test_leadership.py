"""The Lease: bounded calls, and an end of the process when it is lost."""

import asyncio
from pathlib import Path

import pytest
from kubernetes.aio.client.api_client import ApiClient
from kubernetes.aio.leaderelection.resourcelock.leaselock import LeaseLock

from wi_operator.core.clock import SystemClock
from wi_operator.reconcile.leadership import BoundedLock, LeadershipLostError, lead
from wi_operator.reconcile.settings import ControllerSettings

SETTINGS = ControllerSettings(
    namespace="wi-system",
    pod_name="pod-0",
    public_url="",
    grants_url="",
    token_file=Path("token"),
    lease_seconds=3.0,
    renew_seconds=1.5,
    retry_seconds=1.0,
)


class Lease:
    """The one Lease; ``fault`` is raised by (or awaited in) every call."""

    def __init__(self, monkeypatch):
        self.record, self.fault = None, None

        async def get(lock, name, namespace):
            await self.fail()
            return True, self.record

        async def update(lock, name, namespace, record):
            await self.fail()
            self.record = record
            return True

        monkeypatch.setattr(LeaseLock, "get", get)
        monkeypatch.setattr(LeaseLock, "update", update)

    async def fail(self):
        if self.fault == "hang":
            await asyncio.sleep(3600)
        if self.fault:
            raise self.fault


@pytest.fixture
def lease(monkeypatch):
    return Lease(monkeypatch)


@pytest.fixture
async def lock():
    async with ApiClient() as api:
        yield BoundedLock(SETTINGS, api, SystemClock())


@pytest.mark.parametrize("fault", ["hang", ConnectionResetError()])
async def test_a_lost_lease_ends_the_work(lease, lock, fault):
    working, ended = asyncio.Event(), asyncio.Event()

    async def work():
        working.set()
        try:
            await asyncio.sleep(3600)
        finally:
            ended.set()

    leading = asyncio.create_task(lead(SETTINGS, lock, work))
    async with asyncio.timeout(8):
        await working.wait()
        lease.fault = fault
        with pytest.raises(LeadershipLostError, match="wi-system/wi-controller was lost"):
            await leading
    assert ended.is_set()


async def test_a_fault_of_the_work_is_not_hidden_by_renewing(lease, lock):
    async def work():
        raise RuntimeError("bug")

    async with asyncio.timeout(5):
        with pytest.raises(RuntimeError, match="bug"):
            await lead(SETTINGS, lock, work)


async def test_while_another_leads_nothing_is_done(lease, lock):
    async def never():
        raise AssertionError("not leading")

    other = BoundedLock(SETTINGS, lock.api_instance.api_client, SystemClock())
    other.identity = "pod-1"
    started = asyncio.Event()

    async def work():
        started.set()
        await asyncio.sleep(3600)

    first = asyncio.create_task(lead(SETTINGS, other, work))
    async with asyncio.timeout(3):
        await started.wait()
    second = asyncio.create_task(lead(SETTINGS, lock, never))
    await asyncio.sleep(2.5)
    assert not second.done()
    for task in (first, second):
        task.cancel()
        await asyncio.wait({task})


async def test_a_lease_that_is_read_but_not_renewed_is_lost_before_another_may_take_it(lease, lock, monkeypatch):
    working, slow = asyncio.Event(), False
    update = LeaseLock.update

    async def get(lock, name, namespace):
        await asyncio.sleep(0.4 if slow else 0)  # in time, just so
        return True, lease.record

    async def late(lock, name, namespace, record):
        await asyncio.sleep(3600 if slow else 0)
        return await update(lock, name, namespace, record)

    monkeypatch.setattr(LeaseLock, "get", get)
    monkeypatch.setattr(LeaseLock, "update", late)

    async def work():
        working.set()
        await asyncio.sleep(3600)

    leading = asyncio.create_task(lead(SETTINGS, lock, work))
    async with asyncio.timeout(8):
        await working.wait()
        slow = True
        with pytest.raises(LeadershipLostError):
            await leading
    assert SystemClock().monotonic() - lock.renewed_at < SETTINGS.renew_seconds + 0.3
