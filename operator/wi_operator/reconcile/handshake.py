"""A config's handshake: an assertion from the issuer, presented to the cloud; and a vault's own word on its tenant."""

from __future__ import annotations

import asyncio
import functools
import json
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from wi_operator.core.secret import SecretValue
from wi_operator.federation.azure import AzureEndpoints
from wi_operator.federation.diagnosis import grants, keyvault
from wi_operator.federation.diagnosis.base import DiagnosedError, Diagnosis
from wi_operator.federation.diagnosis.bodies import json_object
from wi_operator.federation.exchange import entra_sdk
from wi_operator.federation.exchange.entra import TokenTarget
from wi_operator.federation.hosts import Endpoint, ForbiddenHostError, require_allowed
from wi_operator.index.objects import Config
from wi_operator.reconcile import rows

ISSUER_TIMEOUT = 8.0
VAULT_TIMEOUT = 8.0
BODY_LIMIT = 256 * 1024
STALE = "StaleGeneration"
VAULT_PROBE = "/secrets?api-version=7.6&maxresults=1"


class LaggingError(Exception):
    """The issuer knows another generation than we, or the watch has not shown a namespace yet: look again in a moment."""


@dataclass(frozen=True, slots=True, repr=False)
class Granted:
    """The issuer's answer; the assertion lives 5 minutes and is shown to nobody but the cloud."""

    assertion: SecretValue
    issuer: str
    subject: str
    audience: str
    organization: str


@dataclass(slots=True)
class Handshaker:
    """All network calls of a check except those to Kubernetes; every one is bounded in time."""

    grants_url: str
    token_file: Path
    allowed_hosts: tuple[str, ...]
    issuer_trust: Callable[[], ssl.SSLContext]
    extra_ca: Callable[[], str]

    async def request_assertion(self, config: Config) -> Granted:
        """Ask the issuer; raises ``DiagnosedError`` and ``LaggingError``."""
        body = {
            "namespace": config.key.namespace,
            "name": config.key.name,
            "uid": config.uid,
            "generation": config.generation,
        }
        try:
            headers = {"Authorization": f"Bearer {self.token_file.read_text().strip()}"}
        except OSError as error:
            diagnosis = rows.TOKEN_UNREADABLE.diagnose(detail=error.strerror or type(error).__name__)
            raise DiagnosedError(diagnosis) from error
        try:
            url = f"{self.grants_url.rstrip('/')}/v1/handshakes"
            async with (
                asyncio.timeout(ISSUER_TIMEOUT),
                _session(self.issuer_trust()) as session,
                session.post(url, json=body, headers=headers, allow_redirects=False) as response,
            ):
                content, status = await _read(response), response.status
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise DiagnosedError(_diagnose_issuer(error)) from None
        return _read_granted(status, content)

    async def exchange(self, config: Config, granted: Granted) -> None:
        """Present the assertion to the config's cloud and drop the token; raises ``DiagnosedError``."""
        cloud = AzureEndpoints.from_block(config.azure, extra_hosts=self.allowed_hosts)
        facts = {
            "issuer": granted.issuer,
            "subject": granted.subject,
            "audience": granted.audience,
            "client_id": cloud.client_id,
            "tenant_id": cloud.tenant_id,
            "scope": cloud.vault_scope,
        }
        target = TokenTarget(
            _require(cloud.authority_host, cloud.hosts), cloud.tenant_id, cloud.client_id, cloud.vault_scope
        )
        await entra_sdk.exchange(target, granted.assertion, trust=self._trust(cloud), **facts)

    async def probe_vault(self, config: Config, vault_url: str) -> str:
        """Ask the vault without a token whose it is; return what was found; raises ``DiagnosedError``."""
        cloud = AzureEndpoints.from_block(config.azure, extra_hosts=self.allowed_hosts)
        endpoint = _require(vault_url, cloud.hosts)
        try:
            async with (
                asyncio.timeout(VAULT_TIMEOUT),
                _session(self._trust(cloud)) as session,
                session.get(endpoint.origin + VAULT_PROBE, allow_redirects=False) as response,
            ):
                body, status = await _read(response), response.status
                challenge = response.headers.get("WWW-Authenticate", "")
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise DiagnosedError(entra_sdk.diagnose_connection(error, endpoint, vault=True)) from None
        return _judge_vault(status, body, challenge, cloud=cloud, endpoint=endpoint)

    def _trust(self, cloud: AzureEndpoints) -> ssl.SSLContext:
        if not cloud.ca_bundle:
            return trust(extra=self.extra_ca())
        try:
            return trust(only=cloud.ca_bundle, extra=self.extra_ca())
        except ssl.SSLError as error:
            field = "spec.azure.custom.caBundle"
            raise DiagnosedError(rows.CONFIG_UNTRUSTED_CA.diagnose(field=field)) from error


