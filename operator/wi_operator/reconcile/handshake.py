"""A config's handshake: an assertion from the issuer, presented to the cloud; and a vault's own word on its tenant."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import ssl
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

from wi_operator.core.secret import SecretValue
from wi_operator.federation.azure import AzureEndpoints
from wi_operator.federation.diagnosis import controller as rows
from wi_operator.federation.diagnosis import grants, keyvault
from wi_operator.federation.diagnosis.base import DiagnosedError, Diagnosis
from wi_operator.federation.diagnosis.bodies import json_object
from wi_operator.federation.exchange import entra_sdk, sdk
from wi_operator.federation.exchange.base import HttpResponse
from wi_operator.federation.exchange.entra import TokenTarget
from wi_operator.federation.hosts import Endpoint, ForbiddenHostError, require_allowed
from wi_operator.federation.publication import Documents
from wi_operator.index.objects import Config
from wi_operator.reconcile.connections import Connections, read_bounded
from wi_operator.vaults.azure_sdk import VaultClient

ISSUER_TIMEOUT = 8.0
STALE = "StaleGeneration"
VAULT_PROBE = "/secrets?api-version=7.6&maxresults=1"


class LaggingError(Exception):
    """The issuer knows another generation than we, or the watch has not shown a namespace yet: look again in a moment."""


@dataclass(frozen=True, slots=True, repr=False)
class Granted:
    """The issuer's answer; the assertion lives 5 minutes and is shown to nobody but the cloud.

    ``disputed`` is what the namespace's annotation says where the issuer does not believe it.
    """

    assertion: SecretValue
    issuer: str
    subject: str
    audience: str
    organization: str
    documents: Documents
    disputed: str = ""


@dataclass(slots=True)
class Handshaker:
    """All network calls of a check except those to Kubernetes; every one is bounded in time.

    ``issuer_ca`` and ``extra_ca`` give PEM texts: whom to trust on the way to the issuer, and beside the system's
    authorities on the way to the clouds.
    """

    grants_url: str
    token_file: Path
    allowed_hosts: tuple[str, ...]
    issuer_ca: Callable[[], str]
    extra_ca: Callable[[], str]
    connections: Connections = field(default_factory=Connections)

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
            session = self.connections.session(only=self.issuer_ca(), outside=False)
            async with (
                asyncio.timeout(ISSUER_TIMEOUT),
                session.post(url, json=body, headers=headers, allow_redirects=False) as response,
            ):
                content, status = await read_bounded(response), response.status
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise DiagnosedError(_diagnose_issuer(error)) from None
        return _read_granted(status, content)

    async def exchange(self, config: Config, granted: Granted) -> None:
        """Present the assertion to the config's cloud and drop the token; raises ``DiagnosedError``."""
        cloud = self._cloud(config)
        session = self._session(cloud)
        await entra_sdk.exchange(_target(cloud), granted.assertion, session=session, **_facts(cloud, granted))

    @contextlib.asynccontextmanager
    async def open_vault(self, config: Config, granted: Granted, vault_url: str) -> AsyncIterator[VaultClient]:
        """Yield a client that reads the vault as the config's app; raises ``DiagnosedError``."""
        cloud = self._cloud(config)
        target, endpoint, session = _target(cloud), _require(vault_url, cloud.hosts), self._session(cloud)
        facts = _facts(cloud, granted)
        judge = functools.partial(entra_sdk.judge, authority=target.authority, facts=facts)
        async with entra_sdk.open_credential(target, granted.assertion, session=session) as credential:
            yield VaultClient(endpoint, credential, session, judge, facts)

    async def probe_vault(self, config: Config, vault_url: str) -> str:
        """Ask the vault without a token whose it is; return what was found; raises ``DiagnosedError``."""
        cloud = self._cloud(config)
        endpoint = _require(vault_url, cloud.hosts)
        try:
            timeout = aiohttp.ClientTimeout(sock_connect=sdk.CONNECT_TIMEOUT, sock_read=sdk.READ_TIMEOUT)
            url = endpoint.origin + VAULT_PROBE
            async with (
                asyncio.timeout(sdk.TOTAL_TIMEOUT),
                self._session(cloud).get(url, allow_redirects=False, timeout=timeout) as response,
            ):
                headers = {name.lower(): text for name, text in response.headers.items()}
                answer = HttpResponse(response.status, await read_bounded(response), headers)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise DiagnosedError(sdk.diagnose_connection(error, endpoint, vault=True)) from None
        return _judge_vault(answer, cloud=cloud, endpoint=endpoint)

    def outside_session(self) -> aiohttp.ClientSession:
        """Return the session that trusts what the public clouds' hosts are trusted by."""
        return self.connections.session(extra=self.extra_ca())

    def _cloud(self, config: Config) -> AzureEndpoints:
        return AzureEndpoints.from_block(config.azure, extra_hosts=self.allowed_hosts)

    def _session(self, cloud: AzureEndpoints) -> aiohttp.ClientSession:
        try:
            return self.connections.session(only=cloud.ca_bundle, extra=self.extra_ca())
        except ssl.SSLError as error:
            field = "spec.azure.custom.caBundle"
            raise DiagnosedError(rows.CONFIG_UNTRUSTED_CA.diagnose(field=field)) from error


def _target(cloud: AzureEndpoints) -> TokenTarget:
    return TokenTarget(_require(cloud.authority_host, cloud.hosts), cloud.tenant_id, cloud.client_id, cloud.vault_scope)


def _facts(cloud: AzureEndpoints, granted: Granted) -> dict[str, str]:
    return {
        "issuer": granted.issuer,
        "subject": granted.subject,
        "audience": granted.audience,
        "client_id": cloud.client_id,
        "tenant_id": cloud.tenant_id,
        "scope": cloud.vault_scope,
    }


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
    names = ("assertion", "issuer", "subject", "audience", "organization", "discovery", "jwks")
    texts = {name: document[name] for name in names if isinstance(document.get(name), str)}
    if len(texts) != len(names):
        raise DiagnosedError(grants.UNREADABLE.diagnose(status=str(status)))
    return Granted(
        assertion=SecretValue(texts["assertion"]),
        issuer=texts["issuer"],
        subject=texts["subject"],
        audience=texts["audience"],
        organization=texts["organization"],
        documents=Documents(texts["discovery"].encode(), texts["jwks"].encode()),
        # An issuer of an earlier release does not tell.
        disputed=str(document.get("disputed") or ""),
    )


def _judge_vault(answer: HttpResponse, *, cloud: AzureEndpoints, endpoint: Endpoint) -> str:
    status, body, challenge = answer.status, answer.body, answer.headers.get("www-authenticate", "")
    tenant, found = cloud.tenant_id, keyvault.challenge_tenant(challenge)
    if status == 401 and found:
        # A body that says nothing: the challenge alone is judged, since a request without a token must be refused.
        body = json.dumps({"error": {"code": "Unauthorized"}}).encode()
    diagnosis = keyvault.diagnose(
        status,
        body,
        retry_after=answer.retry_after,
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
