"""A small HTTPS client: pooled connections, bounded in time and size; follows no redirect."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
import ssl
from dataclasses import dataclass, field

from wi_operator.agent.answer import AnswerTooLargeError, BrokenOffError, MalformedAnswerError
from wi_operator.agent.connection import Connection, open_connection
from wi_operator.agent.proxy import DIRECT, ProxyError, ProxySettings
from wi_operator.agent.settings import Budgets
from wi_operator.core.clock import Clock
from wi_operator.federation.diagnosis import transport
from wi_operator.federation.diagnosis.base import Diagnosis
from wi_operator.federation.diagnosis.transport import Failure
from wi_operator.federation.exchange.base import HttpRequest, HttpResponse
from wi_operator.federation.hosts import Endpoint

USER_AGENT = "workload-identity-operator"


class TransportError(Exception):
    """No whole answer came; ``failure`` says what was met instead."""

    def __init__(self, failure: Failure, endpoint: Endpoint, detail: str) -> None:
        super().__init__(f"{failure.value}: {endpoint.netloc}: {detail}")
        self.failure = failure
        self.endpoint = endpoint
        self.detail = detail

    def diagnose(self, *, vault: bool = False) -> Diagnosis:
        """Return the row of the failure; ``vault`` is the host's role."""
        return transport.diagnose(
            self.failure, host=self.endpoint.host, port=self.endpoint.port, detail=self.detail, vault=vault
        )


@dataclass(slots=True)
class _Pool:
    slots: asyncio.Semaphore
    idle: list[Connection] = field(default_factory=list)


class HttpClient:
    """Sends requests; one pool of kept connections per host."""

    def __init__(self, trust: ssl.SSLContext, budgets: Budgets, clock: Clock, proxies: ProxySettings = DIRECT) -> None:
        self._trust = trust
        self._budgets = budgets
        self._clock = clock
        self._proxies = proxies
        self._pools: dict[Endpoint, _Pool] = {}
        self._ahead: set[asyncio.Task[None]] = set()

    async def send(self, request: HttpRequest) -> HttpResponse:
        """Send and return the whole answer, whatever its status; raises ``TransportError``.

        A request whose kept connection turns out to be closed is sent once more: all that the sidecar sends (reads, and
        exchanges of tokens) may be repeated.
        """
        pool = self._pool(request.endpoint)
        async with pool.slots:
            connection = self._take(pool)
            if connection is not None:
                try:
                    return await self._exchange(pool, connection, request)
                except TransportError as error:
                    # The host closed it just as it was used again: that says nothing about the host.
                    if error.failure is not Failure.RESET:
                        raise
            return await self._exchange(pool, await self._connect(request.endpoint), request)

    def connect_soon(self, endpoint: Endpoint) -> None:
        """Open one more connection in the background, so that a request to come need not wait for TLS.

        A failure is left for the request to meet.
        """
        task = asyncio.create_task(self._connect_ahead(endpoint))
        self._ahead.add(task)
        task.add_done_callback(self._ahead.discard)

    async def _connect_ahead(self, endpoint: Endpoint) -> None:
        pool = self._pool(endpoint)
        async with pool.slots:
            with contextlib.suppress(TransportError):
                self._keep(pool, await self._connect(endpoint))

    def retrust(self, trust: ssl.SSLContext) -> None:
        """Believe ``trust`` from now on; kept connections were made under the old one and are dropped."""
        self._trust = trust
        self.close()

    def close(self) -> None:
        """Drop all kept connections."""
        for pool in self._pools.values():
            while pool.idle:
                pool.idle.pop().close()

    def _pool(self, endpoint: Endpoint) -> _Pool:
        pool = self._pools.get(endpoint)
        if pool is None:
            pool = self._pools[endpoint] = _Pool(asyncio.Semaphore(self._budgets.connections_per_host))
        return pool

    def _take(self, pool: _Pool) -> Connection | None:
        oldest = self._clock.monotonic() - self._budgets.idle_connection
        while pool.idle:
            connection = pool.idle.pop()
            if connection.is_open and connection.idle_since > oldest:
                return connection
            connection.close()
        return None

    def _keep(self, pool: _Pool, connection: Connection) -> None:
        connection.idle_since = self._clock.monotonic()
        pool.idle.append(connection)

    async def _connect(self, endpoint: Endpoint) -> Connection:
        try:
            async with asyncio.timeout(self._budgets.connect):
                return await open_connection(endpoint, self._trust, self._proxies.choose(endpoint))
        except ProxyError as error:
            raise _proxy_failure(error, endpoint) from error
        except (OSError, TimeoutError) as error:
            raise TransportError(*_connect_failure(error, endpoint, self._budgets.connect)) from error

    async def _exchange(self, pool: _Pool, connection: Connection, request: HttpRequest) -> HttpResponse:
        endpoint, limit = request.endpoint, self._budgets.response_bytes
        try:
            response = await connection.exchange(_serialize(request), seconds=self._budgets.read, limit=limit)
        except TimeoutError as error:
            raise TransportError(Failure.SLOW, endpoint, f"no answer in {self._budgets.read:g} s") from error
        except AnswerTooLargeError as error:
            raise TransportError(Failure.TOO_LARGE, endpoint, str(limit)) from error
        except MalformedAnswerError as error:
            raise TransportError(Failure.GARBAGE, endpoint, "malformed answer") from error
        except BrokenOffError as error:
            raise TransportError(Failure.RESET, endpoint, "closed before its answer was whole") from error
        except OSError as error:
            raise TransportError(Failure.RESET, endpoint, _word(error)) from error
        if connection.is_open:
            self._keep(pool, connection)
        return response


