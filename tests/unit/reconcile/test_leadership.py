"""The Lease: bounded calls, and an end of the process when it is lost."""

import asyncio
from pathlib import Path

import pytest
from kubernetes.aio.client.api_client import ApiClient
from kubernetes.aio.client.exceptions import ApiException
from kubernetes.aio.client.models.v1_lease import V1Lease
from kubernetes.aio.client.models.v1_lease_spec import V1LeaseSpec
from kubernetes.aio.client.models.v1_object_meta import V1ObjectMeta
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
    async with asyncio.timeout(10):
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
    assert SystemClock().monotonic() - lock.renewed_at < SETTINGS.renew_seconds + 0.8


class Leases:
    """The Lease as the API server keeps it; the first ``conflicts`` replacements come too late."""

    def __init__(self, holder, conflicts):
        self.holder, self.conflicts = holder, conflicts

    async def read_namespaced_lease(self, name, namespace):
        spec = V1LeaseSpec(holder_identity=self.holder, lease_duration_seconds=12)
        return V1Lease(metadata=V1ObjectMeta(name=name), spec=spec)

    async def replace_namespaced_lease(self, name, namespace, lease):
        if self.conflicts:
            self.conflicts -= 1
            raise ApiException(status=409)
        self.holder = lease.spec.holder_identity or ""
        return lease


@pytest.mark.parametrize(
    ("holder", "conflicts", "left"), [("pod-0", 0, ""), ("pod-0", 2, ""), ("pod-1", 0, "pod-1"), ("pod-0", 9, "pod-0")]
)
async def test_a_lease_of_ours_is_given_back_also_after_a_late_renewal(lock, monkeypatch, holder, conflicts, left):
    lock.api_instance = Leases(holder, conflicts)
    monkeypatch.setattr(lock, "election_record", lambda lease: lease)
    await lock.release()
    assert lock.api_instance.holder == left
