"""What the served processes share: the client, the watches, health, and running until SIGTERM."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

from prometheus_client import CollectorRegistry

from wi_operator import health
from wi_operator.cluster import paths
from wi_operator.cluster.client import KubernetesClient
from wi_operator.cluster.watch import Watch
from wi_operator.index.store import Index
from wi_operator.settings import CommonSettings

Fact = Callable[[], bool]


def follow_objects(client: KubernetesClient, index: Index, *, namespaces: bool) -> list[Watch]:
    """Return the watches that keep ``index`` true."""
    watches = [
        Watch(client, paths.CONFIGS, index.put_config, index.drop_config),
        Watch(client, paths.CREDENTIALS, index.put_credential, index.drop_credential),
    ]
    if namespaces:
        watches.append(Watch(client, paths.NAMESPACES, index.put_namespace, index.drop_namespace))
    return watches


def all_synced(watches: list[Watch]) -> Fact:
    """Return the fact that every watch has shown its first full list."""
    return lambda: all(watch.synced.is_set() for watch in watches)


@contextlib.asynccontextmanager
async def open_client() -> AsyncIterator[KubernetesClient]:
    """Connect, and close at the end."""
    client = await KubernetesClient.connect()
    try:
        yield client
    finally:
        await client.close()


async def serve_health(settings: CommonSettings, *, is_ready: Fact, registry: CollectorRegistry | None = None) -> Any:
    """Serve /livez, /readyz and /metrics."""
    return await health.start(
        port=settings.health_port, is_alive=lambda: True, is_ready=is_ready, registry=registry or CollectorRegistry()
    )


async def run_until_stopped(parts: list[Coroutine[Any, Any, None]]) -> None:
    """Run the parts until SIGTERM or SIGINT; a part that fails ends the process, so that the kubelet restarts it."""
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    tasks = [asyncio.create_task(part) for part in parts]
    waiter = asyncio.create_task(stopped.wait())
    done, pending = await asyncio.wait([*tasks, waiter], return_when=asyncio.FIRST_COMPLETED)
    for task in pending:
        task.cancel()
    await asyncio.gather(*pending, return_exceptions=True)
    for task in done - {waiter}:
        task.result()
