"""What the controller's Azure SDK clients share: a guarded transport, and the way from their exceptions to a diagnosis.

The SDKs' defaults (300 s timeouts, hidden retries, an unbounded Retry-After, redirects) would block a worker for minutes or
carry a token elsewhere: all are set here.
"""

from __future__ import annotations

import logging
import socket
import ssl
from typing import Any
from urllib.parse import urlsplit

import aiohttp
from azure.core.exceptions import AzureError, HttpResponseError, ServiceRequestError, ServiceResponseError
from azure.core.pipeline.transport import AioHttpTransport

from wi_operator.federation.diagnosis import transport
from wi_operator.federation.diagnosis.base import Diagnosis
from wi_operator.federation.diagnosis.bodies import json_object
from wi_operator.federation.exchange.base import HttpResponse
from wi_operator.federation.hosts import Endpoint

# The libraries log every refusal with the foreign text; the queue's owner tells it once, diagnosed.
logging.getLogger("azure").setLevel(logging.ERROR)

UNAUTHORIZED = 401
CONNECT_TIMEOUT = 4.0
READ_TIMEOUT = 5.0
TOTAL_TIMEOUT = 12.0
"""Seconds for one whole operation, name resolution included."""


FAULTS = (AzureError, TimeoutError, aiohttp.ClientError, OSError, ValueError)
"""What a call of an SDK may raise when the other side, or the way to it, is at fault."""


class OtherHostError(ServiceRequestError):
    """The SDK was about to send a request elsewhere: a redirect, a challenge or a nextLink named another host."""


class GuardedTransport(AioHttpTransport):  # type: ignore[misc] # Any to mypy
    """A transport that reaches one host only; tokens cannot be lured away by a ``nextLink`` or a redirect."""

    def __init__(self, session: aiohttp.ClientSession, endpoint: Endpoint) -> None:
        super().__init__(
            session=session,
            session_owner=False,
            use_env_settings=False,
            connection_timeout=CONNECT_TIMEOUT,
            read_timeout=READ_TIMEOUT,
        )
        self._endpoint = endpoint

    async def send(self, request: Any, **config: Any) -> Any:
        """Send; raises ``OtherHostError`` for a request to another host, and ``HttpResponseError`` for a refusal in words.

        A gateway answers text or HTML: the clients would complain of the text and drop the status and its Retry-After.
        """
        parts = urlsplit(request.url)
        if (parts.scheme, parts.hostname, parts.port or 443) != ("https", self._endpoint.host, self._endpoint.port):
            raise OtherHostError(f"a request left {self._endpoint.netloc} for {parts.hostname}")
        response = await super().send(request, **config)
        if response.status_code >= 400 and response.status_code != UNAUTHORIZED and not json_object(_body_of(response)):
            raise HttpResponseError(response=response)
        return response


def client_options(session: aiohttp.ClientSession, endpoint: Endpoint) -> dict[str, Any]:
    """Return the options that every SDK client of ours gets."""
    return {
        "transport": GuardedTransport(session, endpoint),
        "retry_total": 0,  # retries are the queue's: they must not block a worker
        "permit_redirects": False,
    }


def answer_of(error: BaseException) -> HttpResponse | None:
    """Return the HTTP answer behind an SDK's exception, or ``None`` when there was none."""
    response = error.response if isinstance(error, HttpResponseError) else None
    if response is None:
        return None
    headers = {name.lower(): text for name, text in getattr(response, "headers", {}).items()}
    return HttpResponse(response.status_code or 0, _body_of(response), headers)


def host_of(error: BaseException) -> str:
    """Return the host that answered, or an empty text."""
    request = getattr(getattr(error, "response", None), "request", None)
    return urlsplit(str(getattr(request, "url", ""))).hostname or ""


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
    failure, detail = classify(_root_of(error))
    return transport.diagnose(failure, host=endpoint.host, port=endpoint.port, detail=detail, vault=vault)


def _root_of(error: BaseException) -> BaseException:
    wrapped = isinstance(error, ServiceRequestError | ServiceResponseError)
    inner = error.inner_exception if wrapped else None  # type: ignore[attr-defined]
    return inner if isinstance(inner, BaseException) else error


def classify(error: BaseException) -> tuple[transport.Failure, str]:
    """Return the failure and a word about it that does not change from try to try."""
    if isinstance(error, OtherHostError):
        return transport.Failure.GARBAGE, "it sends requests to another host"
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        verification = error.certificate_error
        return transport.Failure.TLS, getattr(verification, "verify_message", "") or type(verification).__name__
    if isinstance(error, aiohttp.ClientSSLError | ssl.SSLError):
        return transport.Failure.TLS, "TLS handshake failed"
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        busy = error.os_error.errno == socket.EAI_AGAIN
        detail = error.os_error.strerror or "no answer"
        return (transport.Failure.DNS if busy else transport.Failure.HOST_UNKNOWN), detail
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return transport.Failure.BLOCKED, f"{CONNECT_TIMEOUT:.0f} s"
    if isinstance(error, TimeoutError):
        return transport.Failure.SLOW, f"{READ_TIMEOUT:.0f} s"
    if isinstance(error, aiohttp.ClientConnectorError):
        return transport.Failure.UNREACHABLE, error.os_error.strerror or type(error.os_error).__name__
    if isinstance(error, aiohttp.http_exceptions.HttpProcessingError | aiohttp.ClientResponseError):
        return transport.Failure.GARBAGE, type(error).__name__
    return transport.Failure.RESET, "before the answer was whole"