@functools.lru_cache(maxsize=64)
def trust(*, only: str = "", extra: str = "") -> ssl.SSLContext:
    """Return a verifying context: the system's authorities, or ``only`` those given; and ``extra`` (both PEM).

    Kept, because reading the system's authorities costs more than a handshake.
    """
    context = ssl.create_default_context(cadata=only or None)
    if extra:
        context.load_verify_locations(cadata=extra)
    return context


def _session(context: ssl.SSLContext) -> aiohttp.ClientSession:
    # Cookies would carry something from one organization's check into another's.
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(ssl=context, limit=2), cookie_jar=aiohttp.DummyCookieJar()
    )


async def _read(response: aiohttp.ClientResponse) -> bytes:
    body = b""
    async for chunk in response.content.iter_chunked(16 * 1024):
        body += chunk
        if len(body) > BODY_LIMIT:
            break  # no answer of ours is so large: what is cut off is unreadable, and is judged so
    return body


def _require(url: str, hosts: tuple[str, ...]) -> Endpoint:
    try:
        return require_allowed(url, hosts)
    except ForbiddenHostError as error:
        raise DiagnosedError(grants.FORBIDDEN_HOST.diagnose(detail=str(error).rstrip("."))) from error


def _diagnose_issuer(error: BaseException) -> Diagnosis:
    if isinstance(error, aiohttp.ClientConnectorCertificateError | aiohttp.ClientSSLError):
        return grants.NOT_TRUSTED.diagnose(detail=type(error).__name__)
    return grants.UNREACHABLE.diagnose(detail=type(error).__name__)


def _read_granted(status: int, body: bytes) -> Granted:
    document = json_object(body)
    if status == 409 and document.get("reason") == STALE:
        raise LaggingError
    if status != 200:
        raise DiagnosedError(grants.diagnose(status, body))
    names = ("assertion", "issuer", "subject", "audience", "organization")
    texts = {name: document[name] for name in names if isinstance(document.get(name), str)}
    if len(texts) != len(names):
        raise DiagnosedError(grants.UNREADABLE.diagnose(status=str(status)))
    return Granted(
        assertion=SecretValue(texts["assertion"]),
        issuer=texts["issuer"],
        subject=texts["subject"],
        audience=texts["audience"],
        organization=texts["organization"],
    )


def _judge_vault(status: int, body: bytes, challenge: str, *, cloud: AzureEndpoints, endpoint: Endpoint) -> str:
    tenant, found = cloud.tenant_id, keyvault.challenge_tenant(challenge)
    if status == 401 and found:
        # A body that says nothing: the challenge alone is judged, since a request without a token must be refused.
        body = json.dumps({"error": {"code": "Unauthorized"}}).encode()
    diagnosis = keyvault.diagnose(
        status,
        body,
        challenge=challenge,
        client_id=cloud.client_id,
        vault=endpoint.host.partition(".")[0],
        vault_host=endpoint.host,
        tenant_id=tenant,
    )
    if status == 401 and found and diagnosis.row is not keyvault.WRONG_TENANT:
        same = "our tenant" if found.lower() == tenant.lower() else f"tenant {found}"
        return f"Vault {endpoint.host} answers and names {same}."
    raise DiagnosedError(diagnosis)
