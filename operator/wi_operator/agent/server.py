"""The unix sockets that containers ask on: one per container, so that the path says who asks."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import cast

from wi_kickoff import wire
from wi_operator.agent.retry import Deadline
from wi_operator.agent.settings import Budgets
from wi_operator.core.clock import Clock
from wi_operator.core.log import fields
from wi_operator.federation.diagnosis import kickoff as rows
from wi_operator.federation.diagnosis.base import Row

SOCKET_MODE = 0o666
"""Containers run as any user; the folder is mounted only in its own container."""
FILE_MODE = 0o644
REQUEST_SECONDS = 5.0
BACKLOG = 64

Run = Callable[[str, str, Deadline], Awaitable[wire.Reply]]

log = logging.getLogger(__name__)


class KickoffServer:
    """Answers kickoffs, a few at a time; who finds the queue full is told so at once."""

    def __init__(self, run: Run, *, budgets: Budgets, clock: Clock) -> None:
        self._run = run
        self._budgets = budgets
        self._clock = clock
        self._parallel = asyncio.Semaphore(budgets.parallel_kickoffs)
        self._taken = 0
        self._servers: list[asyncio.Server] = []
        self._open: set[asyncio.Task[None]] = set()

    async def start(self, folder: str, container: str, files: Mapping[str, bytes]) -> None:
        """Serve one container in its folder, with ``files`` beside the socket."""
        prepare_folder(folder, files)
        listener = bind(os.path.join(folder, wire.SOCKET_NAME))

        loop = asyncio.get_running_loop()

        def accept() -> _Request:
            return _Request(partial(self._answer, container), container, self._open)

        self._servers.append(await loop.create_unix_server(accept, sock=listener, backlog=BACKLOG))

    async def stop(self) -> None:
        """Take no more, and give kickoffs under way a moment to end."""
        for server in self._servers:
            server.close()
        if self._open:
            await asyncio.wait(self._open, timeout=self._budgets.shutdown)

    async def _answer(self, container: str, source: str) -> wire.Reply:
        if self._taken >= self._budgets.parallel_kickoffs + self._budgets.waiting_kickoffs:
            return _error(rows.SIDECAR_BUSY, wire.Field(wire.RETRY, _retry_after()))
        self._taken += 1
        try:
            return await self._answer_in_turn(container, source)
        except Exception as error:
            # Its text might quote a value: only the type is told.
            log.exception("kickoff failed", extra=fields(container=container))
            return _error(rows.INTERNAL_ERROR, detail=type(error).__name__)
        finally:
            self._taken -= 1

    async def _answer_in_turn(self, container: str, source: str) -> wire.Reply:
        deadline = Deadline.after(self._clock, self._budgets.kickoff)
        try:
            async with asyncio.timeout(deadline.remaining()):
                await self._parallel.acquire()
        except TimeoutError:
            return _error(rows.SIDECAR_BUSY)
        try:
            return await self._run(container, source, deadline)
        finally:
            self._parallel.release()


class _Request(asyncio.Protocol):
    """One connection: a request line comes in, a reply goes out."""

    def __init__(
        self, answer: Callable[[str], Awaitable[wire.Reply]], container: str, tasks: set[asyncio.Task[None]]
    ) -> None:
        self._answer = answer
        self._container = container
        self._tasks = tasks
        self._line = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Give the client a moment to ask."""
        self._transport = cast(asyncio.Transport, transport)
        self._patience = asyncio.get_running_loop().call_later(REQUEST_SECONDS, self._refuse, "no request in time")

    def data_received(self, data: bytes) -> None:
        """Collect the line, and answer it."""
        self._line += data
        if len(self._line) <= wire.MAX_REQUEST and not self._line.endswith(b"\n"):
            return
        self._patience.cancel()
        self._transport.pause_reading()
        try:
            source = wire.decode_request(self._line)
        except wire.WireError as error:
            self._refuse(type(error).__name__)
            return
        task = asyncio.create_task(self._reply(source))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def connection_lost(self, error: Exception | None) -> None:
        """Forget the timer; a kickoff under way ends by itself."""
        self._patience.cancel()

    async def _reply(self, source: str) -> None:
        try:
            self._transport.write(wire.encode_reply(await self._answer(source)))
        except wire.WireError as error:
            self._refuse(type(error).__name__)
            return
        # Closes once all is written; who does not read it is cut off.
        self._transport.close()
        self._patience = asyncio.get_running_loop().call_later(REQUEST_SECONDS, self._transport.abort)

    def _refuse(self, problem: str) -> None:
        log.warning("request not served", extra=fields(container=self._container, problem=problem))
        self._transport.abort()


def prepare_folder(folder: str, files: Mapping[str, bytes]) -> None:
    """Put the files into the folder; a ``started`` of an earlier run is removed first."""
    os.makedirs(folder, exist_ok=True)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(os.path.join(folder, wire.STARTED_NAME))
    for name, content in files.items():
        target = os.path.join(folder, name)
        os.makedirs(os.path.dirname(target), exist_ok=True)
        # Replaced whole: a container that starts at this moment must not read half a file.
        with open(target + ".new", "wb") as file:
            file.write(content)
            os.fchmod(file.fileno(), FILE_MODE)
        os.replace(target + ".new", target)


def mark_started(folder: str) -> None:
    """Write the file that the startup probe looks for."""
    with open(os.path.join(folder, wire.STARTED_NAME), "wb"):
        pass


def bind(path: str) -> socket.socket:
    """Return a listening socket at ``path``, replacing a stale one without a moment without any."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    fresh = path + ".new"
    with contextlib.suppress(FileNotFoundError):
        os.unlink(fresh)
    listener.bind(fresh)
    os.chmod(fresh, SOCKET_MODE)
    listener.listen(BACKLOG)
    os.replace(fresh, path)
    return listener


def _error(row: Row, *more: wire.Field, detail: str = "") -> wire.Reply:
    diagnosis = row.diagnose(detail=detail)
    return wire.Reply(False, (wire.Field(wire.MESSAGE, f"{diagnosis.reason}: {diagnosis.message}"), *more))


def _retry_after() -> str:
    """Return about a second: those who came together must not come back together."""
    return f"{0.5 + os.urandom(1)[0] / 256:.2f}"
