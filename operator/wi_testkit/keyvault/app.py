"""The public routes of the Key Vault emulator."""

from __future__ import annotations

import json
import re
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from wi_testkit.emulation.admin import rule_errors
from wi_testkit.emulation.checks import require_known
from wi_testkit.emulation.faults import Faults, Target
from wi_testkit.emulation.jose import parse
from wi_testkit.emulation.journal import Entry, Journal
from wi_testkit.emulation.listener import MAX_BODY, PROBE, guard_admin, healthz
from wi_testkit.emulation.routes import CommonAdmin
from wi_testkit.emulation.sabotage import sabotage
from wi_testkit.keyvault import bundles
from wi_testkit.keyvault.admin import Admin
from wi_testkit.keyvault.checks import CHECKS, MAX_PAGE, Call, Operation
from wi_testkit.keyvault.codes import CODES, EARLY
from wi_testkit.keyvault.errors import VaultError
from wi_testkit.keyvault.keys import SigningKeys
from wi_testkit.keyvault.state import Vault, Vaults, Version, version_from

STANDARD_HEADERS = {
    "Cache-Control": "no-cache",
    "Pragma": "no-cache",
    "Expires": "-1",
    "Strict-Transport-Security": "max-age=31536000;includeSubDomains",
    "X-Content-Type-Options": "nosniff",
    "x-ms-keyvault-service-version": "1.9.378.1",
}
RBAC_CACHE = "ra_age=1871;da_age=1871;rd_age=1871;brd_age=7428;ra_notif_age=8511;dec_lev=1;"


@dataclass
class VaultService:
    """Everything that the emulator knows, and the judging and answering of one call."""

    keys: SigningKeys
    vaults: Vaults = field(default_factory=Vaults)
    journal: Journal = field(default_factory=Journal)
    faults: Faults = field(default_factory=lambda: Faults(CODES.__contains__, EARLY))
    without: Sequence[str] = ()
    clock: Callable[[], float] = time.time

    def __post_init__(self) -> None:
        require_known(self.without, CHECKS.names)
        self._checks = CHECKS.without(self.without)

    @property
    def resource(self) -> str:
        """Return the audience of the cloud's vaults."""
        return f"https://{self.vaults.suffix}"

    async def call(self, vault: Vault, operation: Operation, request: web.Request) -> Call:
        """Gather everything that the checks ask for."""
        scheme, _, credentials = request.headers.get("Authorization", "").partition(" ")
        token = parse(credentials) if scheme.lower() == "bearer" else parse("")
        return Call(
            vault=vault,
            operation=operation,
            resource=self.resource,
            now=self.clock(),
            name=request.match_info.get("name", ""),
            version=request.match_info.get("version", ""),
            query=dict(request.query),
            token=token,
            signing_key=await self.keys.find(str(token.header.get("kid", ""))),
            new_version=await self.new_version(request) if operation == "set" else None,
            address=request.remote or "",
        )

    async def new_version(self, request: web.Request) -> Version | None:
        """Read the version to set, or nothing if the body is no good."""
        try:
            body = json.loads(await request.read())
        except (ValueError, RecursionError):
            return None
        return version_from(body, self.clock()) if isinstance(body, dict) else None

    def judge(self, call: Call) -> VaultError | None:
        """Ask all checks."""
        return self._checks.first_refusal(call)

    def answer(self, call: Call, origin: str) -> dict[str, Any]:
        """Return the body of a call that no check refused."""
        base = f"https://{call.vault.name}.{self.vaults.suffix}"
        size = call.page_size or MAX_PAGE
        secret, removed, wanted = call.secret, call.vault.removed(call.name), call.wanted
        if call.operation == "list":
            return bundles.page(bundles.all_secrets(base, call.vault), f"{origin}/secrets", call.query, size)
        if call.operation == "versions":
            url = f"{origin}/secrets/{call.name}/versions"
            return bundles.page(bundles.all_versions(base, secret) if secret else [], url, call.query, size)
        if call.operation == "get" and secret and wanted:
            return bundles.bundle(base, secret, wanted)
        if call.operation == "deleted" and removed:
            return bundles.deleted_bundle(base, removed)
        if call.operation == "set" and call.new_version:
            return bundles.bundle(base, call.vault.add(call.name, call.new_version), call.new_version)
        raise web.HTTPInternalServerError(text="no check refused, yet there is nothing to answer\n")


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
        return self.service.clock()

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
            answer.headers["WWW-Authenticate"] = refusal.challenge or (
                f'Bearer authorization="https://login.windows.net/{call.vault.tenant_id}", '
                f'resource="{self.service.resource}"'
            )
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
            response = web.json_response(body, headers=headers(request, call))
        self.service.journal.record(entry(request, call, refusal, response.status))
        return response


def build_app(service: VaultService, admin_token: str) -> web.Application:
    """Return the application."""
    routes = Routes(service)
    middlewares = [guard_admin(admin_token), rule_errors, sabotage(routes)]
    app = web.Application(middlewares=middlewares, client_max_size=MAX_BODY)
    CommonAdmin(service.journal, service.faults, all_codes).add_routes(app)
    Admin(service.vaults, service.clock).add_routes(app)
    app.router.add_get(PROBE, healthz)
    app.router.add_get("/secrets", routes.handler("list"))
    app.router.add_get("/secrets/{name}/versions", routes.handler("versions"))
    app.router.add_get("/deletedsecrets/{name}", routes.handler("deleted"))
    app.router.add_put("/secrets/{name}", routes.handler("set"))
    # The SDKs ask for the latest version with an empty last segment.
    for path in ("/secrets/{name}", "/secrets/{name}/", "/secrets/{name}/{version}"):
        app.router.add_get(path, routes.handler("get"))
    return app


def operation_of(request: web.Request) -> Operation:
    """Return what a request is for, in the words of a fault."""
    if request.method == "PUT":
        return "set"
    if request.path.startswith("/deletedsecrets"):
        return "deleted"
    if request.path.endswith("/versions"):
        return "versions"
    return "get" if "name" in request.match_info else "list"


def all_codes() -> list[dict[str, Any]]:
    """Return the table of codes, with the texts of a call by nobody."""
    call = Call(vault=Vault("{vault}", "{tenant}"), operation="get", resource="{audience}", now=0, name="{secret}")
    return [
        {"code": name, "variant": number, "status": refusal.status, "text": refusal.message}
        for name, variants in CODES.items()
        for number, refusal in enumerate(variant(call) for variant in variants)
    ]


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
    if call.token.well_formed and call.assignment:
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
