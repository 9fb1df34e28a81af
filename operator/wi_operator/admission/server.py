"""The webhook's listener: TLS, two paths, no I/O while a review is judged."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any

from aiohttp import web

from wi_operator.admission.injection import Verdict
from wi_operator.admission.metrics import AdmissionMetrics
from wi_operator.admission.review import Answer, Judge, MalformedReviewError, answer, judge_kind, judge_pod
from wi_operator.admission.settings import InjectionSettings
from wi_operator.core.clock import Clock
from wi_operator.core.log import fields
from wi_operator.index.store import Index

logger = logging.getLogger(__name__)

MUTATE_PATH = "/v1/mutate"
VALIDATE_PATH = "/v1/validate"
# A review holds the object and the old one; the API server takes objects of up to 3 MiB.
BODY_LIMIT = 8 * 1024 * 1024
SHUTDOWN_SECONDS = 10.0

Handler = Callable[[web.Request], Awaitable[web.Response]]


def build_app(
    *,
    index: Index,
    settings: Callable[[], InjectionSettings],
    is_ready: Callable[[], bool],
    metrics: AdmissionMetrics,
    clock: Clock,
) -> web.Application:
    """Make the application.

    ``settings`` is asked at every review, so that a new CA bundle needs no restart. While ``is_ready`` is false reviews
    are answered 503: an unsynced index would call every credential missing.
    """

    def judge_with_index(request: Mapping[str, Any]) -> Verdict:
        return judge_pod(request, index=index, settings=settings())

    app = web.Application(client_max_size=BODY_LIMIT)
    serve = partial(_handler, is_ready=is_ready, metrics=metrics, clock=clock)
    app.router.add_post(MUTATE_PATH, serve("mutate", judge_with_index))
    app.router.add_post(VALIDATE_PATH, serve("validate", judge_kind))
    return app


async def start(app: web.Application, *, host: str, port: int, tls: ssl.SSLContext) -> web.AppRunner:
    """Listen; ``await runner.cleanup()`` stops, letting reviews in flight end."""
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=SHUTDOWN_SECONDS)
    await runner.setup()
    await web.TCPSite(runner, host, port, ssl_context=tls).start()
    return runner


def _handler(
    path: str, judge: Judge, *, is_ready: Callable[[], bool], metrics: AdmissionMetrics, clock: Clock
) -> Handler:
    async def handle(request: web.Request) -> web.Response:
        if not is_ready():
            metrics.refuse(path)
            return web.Response(status=503, text="the index of credentials is not complete yet; try again")
        body = await request.read()
        begin = clock.monotonic()
        try:
            answered = answer(body, judge)
        except MalformedReviewError as error:
            metrics.record(path, outcome="malformed", seconds=clock.monotonic() - begin)
            return web.Response(status=400, text=str(error))
        seconds = clock.monotonic() - begin
        # Reviews that came together are all judged, then all told of, then all answered: each step's code comes into the
        # processor's caches once for all of them.
        await asyncio.sleep(0)
        metrics.record(path, outcome=answered.verdict.outcome, seconds=seconds)
        _log(path, answered)
        await asyncio.sleep(0)
        return web.Response(body=answered.body, content_type="application/json")

    return handle


def _log(path: str, answered: Answer) -> None:
    verdict = answered.verdict
    if verdict.outcome == "unchanged" and not verdict.warnings:
        return
    # Neither patch nor problems: they quote the pod's env.
    details = fields(
        namespace=answered.namespace,
        name=answered.name,
        outcome=verdict.outcome,
        problems=len(verdict.problems),
        warnings=len(verdict.warnings),
    )
    logger.info("%s review answered", path, extra=details)
