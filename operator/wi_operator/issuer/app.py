"""The two listeners: public documents, and grants behind our own certificate authority."""

from __future__ import annotations

import hashlib
import json
import logging
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from wi_operator.api import names
from wi_operator.core.log import fields
from wi_operator.core.secret import SecretValue
from wi_operator.federation.diagnosis import issuer as rows
from wi_operator.federation.discovery import DISCOVERY_PATH, JWKS_PATH, issuer_path
from wi_operator.issuer import grants, handshakes
from wi_operator.issuer.callers import Caller, CallerReviews
from wi_operator.issuer.documents import discovery_body, jwks_body
from wi_operator.issuer.keyring import Keyring
from wi_operator.issuer.problems import (
    ISSUER_URL_MISSING,
    KEY_MISSING,
    MEDIA_TYPE,
    NOT_SYNCED,
    TOKEN_REJECTED,
    Problem,
    RefusedError,
)
from wi_operator.issuer.settings import IssuerSettings

BODY_LIMIT = 64 * 1024
DISCOVERY_SECONDS = 3600
"""How long the discovery document may be cached; it changes with issuer.url only."""
JWKS_SECONDS = 300
"""Well below the hour for which a new key is published before it signs."""
TOKEN_LIMIT = 16 * 1024
SHUTDOWN_SECONDS = 10.0

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

log = logging.getLogger(__name__)


@web.middleware
async def answer_problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn refusals and faults into problem documents; no traceback leaves the process."""
    try:
        return await handler(request)
    except RefusedError as refused:
        return _render(refused.problem)
    except web.HTTPException as error:
        return _render(
            Problem(error.status, error.reason.replace(" ", ""), error.reason, "Look at the method and the path.")
        )
    except Exception as error:
        log.error("request failed", extra=fields(path=request.path, error=type(error).__name__), exc_info=error)
        return _render(Problem.of(500, rows.FAILED))


def _render(problem: Problem) -> web.Response:
    headers = {"Retry-After": "2"} if problem.status == 503 else {}
    return web.json_response(problem.render(), status=problem.status, content_type=MEDIA_TYPE, headers=headers)


@dataclass(slots=True)
class PublicFace:
    """Discovery and JWKS; no other route exists on this port."""

    settings: IssuerSettings
    keyring: Keyring

    def build_app(self) -> web.Application:
        """Return the application; a path issuer serves below its path."""
        app = web.Application(middlewares=[answer_problems], client_max_size=1024)
        prefix = issuer_path(self.settings.public_url)
        app.router.add_get(prefix + DISCOVERY_PATH, self.discovery)
        app.router.add_get(prefix + JWKS_PATH, self.jwks)
        return app

    async def discovery(self, request: web.Request) -> web.Response:
        """Answer with the discovery document, 503 without an issuer URL."""
        if not self.settings.public_url:
            raise RefusedError(ISSUER_URL_MISSING)
        return _document(request, discovery_body(self.settings.public_url), max_age=DISCOVERY_SECONDS)

    async def jwks(self, request: web.Request) -> web.Response:
        """Answer with the published keys, 503 without an issuer URL or a key."""
        if not self.settings.public_url:
            raise RefusedError(ISSUER_URL_MISSING)
        published = self.keyring.published()
        if not published:
            raise RefusedError(KEY_MISSING)
        return _document(request, jwks_body(published), max_age=JWKS_SECONDS)


def _document(request: web.Request, body: bytes, *, max_age: int) -> web.Response:
    etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    headers = {"ETag": etag, "Cache-Control": f"public, max-age={max_age}"}
    if request.headers.get("If-None-Match") == etag:
        return web.Response(status=304, headers=headers)
    return web.Response(body=body, content_type="application/json", headers=headers)


@dataclass(slots=True)
class GrantsFace:
    """``/v1/grants`` for pods, ``/v1/handshakes`` for the controller."""

    reviews: CallerReviews
    grants: grants.Grants
    handshakes: handshakes.Handshakes
    is_synced: Callable[[], bool]

    def build_app(self) -> web.Application:
        """Return the application."""
        app = web.Application(middlewares=[answer_problems], client_max_size=BODY_LIMIT)
        app.router.add_post("/v1/grants", self.grant)
        app.router.add_post("/v1/handshakes", self.handshake)
        return app

    async def grant(self, request: web.Request) -> web.Response:
        """Answer a pod: 200 with the grants, 304 when nothing changed, else a problem."""
        caller = await self._caller(request, names.GRANT_AUDIENCE)
        wanted = grants.read_request(await _json(request))
        answer = self.grants.decide(caller, wanted)
        if request.headers.get("If-None-Match") == answer.etag:
            return web.Response(status=304, headers={"ETag": answer.etag})
        return web.json_response(
            self.grants.sign(caller, answer), headers={"ETag": answer.etag, "Cache-Control": "no-store"}
        )

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
        return json.loads(await request.read())
    except (ValueError, RecursionError):
        raise RefusedError(Problem.of(400, rows.MALFORMED_REQUEST, detail="the body is not JSON")) from None


async def start(app: web.Application, *, port: int, tls: ssl.SSLContext | None = None, host: str = "") -> web.AppRunner:
    """Listen on ``port`` of ``host`` (all addresses by default); the caller cleans the runner up."""
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=SHUTDOWN_SECONDS)
    await runner.setup()
    await web.TCPSite(runner, host or None, port, ssl_context=tls).start()
    return runner
