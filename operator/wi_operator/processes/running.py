"""What the served processes share: the client, the watches, health, and running until SIGTERM."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any, Generic, TypeVar

from aiohttp import web
from prometheus_client import CollectorRegistry

from wi_operator import health
from wi_operator.cluster import paths
from wi_operator.cluster.client import KubernetesClient
from wi_operator.cluster.pulse import Pulses
from wi_operator.cluster.watch import Watch
from wi_operator.core.log import fields
from wi_operator.index.store import Index
from wi_operator.settings import CommonSettings

Fact = Callable[[], bool]
T = TypeVar("T")

log = logging.getLogger(__name__)


class Drain:
    """The time between SIGTERM and the end, in which everything is still served.

    The kubelet sends SIGTERM when it asks for the pod's end, not when the last proxy has heard of it: who closes at once
    loses the requests that are on their way. Every answer asks its client to connect anew, so that kept connections have
    moved to other pods by the time the listeners close. /readyz stays green: of a service whose pods all end at once,
    kube-proxy goes on to use those that still serve.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._begun = False

    def follow(self, app: web.Application) -> web.Application:
        """Apply to the answers of ``app`` too; returns it."""
        app.on_response_prepare.append(self._part)
        return app

    async def wait(self) -> None:
        """Serve on for a while."""
        self._begun = True
        log.info("draining", extra=fields(seconds=self._seconds))
        await asyncio.sleep(self._seconds)

    async def _part(self, _: web.Request, response: web.StreamResponse) -> None:
        if self._begun:
            response.force_close()
            response.headers["Connection"] = "close"


def follow_objects(client: KubernetesClient, index: Index) -> list[Watch]:
    """Return the watches that keep configs and credentials of ``index`` true."""
    return [
        Watch(client, paths.CONFIGS, index.put_config, index.drop_config),
        Watch(client, paths.CREDENTIALS, index.put_credential, index.drop_credential),
    ]


def all_synced(watches: list[Watch]) -> Fact:
    """Return the fact that every watch has shown its first full list."""
    return lambda: all(watch.synced.is_set() for watch in watches)


class Refreshed(Generic[T]):
    """What is built from mounted files, built again every few seconds: requests themselves read no file."""

    SECONDS = 5.0

    def __init__(self, build: Callable[[], T]) -> None:
        self._build = build
        self._current = build()

    def get(self) -> T:
        """Return the last one built."""
        return self._current

    async def follow(self) -> None:
        """Build again and again, until cancelled."""
        while True:
            await asyncio.sleep(self.SECONDS)
            self._current = await asyncio.to_thread(self._build)


@contextlib.asynccontextmanager
async def open_client() -> AsyncIterator[KubernetesClient]:
    """Connect, and close at the end."""
    client = await KubernetesClient.connect()
    try:
        yield client
    finally:
        await client.close()


def follow_pulses(watches: list[Watch]) -> Pulses:
    """Return the collector that says whether the watches are alive."""
    return Pulses({watch.resource: watch.pulse for watch in watches})


async def serve_health(settings: CommonSettings, *, process: str, is_ready: Fact, registry: CollectorRegistry) -> Any:
    """Serve /livez, /readyz and /metrics."""
    return await health.start(
        port=settings.health_port, is_alive=lambda: True, is_ready=is_ready, registry=registry, process=process
    )


async def run_until_stopped(parts: list[Coroutine[Any, Any, None]], drain: Drain) -> None:
    """Run the parts until SIGTERM or SIGINT and the drain after it.

    A part that fails ends the process, so that the kubelet restarts it; so does a second signal, without the drain.
    """
    stopping, ending = asyncio.Event(), asyncio.Event()

    def stop() -> None:
        (ending if stopping.is_set() else stopping).set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)

    async def drained() -> None:
        await stopping.wait()
        await drain.wait()

    tasks = [asyncio.create_task(part) for part in parts]
    waiters: list[asyncio.Task[Any]] = [asyncio.create_task(drained()), asyncio.create_task(ending.wait())]
    done, pending = await asyncio.wait([*tasks, *waiters], return_when=asyncio.FIRST_COMPLETED)
    for task in pending:
        task.cancel()
    await asyncio.gather(*pending, return_exceptions=True)
    for task in done:
        task.result()
