"""The public routes of the Entra emulator: token endpoint, its metadata and its keys."""

from __future__ import annotations

import dataclasses
import uuid
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

from aiohttp import web

from wi_testkit.emulation.admin import rule_errors
from wi_testkit.emulation.faults import Faults, Target
from wi_testkit.emulation.jose import Jwt
from wi_testkit.emulation.journal import Entry, Journal
from wi_testkit.emulation.listener import MAX_BODY, PROBE, guard_admin, healthz
from wi_testkit.emulation.routes import CommonAdmin
from wi_testkit.emulation.sabotage import sabotage
from wi_testkit.entra import errors
from wi_testkit.entra.admin import Admin
from wi_testkit.entra.codes import BY_NUMBER, all_codes
from wi_testkit.entra.errors import EntraError
from wi_testkit.entra.service import EntraService
from wi_testkit.entra.state import is_tenant_name

PUBLIC_HOST = "login.microsoftonline.com"
ALIASES = [PUBLIC_HOST, "login.windows.net", "login.microsoft.com", "sts.windows.net"]
STANDARD_HEADERS = {
    "Cache-Control": "no-store, no-cache",
    "Pragma": "no-cache",
    "Expires": "-1",
    "Strict-Transport-Security": "max-age=31536000; includeSubDomains",
    "X-Content-Type-Options": "nosniff",
    "P3P": 'CP="DSP CUR OTPi IND OTRi ONL FIN"',
    "x-ms-ests-server": "2.1.11654.16 - NCUS ProdSlices",
    "x-ms-clitelem": "1,0,0,,",
}
COOKIES = [
    f"{pair}; HttpOnly; Path=/; SameSite=None; Secure"
    for pair in ("fpc=emulated", "x-ms-gateway-slice=estsfd", "stsservicecookie=estsfd")
]


@dataclass(frozen=True)
class Routes:
    """The HTTP side of the service."""

    service: EntraService

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
        """Tell which tenant and app a request is about."""
        name = request.match_info.get("tenant", "")
        tenant = self.service.directory.tenant(name)
        operation = operation_of(request.path)
        form = await form_of(request) if operation == "token" else {}
        realm = tenant.tenant_id if tenant else name.lower()
        return Target(realm, form.get("client_id", "").lower(), operation, operation == "token")

    async def refuse(self, request: web.Request, code: str, variant: int) -> web.Response:
        """Answer a token request with a code, whatever was asked."""
        exchange = self.service.exchange(request.match_info.get("tenant", ""), await form_of(request))
        number = int(code)
        scripted = errors.refusal(number, exchange.facts(), variant=min(variant, len(BY_NUMBER[number]) - 1))
        return self.refused(request, scripted, exchange.now)

    def refused(self, request: web.Request, refusal: EntraError, now: float) -> web.Response:
        """Answer a refusal."""
        trace_id = str(uuid.uuid4())
        correlation_id = errors.correlation(request.headers.get("client-request-id"))
        refusal = dataclasses.replace(refusal, legacy=self.service.settings.legacy_text)
        return respond(refusal.status, refusal.body(now, trace_id, correlation_id), trace_id)

    async def token(self, request: web.Request) -> web.Response:
        """Answer a token request; the query and the many extra fields of the SDKs are ignored."""
        form = await form_of(request)
        exchange = self.service.exchange(request.match_info["tenant"], form)
        refusal = await self.service.judge(exchange)
        if refusal is None:
            answer = respond(200, self.service.success(exchange), str(uuid.uuid4()))
        else:
            answer = self.refused(request, refusal, exchange.now)
        self.service.journal.record(
            entry(request, answer.status, refusal, exchange.now, form.get("client_id", ""), exchange.assertion)
        )
        return answer

    async def openid_configuration(self, request: web.Request) -> web.Response:
        """Answer the tenant's metadata, whose endpoints are on the host that was asked."""
        name = request.match_info["tenant"]
        tenant = self.service.directory.tenant(name)
        if tenant is None:
            facts = {"tenant": name}
            refusal = errors.refusal(900023, facts)
            if is_tenant_name(name):
                refusal = errors.refusal(90002, facts, error="invalid_tenant")
            return self.refused(request, refusal, self.now())
        return respond(200, metadata(f"https://{request.host}", tenant.tenant_id), str(uuid.uuid4()))

    async def keys(self, request: web.Request) -> web.Response:
        """Answer the keys of access tokens; they are the same for every tenant."""
        return respond(200, self.service.jwks(), str(uuid.uuid4()))

    async def instance_discovery(self, request: web.Request) -> web.Response:
        """Answer which authority hosts belong together; some SDKs ask before anything else."""
        asked = request.query.get("authorization_endpoint", "")
        tenant = asked.split("/")[3] if asked.count("/") > 3 else "common"
        body = {
            "tenant_discovery_endpoint": f"https://{PUBLIC_HOST}/{tenant}/v2.0/.well-known/openid-configuration",
            "api-version": request.query.get("api-version", "1.1"),
            "metadata": [
                {"preferred_network": PUBLIC_HOST, "preferred_cache": "login.windows.net", "aliases": ALIASES}
            ],
        }
        return respond(200, body, str(uuid.uuid4()))