def _serialize(request: HttpRequest) -> bytes:
    """Write the request (RFC 9112 section 3); raises ``ValueError`` for a header that would become two."""
    lines = [f"{request.method} {request.target} HTTP/1.1", f"host: {request.endpoint.netloc}"]
    lines += [f"user-agent: {USER_AGENT}", *[f"{name}: {value}" for name, value in request.headers]]
    if request.body:
        lines.append(f"content-length: {len(request.body)}")
    head = "\r\n".join(lines)
    if head.count("\n") != len(lines) - 1 or head.count("\r") != len(lines) - 1:
        raise ValueError("a line end in a request's target or header")
    return f"{head}\r\n\r\n".encode("ascii") + request.body


def _proxy_failure(error: ProxyError, endpoint: Endpoint) -> TransportError:
    failure = Failure.PROXY_REFUSED if error.answered else Failure.PROXY_UNREACHABLE
    return TransportError(failure, endpoint, f"{error.proxy.host}:{error.proxy.port}: {error.detail}")


def _connect_failure(error: Exception, endpoint: Endpoint, seconds: float) -> tuple[Failure, Endpoint, str]:
    if isinstance(error, ssl.SSLCertVerificationError):
        return Failure.TLS, endpoint, error.verify_message
    if isinstance(error, ssl.SSLError):
        return Failure.TLS, endpoint, error.reason or "the TLS handshake failed"
    if isinstance(error, socket.gaierror):
        passing = error.errno in (socket.EAI_AGAIN, socket.EAI_SYSTEM, socket.EAI_MEMORY)
        return Failure.DNS if passing else Failure.HOST_UNKNOWN, endpoint, error.strerror or "no address"
    if isinstance(error, TimeoutError) and not error.errno:
        return Failure.BLOCKED, endpoint, f"{seconds:g} s"
    if isinstance(error, ConnectionResetError):
        return Failure.RESET, endpoint, "closed during the TLS handshake"
    return Failure.UNREACHABLE, endpoint, _word(error)


def _word(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        return error.reason or "TLS ended"
    # create_connection joins the errors of several addresses into one text without a number.
    number = getattr(error, "errno", None)
    return errno.errorcode.get(number, type(error).__name__) if number else "no address accepted the connection"
