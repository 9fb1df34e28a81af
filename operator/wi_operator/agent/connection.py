"""One TLS connection, driven by the event loop itself, that carries one HTTP/1.1 exchange at a time.

asyncio's TLS transports and streams would do; they cost 256 KiB of buffers per connection and, by ``bench/sidecar``, half
of a kickoff's CPU time. A kept connection stays registered with the loop, so that it notices when its host closes it.
"""

from __future__ import annotations

import asyncio
import ssl

from wi_operator.agent.answer import Answer
from wi_operator.agent.proxy import Proxy, open_tunnel
from wi_operator.agent.sockets import dial, wait_ready
from wi_operator.federation.exchange.base import HttpResponse
from wi_operator.federation.hosts import Endpoint

CHUNK = 16 * 1024
"""Bytes: the largest TLS record. A smaller buffer could leave a rest inside OpenSSL, of which the loop knows nothing."""


class Connection:
    """An open connection; whoever meets an exception has to ``close`` it: an answer half read is never the next one's."""

    __slots__ = ("_answer", "_loop", "_tls", "idle_since", "is_open")

    def __init__(self, tls: ssl.SSLSocket) -> None:
        self._loop = asyncio.get_running_loop()
        self._tls = tls
        self._answer: Answer | None = None
        self.idle_since = 0.0
        self.is_open = True
        self._loop.add_reader(tls, self._on_readable)

    async def exchange(self, request: bytes, *, seconds: float, limit: int) -> HttpResponse:
        """Send and return the whole answer, whose body has at most ``limit`` bytes.

        Raises ``TimeoutError``, ``OSError`` and the errors of ``answer``; afterwards ``is_open`` tells whether it may be kept.
        """
        answer = self._answer = Answer(self._loop.create_future(), limit)
        timer = self._loop.call_later(seconds, answer.fail, TimeoutError())
        try:
            await self._send(request, seconds)
            return await answer.whole
        finally:
            timer.cancel()
            answer.abandon()
            self._answer = None
            if not answer.keeps_alive():
                self.close()

    def close(self) -> None:
        """End it without a word; may be called twice."""
        if self.is_open:
            self.is_open = False
            self._loop.remove_reader(self._tls)
            self._tls.close()

    async def _send(self, request: bytes, seconds: float) -> None:
        rest = self._write(request)
        if rest:
            async with asyncio.timeout(seconds):
                while rest:
                    await wait_ready(self._tls, self._loop.add_writer, self._loop.remove_writer)
                    rest = self._write(rest)

    def _write(self, data: bytes) -> bytes:
        """Write what the system takes at once; returns the rest."""
        while data:
            try:
                data = data[self._tls.send(data) :]
            except ssl.SSLWantWriteError:
                break
        return data

    def _on_readable(self) -> None:
        try:
            data = self._tls.recv(CHUNK)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return  # a session ticket or a part of a record
        except OSError as error:
            self._end(error)
            return
        if not data:
            self._end(None)
        elif self._answer is None:
            self.close()  # nobody asked: what comes next could not be told from an answer
        else:
            self._answer.feed(data)

    def _end(self, error: OSError | None) -> None:
        self.close()
        if self._answer is not None:
            self._answer.end(error)


async def open_connection(endpoint: Endpoint, trust: ssl.SSLContext, proxy: Proxy | None = None) -> Connection:
    """Connect to ``endpoint``, through ``proxy`` if there is one; raises ``OSError`` (TLS errors are) or ``ProxyError``."""
    plain = await (open_tunnel(proxy, endpoint) if proxy else dial(endpoint.host, endpoint.port))
    try:
        tls = trust.wrap_socket(plain, server_hostname=endpoint.host, do_handshake_on_connect=False)
    except BaseException:
        plain.close()
        raise
    try:
        await _shake_hands(tls)
    except BaseException:
        tls.close()
        raise
    return Connection(tls)


async def _shake_hands(tls: ssl.SSLSocket) -> None:
    loop = asyncio.get_running_loop()
    while True:
        try:
            tls.do_handshake()
        except ssl.SSLWantReadError:
            await wait_ready(tls, loop.add_reader, loop.remove_reader)
        except ssl.SSLWantWriteError:
            await wait_ready(tls, loop.add_writer, loop.remove_writer)
        else:
            return
