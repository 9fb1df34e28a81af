"""``/livez``, ``/readyz`` and ``/metrics`` of a process."""

from __future__ import annotations

from collections.abc import Callable

from aiohttp import web
from prometheus_client import CollectorRegistry, generate_latest

from wi_operator.core.metrics import READY

Fact = Callable[[], bool]


async def start(
    *, port: int, is_alive: Fact, is_ready: Fact, registry: CollectorRegistry, process: str, host: str = ""
) -> web.AppRunner:
    """Listen on ``port``; 200 while the fact holds, else 503. ``process`` is its name in the metrics."""
    READY.gauge(registry).labels(process).set_function(lambda: float(is_ready()))

    async def live(_: web.Request) -> web.Response:
        return _answer(is_alive())

    async def ready(_: web.Request) -> web.Response:
        return _answer(is_ready())

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(body=generate_latest(registry), headers={"Content-Type": "text/plain; version=0.0.4"})

    app = web.Application(client_max_size=1024)
    app.router.add_get("/livez", live)
    app.router.add_get("/readyz", ready)
    app.router.add_get("/metrics", metrics)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    await web.TCPSite(runner, host or None, port).start()
    return runner


def _answer(fact: bool) -> web.Response:
    return web.Response(text="ok\n" if fact else "not now\n", status=200 if fact else 503)
