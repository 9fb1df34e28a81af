"""The two listeners: public documents, and grants behind our own certificate authority."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import ssl
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from wi_operator.api import names
from wi_operator.core.clock import Clock
from wi_operator.core.log import fields
from wi_operator.core.secret import SecretValue
from wi_operator.federation.diagnosis import issuer as rows
from wi_operator.federation.discovery import DISCOVERY_PATH, JWKS_PATH, issuer_path
from wi_operator.issuer import grants, handshakes
from wi_operator.issuer.callers import Caller, CallerReviews
from wi_operator.issuer.documents import discovery_body, jwks_body
from wi_operator.issuer.grants import GrantAnswer
from wi_operator.issuer.keyring import Keyring
from wi_operator.issuer.limits import Limit
from wi_operator.issuer.metrics import REPORT_HEADER, RequestMetrics
from wi_operator.issuer.problems import (
    ISSUER_URL_MISSING,
    KEY_LOST,
    KEY_MISSING,
    MEDIA_TYPE,
    NOT_SYNCED,
    TOKEN_REJECTED,
    Problem,
    RefusedError,
    too_many,
)
from wi_operator.issuer.settings import IssuerSettings

BODY_LIMIT = 64 * 1024
BODY_SECONDS = 10.0
HEADER_LIMIT = 18 * 1024
"""Bytes of one header: a token of 16 KiB and its scheme."""
IDLE_SECONDS = 75.0
"""For the first whole head of a connection, and between two requests: who trickles does not hold a connection for ever."""
TOKEN_LIMIT = 16 * 1024
SHUTDOWN_SECONDS = 10.0

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
DOORS = {"/v1/grants": "grants", "/v1/handshakes": "handshakes"}

log = logging.getLogger(__name__)


def answer_problems(metrics: RequestMetrics, doors: Mapping[str, str], otherwise: str) -> Any:
    """Return the middleware that turns refusals and faults into problem documents; no traceback leaves the process.

    ``doors`` names the door of a path in the metrics; ``otherwise`` is that of any other.
    """

    @web.middleware
    async def answer(request: web.Request, handler: Handler) -> web.StreamResponse:
        door, now = doors.get(request.path, otherwise), asyncio.get_running_loop().time
        begun = now()

        def count(outcome: str) -> None:
            metrics.count(door, outcome, now() - begun)

        try:
            response = await handler(request)
        except RefusedError as refused:
            count(refused.problem.reason)
            return _render(refused.problem)
        except web.HTTPException as error:
            problem = Problem(
                error.status, error.reason.replace(" ", ""), error.reason, "Look at the method and the path."
            )
            count(problem.reason)
            return _render(problem, allow=error.headers.get("Allow", ""))
        except Exception as error:
            log.error("request failed", extra=fields(path=request.path, error=type(error).__name__), exc_info=error)
            count(rows.FAILED.reason)
            return _render(Problem.of(500, rows.FAILED))
        count("unchanged" if response.status == 304 else "answered")
        return response

    return answer


def _render(problem: Problem, *, allow: str = "") -> web.Response:
    headers = {"Retry-After": str(problem.retry_after)} if problem.retry_after else {}
    if allow:
        headers["Allow"] = allow
    return web.json_response(problem.render(), status=problem.status, content_type=MEDIA_TYPE, headers=headers)


@dataclass(slots=True)
class PublicFace:
    """Discovery and JWKS; no other route exists on this port."""

    settings: IssuerSettings
    keyring: Keyring
    clock: Clock
    metrics: RequestMetrics = field(default_factory=RequestMetrics.unread)
    _limit: Limit = field(init=False)

    def __post_init__(self) -> None:
        self._limit = Limit(self.settings.public_rate, self.clock)

    def build_app(self) -> web.Application:
        """Return the application; a path issuer serves below its path, and discovery also where RFC 8414 puts it."""
        app = web.Application(middlewares=[answer_problems(self.metrics, {}, "public")], client_max_size=1024)
        path = issuer_path(self.settings.public_url)
        app.router.add_get(path + DISCOVERY_PATH, self.discovery)
        app.router.add_get(path + JWKS_PATH, self.jwks)
        if path:
            app.router.add_get(DISCOVERY_PATH + path, self.discovery)
        return app

    async def discovery(self, request: web.Request) -> web.Response:
        """Answer with the discovery document, 503 without an issuer URL."""
        self._admit(request)
        return _document(request, discovery_body(self.settings.public_url), self.settings.discovery_max_age)

    async def jwks(self, request: web.Request) -> web.Response:
        """Answer with the published keys, 503 without an issuer URL or a key."""
        self._admit(request)
        published = self.keyring.published()
        if not published:
            raise RefusedError(KEY_LOST if self.keyring.is_lost else KEY_MISSING)
        return _document(request, jwks_body(published), self.settings.jwks_max_age)

    def _admit(self, request: web.Request) -> None:
        if wait := self._limit.take(request.remote or ""):
            raise RefusedError(too_many("this address", wait))
        if not self.settings.public_url:
            raise RefusedError(ISSUER_URL_MISSING)


def _document(request: web.Request, body: bytes, max_age: int) -> web.Response:
    tag = hashlib.sha256(body).hexdigest()[:32]
    headers = {"ETag": f'"{tag}"', "Cache-Control": f"public, max-age={max_age}"}
    # A proxy that compresses makes the tag weak (RFC 9110 section 8.8.3.3): for If-None-Match that is the same.
    if any(known.value in {tag, "*"} for known in request.if_none_match or ()):
        return web.Response(status=304, headers=headers)
    return web.Response(body=body, content_type="application/json", headers=headers)


@dataclass(slots=True)
class GrantsFace:
    """``/v1/grants`` for pods, ``/v1/handshakes`` for the controller."""

    reviews: CallerReviews
    grants: grants.Grants
    handshakes: handshakes.Handshakes
    is_synced: Callable[[], bool]
    metrics: RequestMetrics = field(default_factory=RequestMetrics.unread)
    _pods: Limit = field(init=False)
    _organizations: Limit = field(init=False)

    def __post_init__(self) -> None:
        settings, clock = self.grants.settings, self.grants.clock
        self._pods = Limit(settings.pod_rate, clock)
        self._organizations = Limit(settings.organization_rate, clock)

    def build_app(self) -> web.Application:
        """Return the application."""
        app = web.Application(
            middlewares=[answer_problems(self.metrics, DOORS, "internal")], client_max_size=BODY_LIMIT
        )
        app.router.add_post("/v1/grants", self.grant)
        app.router.add_post("/v1/handshakes", self.handshake)
        return app

    async def grant(self, request: web.Request) -> web.Response:
        """Answer a pod: 200 with the grants, 304 when nothing changed, else a problem."""
        caller = await self._caller(request, names.GRANT_AUDIENCE)
        self._admit(caller)
        self.metrics.count_kickoffs(request.headers.get(REPORT_HEADER, ""))
        wanted = grants.read_request(await _json(request))
        answer = self.grants.decide(caller, wanted)
        is_unchanged = request.headers.get("If-None-Match") == answer.etag
        document = None if is_unchanged else self.grants.sign(caller, answer)
        self._count(answer, "unchanged" if is_unchanged else "granted")
        if document is None:
            return web.Response(status=304, headers={"ETag": answer.etag})
        return web.json_response(document, headers={"ETag": answer.etag, "Cache-Control": "no-store"})

    def _count(self, answer: GrantAnswer, outcome: str) -> None:
        for _ in answer.links:
            self.metrics.count_grant(outcome)
        for _, refusal in answer.refusals:
            self.metrics.count_grant(refusal.reason)

    def _admit(self, caller: Caller) -> None:
        if wait := self._pods.take(caller.pod_uid):
            raise RefusedError(too_many(f"pod '{caller.namespace}/{caller.pod}'", wait))
        organization = self.grants.index.organizations.get(caller.namespace)
        if organization is not None and (wait := self._organizations.take(organization.id)):
            raise RefusedError(too_many(f"organization {organization.id}", wait))

    async def handshake(self, request: web.Request) -> web.Response:
        """Answer the controller with a short assertion."""
        caller = await self._caller(request, names.HANDSHAKE_AUDIENCE)
        wanted = handshakes.read_request(await _json(request))
        document = await self.handshakes.mint(caller, wanted)
        return web.json_response(document, headers={"Cache-Control": "no-store"})

    async def _caller(self, request: web.Request, audience: str) -> Caller:
        if not self.is_synced():
            raise RefusedError(NOT_SYNCED)
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme != "Bearer" or not token or len(token) > TOKEN_LIMIT:
            raise RefusedError(TOKEN_REJECTED)
        return await self.reviews.review(SecretValue(token.strip()), audience)


async def _json(request: web.Request) -> Any:
    if request.content_type != "application/json":
        raise RefusedError(
            Problem(415, "UnsupportedMediaType", "The body must be application/json.", "Set Content-Type.")
        )
    try:
        async with asyncio.timeout(BODY_SECONDS):
            return json.loads(await request.read())
    except TimeoutError:
        raise RefusedError(
            Problem(408, "RequestTimeout", "The body did not arrive in time.", "Send the request again.")
        ) from None
    except (ValueError, RecursionError):
        raise RefusedError(Problem.of(400, rows.MALFORMED_REQUEST, detail="the body is not JSON")) from None


async def start(app: web.Application, *, port: int, tls: ssl.SSLContext | None = None, host: str = "") -> web.AppRunner:
    """Listen on ``port`` of ``host`` (all addresses by default); the caller cleans the runner up."""
    runner = web.AppRunner(
        app,
        access_log=None,
        handler_cancellation=True,
        shutdown_timeout=SHUTDOWN_SECONDS,
        keepalive_timeout=IDLE_SECONDS,
        max_field_size=HEADER_LIMIT,
    )
    await runner.setup()
    await web.TCPSite(runner, host or None, port, ssl_context=tls).start()
    return runner
