"""The controller's handshake with Entra through ``azure-identity``; the only importer of that library.

Its defaults (300 s timeouts, hidden retries, an unbounded Retry-After) would block a worker for minutes: all are set here.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl

import aiohttp
from azure.core.exceptions import (
    AzureError,
    ClientAuthenticationError,
    HttpResponseError,
    ServiceRequestError,
    ServiceResponseError,
)
from azure.core.pipeline.transport import AioHttpTransport
from azure.identity.aio import ClientAssertionCredential

from wi_operator.core.secret import SecretValue
from wi_operator.federation.diagnosis import entra, transport
from wi_operator.federation.diagnosis.base import DiagnosedError, Diagnosis
from wi_operator.federation.exchange.base import HttpResponse
from wi_operator.federation.exchange.entra import TokenTarget
from wi_operator.federation.hosts import Endpoint

# The library logs every refusal with the foreign text; the queue's owner tells it once, diagnosed.
logging.getLogger("azure").setLevel(logging.ERROR)

CONNECT_TIMEOUT = 5.0
READ_TIMEOUT = 5.0
TOTAL_TIMEOUT = 12.0
"""Seconds for the whole exchange, name resolution included."""


async def exchange(target: TokenTarget, assertion: SecretValue, *, trust: ssl.SSLContext, **facts: str) -> None:
    """Present ``assertion`` and drop the token that comes back; raises ``DiagnosedError``.

    ``target.authority`` must have passed the allow-list; ``facts`` are those of ``diagnosis.entra.diagnose``.
    """
    session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=trust, limit=2))
    async with session:
        credential = ClientAssertionCredential(
            target.tenant_id,
            target.client_id,
            assertion.reveal,
            authority=target.authority.origin,
            transport=AioHttpTransport(session=session, session_owner=False, use_env_settings=False),
            connection_timeout=CONNECT_TIMEOUT,
            read_timeout=READ_TIMEOUT,
            retry_total=0,  # retries are the queue's: they must not block a worker
            disable_instance_discovery=True,
        )
        try:
            async with asyncio.timeout(TOTAL_TIMEOUT), credential:
                await credential.get_token(target.scope)
        except (AzureError, TimeoutError, aiohttp.ClientError, OSError, ValueError) as error:
            raise DiagnosedError(_judge(error, target.authority, facts)) from None


def _judge(error: Exception, authority: Endpoint, facts: dict[str, str]) -> Diagnosis:
    response = error.response if isinstance(error, HttpResponseError) else None
    if response is not None:
        headers = getattr(response, "headers", {})
        answer = HttpResponse(
            response.status_code or 0, _body_of(response), {name.lower(): text for name, text in headers.items()}
        )
        return entra.diagnose(answer.status, answer.body, retry_after=answer.retry_after, **facts)
    if isinstance(error, ClientAuthenticationError | HttpResponseError | ValueError):
        # The library could not read an answer (not JSON, no token in it); its text is foreign and not shown.
        return entra.UNREADABLE.diagnose(status="200", **facts)
    return diagnose_connection(error, authority)


def _body_of(response: object) -> bytes:
    for reader in ("body", "read"):
        try:
            content = getattr(response, reader)()
        except (AttributeError, ValueError, AzureError):
            continue
        if isinstance(content, bytes):
            return content
    return b""


def diagnose_connection(error: BaseException, endpoint: Endpoint, *, vault: bool = False) -> Diagnosis:
    """Judge an exception of aiohttp or of the Azure SDK's transport: no whole answer came."""
    failure, detail = _classify(_root_of(error))
    return transport.diagnose(failure, host=endpoint.host, port=endpoint.port, detail=detail, vault=vault)


def _root_of(error: BaseException) -> BaseException:
    wrapped = isinstance(error, ServiceRequestError | ServiceResponseError)
    inner = error.inner_exception if wrapped else None  # type: ignore[attr-defined]
    return inner if isinstance(inner, BaseException) else error


def _classify(error: BaseException) -> tuple[transport.Failure, str]:
    """Return the failure and a word about it that does not change from try to try."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        verification = error.certificate_error
        return transport.Failure.TLS, getattr(verification, "verify_message", "") or type(verification).__name__
    if isinstance(error, aiohttp.ClientSSLError | ssl.SSLError):
        return transport.Failure.TLS, "TLS handshake failed"
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        busy = error.os_error.errno == socket.EAI_AGAIN
        detail = error.os_error.strerror or "no answer"
        return (transport.Failure.DNS if busy else transport.Failure.HOST_UNKNOWN), detail
    if isinstance(error, TimeoutError):
        return transport.Failure.SLOW, f"{READ_TIMEOUT:.0f} s"
    if isinstance(error, aiohttp.ClientConnectorError):
        return transport.Failure.UNREACHABLE, error.os_error.strerror or type(error.os_error).__name__
    if isinstance(error, aiohttp.http_exceptions.HttpProcessingError | aiohttp.ClientResponseError):
        return transport.Failure.GARBAGE, type(error).__name__
    return transport.Failure.RESET, type(error).__name__
