"""Reading one HTTP/1.1 answer as its bytes come: h11, and a short way for the answer that nearly always comes."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import h11

from wi_operator.federation.exchange.base import HttpResponse

NO_CONTENT, NOT_MODIFIED = 204, 304

# Nothing but a status line, header lines of plain text and the end of the head; what else HTTP allows is h11's.
_HEAD = re.compile(rb"HTTP/1\.1 ([2-5]\d\d)(?: [\t -~]*)?\r\n((?:[A-Za-z0-9-]+:[\t -~]*\r\n)*)\r\n")
_DECISIVE = ("transfer-encoding", "connection", "upgrade")
_REQUEST = h11.Request(method="GET", target="/", headers=[("host", "-")])
_END = h11.EndOfMessage()


class AnswerTooLargeError(Exception):
    """The answer's body is over the limit."""


class MalformedAnswerError(Exception):
    """What came is not HTTP/1.1."""


class BrokenOffError(OSError):
    """The host closed before its answer was whole."""


class Answer:
    """The answer that is awaited; ``whole`` gets it, or what came instead."""

    __slots__ = ("_body", "_headers", "_http", "_limit", "_status", "whole")

    def __init__(self, whole: asyncio.Future[HttpResponse], limit: int) -> None:
        self.whole = whole
        self._limit = limit
        self._http: h11.Connection | None = None
        self._status = 0
        self._headers: dict[str, str] = {}
        self._body = bytearray()

    def feed(self, data: bytes) -> None:
        """Take what has come (``b""``: no more comes)."""
        if self._http is None:
            plain = read_plain(data)
            if plain is not None and len(plain.body) <= self._limit:
                self._finish(plain)
                return
            self._http = _reader()
        try:
            self._http.receive_data(data)
            while not self.whole.done():
                event = self._http.next_event()
                if event is h11.NEED_DATA or event is h11.PAUSED:
                    return
                self._take(event)
        except h11.RemoteProtocolError as error:
            self.fail(MalformedAnswerError(str(error)) if data else BrokenOffError())

    def end(self, error: OSError | None) -> None:
        """Take the connection's end."""
        if error is None:
            self.feed(b"")
        self.fail(error or BrokenOffError())

    def fail(self, error: Exception) -> None:
        """Give ``error`` to who waits, unless the answer is whole."""
        if not self.whole.done():
            self.whole.set_exception(error)

    def abandon(self) -> None:
        """Say that nobody waits any more; without it asyncio would complain of an error that nobody saw."""
        self.whole.cancel()

    def keeps_alive(self) -> bool:
        """Tell whether the connection may carry another exchange: the answer is whole and nothing came after it."""
        if self._http is None:
            return self._status != 0
        return self._http.their_state is h11.DONE and not self._http.trailing_data[0]

    def _take(self, event: Any) -> None:
        if isinstance(event, h11.Data):
            self._body += event.data
            if len(self._body) > self._limit:
                self.fail(AnswerTooLargeError())
        elif isinstance(event, h11.Response):
            self._status = event.status_code
            self._headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in event.headers}
        elif isinstance(event, h11.EndOfMessage):
            self._finish(HttpResponse(self._status, bytes(self._body), self._headers))
        elif isinstance(event, h11.ConnectionClosed):
            self.fail(BrokenOffError())

    def _finish(self, response: HttpResponse) -> None:
        self._status = response.status
        if not self.whole.done():
            self.whole.set_result(response)


def read_plain(data: bytes) -> HttpResponse | None:
    """Read an answer that is here whole and plain: one ``Content-Length``, nothing after it, a connection that stays.

    ``None`` for everything else, malformed or not: h11 judges that. By ``bench/sidecar`` this spares a kickoff a fifth
    of its CPU time.
    """
    head = _HEAD.match(data)
    if head is None:
        return None
    lines = [line.partition(":") for line in head[2].decode("ascii").split("\r\n")[:-1]]
    headers = {name.lower(): value.strip(" \t") for name, _, value in lines}
    status = int(head[1])
    length = headers.get("content-length", "0" if status in (NO_CONTENT, NOT_MODIFIED) else "")
    body = data[head.end() :]
    # Two lines of one name are h11's to judge: of Content-Length they could be an attempt to split the answer.
    if len(headers) != len(lines) or any(name in headers for name in _DECISIVE) or not length.isdigit():
        return None
    if len(length) > 9 or len(body) != (0 if status in (NO_CONTENT, NOT_MODIFIED) else int(length)):
        return None
    return HttpResponse(status, body, headers)


def _reader() -> h11.Connection:
    """Return a reader for one answer: h11 has to see a request first; this one stands for ours and is sent nowhere."""
    http = h11.Connection(h11.CLIENT)
    http.send(_REQUEST)
    http.send(_END)
    return http
