"""A small HTTPS client: h11 over asyncio, pooled connections, bounded in time and size; follows no redirect."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import h11

from wi_operator.agent.settings import Budgets
from wi_operator.core.clock import Clock
from wi_operator.federation.diagnosis import transport
from wi_operator.federation.diagnosis.base import Diagnosis
from wi_operator.federation.diagnosis.transport import Failure
from wi_operator.federation.exchange.base import HttpRequest, HttpResponse
from wi_operator.federation.hosts import Endpoint

CHUNK = 16 * 1024
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
class _Connection:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    http: h11.Connection
    idle_since: float = 0.0
    used: bool = False

    def is_open(self) -> bool:
        return not self.reader.at_eof() and not self.writer.is_closing()

    def abort(self) -> None:
        self.writer.transport.abort()


@dataclass(slots=True)
class _Pool:
    slots: asyncio.Semaphore
    idle: list[_Connection] = field(default_factory=list)


class HttpClient:
    """Sends requests; one pool of kept connections per host."""

    def __init__(self, trust: ssl.SSLContext, budgets: Budgets, clock: Clock) -> None:
        self._trust = trust
        self._budgets = budgets
        self._clock = clock
        self._pools: dict[Endpoint, _Pool] = {}

    async def send(self, request: HttpRequest) -> HttpResponse:
        """Send and return the whole answer, whatever its status; raises ``TransportError``."""
        async with self._connection(request.endpoint) as connection:
            fresh = not connection.used
            try:
                return await self._exchange(connection, request)
            except TransportError as error:
                # The host closed a kept connection just as it was used again: that says nothing about the host.
                if fresh or error.failure is not Failure.RESET:
                    raise
        async with self._connection(request.endpoint, fresh=True) as connection:
            return await self._exchange(connection, request)

    def retrust(self, trust: ssl.SSLContext) -> None:
        """Believe ``trust`` from now on; kept connections were made under the old one and are dropped."""
        self._trust = trust
        self.close()

    async def connect_ahead(self, endpoint: Endpoint) -> None:
        """Keep a connection ready, so that the next request need not wait for TLS; raises ``TransportError``."""
        async with self._connection(endpoint) as connection:
            connection.used = True

    def close(self) -> None:
        """Drop all kept connections."""
        for pool in self._pools.values():
            while pool.idle:
                pool.idle.pop().abort()

    @contextlib.asynccontextmanager
    async def _connection(self, endpoint: Endpoint, *, fresh: bool = False) -> AsyncIterator[_Connection]:
        pool = self._pools.setdefault(endpoint, _Pool(asyncio.Semaphore(self._budgets.connections_per_host)))
        async with pool.slots:
            connection = None if fresh else self._take(pool)
            connection = connection or await self._connect(endpoint)
            try:
                yield connection
            except BaseException:
                # An answer half read must never be taken for the next request's.
                connection.abort()
                raise
            self._give_back(pool, connection)

    def _take(self, pool: _Pool) -> _Connection | None:
        while pool.idle:
            connection = pool.idle.pop()
            if connection.is_open() and self._clock.monotonic() - connection.idle_since < self._budgets.idle_connection:
                return connection
            connection.abort()
        return None

    def _give_back(self, pool: _Pool, connection: _Connection) -> None:
        if connection.http.our_state is h11.DONE and connection.http.their_state is h11.DONE:
            connection.http.start_next_cycle()
        if connection.http.our_state is not h11.IDLE or not connection.is_open():
            connection.abort()
            return
        connection.idle_since = self._clock.monotonic()
        connection.used = True
        pool.idle.append(connection)

    async def _connect(self, endpoint: Endpoint) -> _Connection:
        try:
            async with asyncio.timeout(self._budgets.connect):
                reader, writer = await asyncio.open_connection(
                    endpoint.host, endpoint.port, ssl=self._trust, happy_eyeballs_delay=0.25, limit=2 * CHUNK
                )
        except (OSError, TimeoutError) as error:
            raise TransportError(*_connect_failure(error, endpoint, self._budgets.connect)) from error
        return _Connection(reader, writer, h11.Connection(h11.CLIENT))

    async def _exchange(self, connection: _Connection, request: HttpRequest) -> HttpResponse:
        endpoint = request.endpoint
        try:
            async with asyncio.timeout(self._budgets.read):
                connection.writer.write(_serialize(connection.http, request))
                await connection.writer.drain()
                return await self._read(connection, endpoint)
        except TimeoutError as error:
            raise TransportError(Failure.SLOW, endpoint, f"no answer in {self._budgets.read:g} s") from error
        except h11.RemoteProtocolError as error:
            raise TransportError(*_protocol_failure(connection, endpoint)) from error
        except OSError as error:
            raise TransportError(Failure.RESET, endpoint, _word(error)) from error

    async def _read(self, connection: _Connection, endpoint: Endpoint) -> HttpResponse:
        status, headers, body = 0, {}, bytearray()
        while True:
            event = connection.http.next_event()
            if event is h11.NEED_DATA:
                connection.http.receive_data(await connection.reader.read(CHUNK))
            elif isinstance(event, h11.Response):
                status = event.status_code
                headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in event.headers}
            elif isinstance(event, h11.Data):
                body += event.data
                if len(body) > self._budgets.response_bytes:
                    raise TransportError(Failure.TOO_LARGE, endpoint, str(self._budgets.response_bytes))
            elif isinstance(event, h11.EndOfMessage):
                return HttpResponse(status, bytes(body), headers)
            elif isinstance(event, h11.ConnectionClosed):
                raise TransportError(Failure.RESET, endpoint, "closed before an answer")


def _serialize(http: h11.Connection, request: HttpRequest) -> bytes:
    headers = [("host", request.endpoint.netloc), ("user-agent", USER_AGENT), *request.headers]
    if request.body:
        headers.append(("content-length", str(len(request.body))))
    parts = [http.send(h11.Request(method=request.method, target=request.target, headers=headers))]
    if request.body:
        parts.append(http.send(h11.Data(data=request.body)))
    parts.append(http.send(h11.EndOfMessage()))
    return b"".join(part for part in parts if part)


def _connect_failure(error: Exception, endpoint: Endpoint, seconds: float) -> tuple[Failure, Endpoint, str]:
    if isinstance(error, ssl.SSLCertVerificationError):
        return Failure.TLS, endpoint, error.verify_message
    if isinstance(error, ssl.SSLError):
        return Failure.TLS, endpoint, error.reason or "the TLS handshake failed"
    if isinstance(error, socket.gaierror):
        passing = error.errno in (socket.EAI_AGAIN, socket.EAI_SYSTEM, socket.EAI_MEMORY)
        return Failure.DNS if passing else Failure.HOST_UNKNOWN, endpoint, error.strerror or "no address"
    if isinstance(error, TimeoutError) and not error.errno:
        return Failure.UNREACHABLE, endpoint, f"no connection in {seconds:g} s"
    if isinstance(error, ConnectionResetError):
        return Failure.RESET, endpoint, "closed during the TLS handshake"
    return Failure.UNREACHABLE, endpoint, _word(error)


def _protocol_failure(connection: _Connection, endpoint: Endpoint) -> tuple[Failure, Endpoint, str]:
    if connection.reader.at_eof():
        return Failure.RESET, endpoint, "closed in the middle of an answer"
    return Failure.GARBAGE, endpoint, "malformed answer"


def _word(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        return error.reason or "TLS ended"
    # create_connection joins the errors of several addresses into one text without a number.
    number = getattr(error, "errno", None)
    return errno.errorcode.get(number, type(error).__name__) if number else "no address accepted the connection"
