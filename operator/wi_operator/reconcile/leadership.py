"""One active controller: a Lease through ``kubernetes.aio.leaderelection``, with every call bounded."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import aiohttp
from kubernetes.aio.client.api_client import ApiClient
from kubernetes.aio.client.exceptions import ApiException
from kubernetes.aio.client.models.v1_lease import V1Lease
from kubernetes.aio.client.models.v1_object_meta import V1ObjectMeta
from kubernetes.aio.leaderelection.electionconfig import Config
from kubernetes.aio.leaderelection.leaderelection import LeaderElection
from kubernetes.aio.leaderelection.resourcelock.leaselock import LeaseLock

from wi_operator.core.clock import Clock
from wi_operator.core.errors import WorkloadIdentityError
from wi_operator.core.log import fields
from wi_operator.reconcile.settings import ControllerSettings

RELEASE_TRIES = 3

log = logging.getLogger(__name__)


class LeadershipLostError(WorkloadIdentityError):
    """The Lease could not be renewed: the process must end, another one may be at work already."""


class BoundedLock(LeaseLock):
    """A Lease whose calls end in time and whose connection errors count as failures.

    Unbounded, one hanging call would outlast the renew deadline, and a second leader would start beside us.
    """

    def __init__(self, settings: ControllerSettings, api: ApiClient, clock: Clock) -> None:
        super().__init__(settings.lease_name, settings.namespace, settings.pod_name, api)
        self._timeout = settings.renew_seconds / 3
        self._clock = clock
        self.renewed_at = clock.monotonic()
        """When the last renewal that succeeded was *sent*: others count from a later moment."""

    async def get(self, name: str, namespace: str) -> tuple[bool, Any]:
        """Read the Lease; an error is the pair of False and the exception."""
        answer = await self._bounded(super().get(name, namespace))
        return (False, ApiException(status=0, reason="no answer in time")) if answer is None else answer

    async def create(self, name: str, namespace: str, election_record: Any) -> bool:
        """Create the Lease. Our own call: the library's passes ``pretty=True``, which its client refuses as no string."""
        return await self._renew(self._create(name, namespace, election_record))

    async def _create(self, name: str, namespace: str, election_record: Any) -> bool:
        lease = V1Lease(metadata=V1ObjectMeta(name=name), spec=self.update_lease(election_record))
        try:
            await self.api_instance.create_namespaced_lease(namespace, lease)
        except ApiException as error:
            log.warning("Lease not created", extra=fields(lease=name, status=error.status))
            return False
        return True

    async def update(self, name: str, namespace: str, updated_record: Any) -> bool:
        """Renew or take the Lease; the resourceVersion that was read guards against a second taker."""
        return await self._renew(super().update(name, namespace, updated_record))

    async def release(self) -> None:
        """Give the Lease back, so that the next one need not wait until it expires; a failure is only logged."""
        for _ in range(RELEASE_TRIES):
            found, _ = await self.get(self.name, self.namespace)
            lease = self.lease_reference
            spec = lease.spec if lease is not None else None
            if not found or lease is None or spec is None or spec.holder_identity != self.identity:
                return
            # Absent, not empty: the API server refuses an empty name.
            spec.holder_identity, spec.lease_duration_seconds = None, 1
            if await self._replace(lease):
                log.info("Lease released", extra=fields(lease=self.name))
                return

    async def _replace(self, lease: V1Lease) -> bool:
        try:
            call = self.api_instance.replace_namespaced_lease(self.name, self.namespace, lease)
            return await self._bounded(call) is not None
        except ApiException as error:
            # A renewal that was under way when we ended may have come first.
            log.warning("Lease not released", extra=fields(lease=self.name, status=error.status))
            return False

    async def _renew(self, call: Awaitable[Any]) -> bool:
        sent = self._clock.monotonic()
        renewed = bool(await self._bounded(call))
        if renewed:
            self.renewed_at = sent
        return renewed

    async def _bounded(self, call: Awaitable[Any]) -> Any:
        try:
            async with asyncio.timeout(self._timeout):
                return await call
        except (TimeoutError, OSError, aiohttp.ClientError) as error:
            log.warning("Lease not reached", extra=fields(lease=self.name, error=type(error).__name__))
            return None

    async def expire(self, seconds: float) -> None:
        """Return when the last renewal is ``seconds`` old.

        The library's own deadline begins a retry period later and is not looked at during a try, whose two calls may each
        take their whole time: altogether longer than a Lease lasts.
        """
        left = seconds
        while left > 0:
            await asyncio.sleep(left)
            left = self.renewed_at + seconds - self._clock.monotonic()


async def lead(settings: ControllerSettings, lock: BoundedLock, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Wait for the Lease, then run ``work`` while renewing it; raises ``LeadershipLostError``, or what ``work`` raises."""
    started: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def on_started() -> None:
        log.info("leading", extra=fields(lease=settings.lease_name, identity=settings.pod_name))
        started.set_result(None)

    async def on_stopped() -> None:
        return None

    # The library writes the duration into the Lease as text and reads it back with int().
    duration = int(settings.lease_seconds)
    config = Config(lock, duration, settings.renew_seconds, settings.retry_seconds, on_started, on_stopped)
    election = asyncio.create_task(LeaderElection(config).run())
    try:
        await asyncio.wait({election, started}, return_when=asyncio.FIRST_COMPLETED)
        if started.done():
            await _work_while_leading(election, asyncio.create_task(work()), lock.expire(settings.renew_seconds))
        if election.done():
            election.result()
        raise LeadershipLostError(f"Lease {settings.namespace}/{settings.lease_name} was lost")
    finally:
        await end(election)


async def _work_while_leading(
    election: asyncio.Task[None], working: asyncio.Task[None], expiry: Coroutine[Any, Any, None]
) -> None:
    expiring = asyncio.create_task(expiry)
    try:
        await asyncio.wait({election, working, expiring}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            # The library would go on renewing for a dead worker.
            working.result()
    finally:
        await end(expiring)
        await end(working)


async def end(task: asyncio.Task[Any]) -> None:
    """Cancel a task and wait for its end; its outcome is dropped."""
    task.cancel()
    await asyncio.wait({task})
    if not task.cancelled():
        task.exception()