def build_app(service: EntraService, admin_token: str) -> web.Application:
    """Return the application; the admin API comes first, so that no tenant can be called ``_admin``."""
    routes = Routes(service)
    middlewares = [guard_admin(admin_token), rule_errors, sabotage(routes)]
    app = web.Application(middlewares=middlewares, client_max_size=MAX_BODY)
    CommonAdmin(service.journal, service.faults, all_codes, service).add_routes(app)
    Admin(service).add_routes(app)
    app.router.add_get(PROBE, healthz)
    app.router.add_get("/common/discovery/instance", routes.instance_discovery)
    app.router.add_post("/{tenant}/oauth2/v2.0/token", routes.token)
    app.router.add_get("/{tenant}/v2.0/.well-known/openid-configuration", routes.openid_configuration)
    app.router.add_get("/{tenant}/discovery/v2.0/keys", routes.keys)
    return app


def operation_of(path: str) -> str:
    """Return what a path is for, in the words of a fault."""
    ends = {"/token": "token", "/openid-configuration": "metadata", "/keys": "keys", "/instance": "instance"}
    return next((operation for end, operation in ends.items() if path.endswith(end)), "")


async def form_of(request: web.Request) -> dict[str, str]:
    """Read the form; of a repeated parameter the first counts. Another content type has no parameters."""
    if request.content_type != "application/x-www-form-urlencoded":
        return {}
    pairs = parse_qsl((await request.read()).decode(errors="replace"), keep_blank_values=True)
    return dict(reversed(pairs))


def respond(status: int, body: dict[str, Any], trace_id: str) -> web.Response:
    """Answer JSON with the headers and cookies of the real endpoint."""
    response = web.json_response(body, status=status, headers={**STANDARD_HEADERS, "x-ms-request-id": trace_id})
    for cookie in COOKIES:
        response.headers.add("Set-Cookie", cookie)
    return response


def entry(
    request: web.Request, status: int, refusal: EntraError | None, now: float, client_id: str, assertion: Jwt
) -> Entry:
    """Describe an exchange for the journal: claims yes, signature and token no."""
    return Entry(
        time=now,
        method=request.method,
        host=request.host,
        path=request.path,
        status=status,
        outcome=str(refusal.code) if refusal else "ok",
        client_id=client_id,
        assertion_claims=assertion.claims,
    )


def metadata(base: str, tenant_id: str) -> dict[str, Any]:
    """Return the tenant's OpenID configuration, as far as clients of the token endpoint read it."""
    return {
        "token_endpoint": f"{base}/{tenant_id}/oauth2/v2.0/token",
        "token_endpoint_auth_methods_supported": ["client_secret_post", "private_key_jwt", "client_secret_basic"],
        "jwks_uri": f"{base}/{tenant_id}/discovery/v2.0/keys",
        "response_types_supported": ["code", "id_token", "code id_token", "id_token token"],
        "subject_types_supported": ["pairwise"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "scopes_supported": ["openid", "profile", "email", "offline_access"],
        "issuer": f"https://{PUBLIC_HOST}/{tenant_id}/v2.0",
        "authorization_endpoint": f"{base}/{tenant_id}/oauth2/v2.0/authorize",
        "tenant_region_scope": "NA",
        "cloud_instance_name": "microsoftonline.com",
    }
