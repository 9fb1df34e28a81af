"""Letting a fault happen to a request: the answer that is written in it, and its way over the connection."""

from __future__ import annotations

import asyncio
import http
import json
import socket
import struct
from collections.abc import Awaitable, Callable
from typing import Protocol

from aiohttp import web
from aiohttp.typedefs import Middleware

from wi_testkit.emulation.faults import Fault, Faults, Target
from wi_testkit.emulation.journal import Entry, Journal
from wi_testkit.emulation.listener import PROBE, Handler

NO_HTTP = b"\x15\x03\x01\x00\x02\x02\x28 nothing that speaks HTTP answers like this\n"
CHUNK = 64 * 1024
# The peer shall have read what came before the reset; loopback and pod networks are faster by far.
BEFORE_RESET = 0.05


class Emulated(Protocol):
    """What the sabotage needs to know of an emulator."""

    @property
    def faults(self) -> Faults:
        """Return the faults."""

    @property
    def journal(self) -> Journal:
        """Return the journal."""

    def now(self) -> float:
        """Return the emulator's time."""

    async def target(self, request: web.Request) -> Target:
        """Tell what a request is about."""

    async def refuse(self, request: web.Request, code: str, variant: int) -> web.Response:
        """Answer with a code, whatever was asked."""


def sabotage(emulated: Emulated) -> Middleware:
    """Return the middleware that lets faults happen; admin API and probe are never touched."""

    @web.middleware
    async def sabotaged(request: web.Request, handler: Handler) -> web.StreamResponse:
        if not emulated.faults.all or request.path.startswith("/_admin/") or request.path == PROBE:
            return await handler(request)
        fault = emulated.faults.pick(await emulated.target(request))
        if fault is None:
            return await handler(request)
        return await commit(emulated, fault, request, handler)

    return sabotaged


async def commit(emulated: Emulated, fault: Fault, request: web.Request, handler: Handler) -> web.StreamResponse:
    """Let the fault happen. After an act on the connection the returned response goes nowhere."""
    await asyncio.sleep(fault.delay)
    act = ACTS.get(fault.transport)
    if fault.transport in UNANSWERED or fault.scripted or fault.code:
        note(emulated, fault, request)
    answer = web.Response() if fault.transport in UNANSWERED else await answered(emulated, fault, request, handler)
    if act is None or not isinstance(answer, web.Response):
        return answer
    try:
        return await act(fault, request, answer)
    except ConnectionError:
        return answer


async def answered(emulated: Emulated, fault: Fault, request: web.Request, handler: Handler) -> web.StreamResponse:
    """Return the answer of the fault, or the natural one with other headers."""
    if fault.code:
        answer: web.StreamResponse = await emulated.refuse(request, fault.code, fault.variant)
        answer.set_status(fault.status or answer.status)
    elif fault.scripted:
        answer = written(fault)
    else:
        answer = await handler(request)
    for name, value in fault.headers.items():
        answer.headers[name] = value
    return answer


def written(fault: Fault) -> web.Response:
    """Return the answer that stands in the fault."""
    status = 200 if fault.status is None else fault.status
    if isinstance(fault.body, str) or fault.body is None:
        return web.Response(status=status, text=fault.body or "")
    return web.json_response(fault.body, status=status)


def note(emulated: Emulated, fault: Fault, request: web.Request) -> None:
    """Write a request that the emulator itself never sees into the journal; status 0 means that none was sent."""
    status = 0 if fault.transport in UNANSWERED else fault.status or 0
    entry = Entry(
        time=emulated.now(),
        method=request.method,
        host=request.host,
        path=request.path,
        status=status,
        outcome=fault.identifier,
    )
    emulated.journal.record(entry)


async def hang(fault: Fault, request: web.Request, answer: web.Response) -> web.StreamResponse:
    """Never answer; when the fault is removed, the connection is reset."""
    await fault.removed.wait()
    return await reset(fault, request, answer)


async def reset(_: Fault, request: web.Request, answer: web.Response) -> web.StreamResponse:
    """Reset the connection (RST instead of FIN)."""
    if request.transport is None:
        return answer
    connection: socket.socket | None = request.transport.get_extra_info("socket")
    if connection is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    request.transport.abort()
    return answer


async def reset_body(fault: Fault, request: web.Request, answer: web.Response) -> web.StreamResponse:
    """Send the headers and half of the body, then reset the connection."""
    write(request, head(answer) + half(answer))
    await asyncio.sleep(BEFORE_RESET)
    return await reset(fault, request, answer)


async def truncate(_: Fault, request: web.Request, answer: web.Response) -> web.StreamResponse:
    """Send the headers and half of the body, then close the connection as if that were all."""
    write(request, head(answer) + half(answer))
    close(request)
    return answer


async def garbage(_: Fault, request: web.Request, answer: web.Response) -> web.StreamResponse:
    """Send what is no HTTP."""
    write(request, NO_HTTP)
    close(request)
    return answer


async def drip(fault: Fault, request: web.Request, answer: web.Response) -> web.StreamResponse:
    """Send the body byte by byte: every single read is in time, the whole answer is not."""
    write(request, head(answer))
    for byte in content(answer):
        if fault.removed.is_set():
            break
        await asyncio.sleep(fault.interval)
        write(request, bytes([byte]))
    close(request)
    return answer


async def oversize(fault: Fault, request: web.Request, answer: web.Response) -> web.StreamResponse:
    """Send the body behind very much white space, without saying how long it is: JSON, and far too much of it."""
    headers = {name: value for name, value in answer.headers.items() if name.lower() != "content-length"}
    stream = web.StreamResponse(status=answer.status, headers=headers)
    await stream.prepare(request)
    for _ in range(0, fault.size, CHUNK):
        await stream.write(b" " * CHUNK)
    await stream.write(content(answer))
    await stream.write_eof()
    return stream


Act = Callable[[Fault, web.Request, web.Response], Awaitable[web.StreamResponse]]
ACTS: dict[str, Act] = {
    "hang": hang, "reset": reset, "resetBody": reset_body, "truncate": truncate, "garbage": garbage,
    "oversize": oversize, "drip": drip,
}  # fmt: skip
UNANSWERED = frozenset({"hang", "reset", "garbage"})


def head(answer: web.Response) -> bytes:
    """Return status line and headers of a whole body."""
    lines = [f"HTTP/1.1 {answer.status} {http.HTTPStatus(answer.status).phrase}"]
    lines += [f"{name}: {value}" for name, value in answer.headers.items() if name.lower() != "content-length"]
    return "\r\n".join([*lines, f"Content-Length: {len(content(answer))}", "", ""]).encode()


def content(answer: web.Response) -> bytes:
    """Return the body; an empty one would leave nothing to spoil."""
    body = answer.body
    return bytes(body) if isinstance(body, bytes | bytearray) and body else json.dumps({}).encode()


def half(answer: web.Response) -> bytes:
    """Return the first half of the body."""
    body = content(answer)
    return body[: len(body) // 2]


def write(request: web.Request, data: bytes) -> None:
    """Write past aiohttp, which would not let us be wrong."""
    if request.transport is None or request.transport.is_closing():
        raise ConnectionResetError("the client is gone")
    request.transport.write(data)


def close(request: web.Request) -> None:
    """Close the connection in good order."""
    if request.transport is not None:
        request.transport.close()
