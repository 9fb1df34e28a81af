"""The public routes of the Key Vault emulator."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from wi_testkit.emulation.admin import rule_errors
from wi_testkit.emulation.faults import Faults, Target
from wi_testkit.emulation.journal import Entry, Journal
from wi_testkit.emulation.listener import MAX_BODY, PROBE, guard_admin, healthz
from wi_testkit.emulation.routes import CommonAdmin
from wi_testkit.emulation.sabotage import sabotage
from wi_testkit.keyvault.admin import Admin
from wi_testkit.keyvault.checks import Call, Operation
from wi_testkit.keyvault.codes import CODES, all_codes
from wi_testkit.keyvault.errors import VaultError
from wi_testkit.keyvault.service import VaultService
from wi_testkit.keyvault.state import CHALLENGES, Vault

STANDARD_HEADERS = {
    "Cache-Control": "no-cache",
    "Pragma": "no-cache",
    "Expires": "-1",
    "Strict-Transport-Security": "max-age=31536000;includeSubDomains",
    "X-Content-Type-Options": "nosniff",
    "x-ms-keyvault-service-version": "1.9.378.1",
}
OPERATIONS: dict[tuple[str, str], Operation] = {
    ("GET", "/secrets"): "list",
    ("GET", "/secrets/{name}/versions"): "versions",
    ("GET", "/secrets/{name}"): "get",
    # The SDKs ask for the latest version with an empty last segment.
    ("GET", "/secrets/{name}/"): "get",
    ("GET", "/secrets/{name}/{version}"): "get",
    ("PUT", "/secrets/{name}"): "set",
    ("DELETE", "/secrets/{name}"): "delete",
    ("GET", "/deletedsecrets"): "deletedList",
    ("GET", "/deletedsecrets/{name}"): "deleted",
    ("POST", "/deletedsecrets/{name}/recover"): "recover",
    ("DELETE", "/deletedsecrets/{name}"): "purge",
}
RBAC_CACHE = "ra_age=1871;da_age=1871;rd_age=1871;brd_age=7428;ra_notif_age=8511;dec_lev=1;"


@dataclass(frozen=True)
class Routes:
    """The HTTP side of the service."""

    service: VaultService

    @property
    def faults(self) -> Faults:
        """Return the faults."""
        return self.service.faults

    @property
    def journal(self) -> Journal:
        """Return the journal."""
        return self.service.journal

    def now(self) -> float:
        """Return the emulator's time."""
        return self.service.now()

    async def target(self, request: web.Request) -> Target:
        """Tell which vault and secret a request is about."""
        vault = self.service.vaults.of_host(request.host)
        name = request.match_info.get("name", "").lower()
        authenticated = "Authorization" in request.headers
        return Target(vault.name if vault else "", name, operation_of(request), authenticated)

    async def refuse(self, request: web.Request, code: str, variant: int) -> web.Response:
        """Answer a call with a code, whatever was asked."""
        vault = self.service.vaults.of_host(request.host) or Vault("unknown", "")
        call = await self.service.call(vault, operation_of(request), request)
        variants = CODES[code]
        return self.refused(request, call, variants[min(variant, len(variants) - 1)](call))

    def refused(self, request: web.Request, call: Call, refusal: VaultError) -> web.Response:
        """Answer a refusal; every 401 has a challenge."""
        answer = web.json_response(refusal.body(), status=refusal.status, headers=headers(request, call))
        if refusal.status == 401:
            usual = CHALLENGES[call.vault.challenge].format(tenant=call.vault.tenant_id, resource=call.resource)
            answer.headers["WWW-Authenticate"] = refusal.challenge or usual
        if refusal.status == 429 and call.vault.rate.retry_after is not None:
            answer.headers["Retry-After"] = str(call.vault.rate.retry_after)
        return answer

    def handler(self, operation: Operation) -> Callable[[web.Request], Any]:
        """Return the handler of one operation."""

        async def handle(request: web.Request) -> web.Response:
            vault = self.service.vaults.of_host(request.host)
            if vault is None:
                # The cloud has no answer here: the name of a missing vault does not resolve.
                return web.Response(status=421, text=f"no vault is called {request.host} here\n")
            call = await self.service.call(vault, operation, request)
            return self.respond(request, call)

        return handle

    def respond(self, request: web.Request, call: Call) -> web.Response:
        """Judge the call and answer it."""
        refusal = self.service.judge(call)
        if refusal:
            response = self.refused(request, call, refusal)
        else:
            body = self.service.answer(call, origin_of(request.host))
            known = headers(request, call)
            response = (
                web.Response(status=204, headers=known) if body is None else web.json_response(body, headers=known)
            )
        self.service.journal.record(entry(request, call, refusal, response.status))
        return response


def build_app(service: VaultService, admin_token: str) -> web.Application:
    """Return the application."""
    routes = Routes(service)
    middlewares = [guard_admin(admin_token), rule_errors, sabotage(routes)]
    app = web.Application(middlewares=middlewares, client_max_size=MAX_BODY)
    CommonAdmin(service.journal, service.faults, all_codes, service).add_routes(app)
    Admin(service).add_routes(app)
    app.router.add_get(PROBE, healthz)
    for (method, path), operation in OPERATIONS.items():
        app.router.add_route(method, path, routes.handler(operation))
    return app


def operation_of(request: web.Request) -> Operation:
    """Return what a request is for."""
    route = request.match_info.route.resource
    return OPERATIONS.get((request.method, route.canonical if route else ""), "get")


def origin_of(host: str) -> str:
    """Return the origin of links to a next page, which always have a port."""
    return f"https://{host}" if re.search(r":\d+$", host) else f"https://{host}:443"


def headers(request: web.Request, call: Call) -> dict[str, str]:
    """Return the headers of every answer; those about RBAC tell which assignment decided."""
    known = {
        **STANDARD_HEADERS,
        "x-ms-keyvault-region": call.vault.location,
        "x-ms-client-request-id": request.headers.get("x-ms-client-request-id", str(uuid.uuid4())),
        "x-ms-request-id": str(uuid.uuid4()),
        "x-ms-keyvault-network-info": f"conn_type=Ipv4;addr={request.remote};act_addr_fam=InterNetwork;",
    }
    if call.token.well_formed and call.by_roles and call.assignment:
        known["x-ms-keyvault-rbac-assignment-id"] = call.assignment.assignment_id
        known["x-ms-keyvault-rbac-cache"] = RBAC_CACHE
    return known


def entry(request: web.Request, call: Call, refusal: VaultError | None, status: int) -> Entry:
    """Describe a call for the journal, without token and value."""
    return Entry(
        time=call.now,
        method=request.method,
        host=request.host,
        path=request.path,
        status=status,
        outcome=(refusal.inner or refusal.code) if refusal else "ok",
        client_id=call.token.text("appid"),
        principal=call.token.text("oid"),
    )
