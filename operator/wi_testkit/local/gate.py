"""A gate before the API server through which one controller goes: it can hold calls and swallow watches.

It speaks HTTP, so it holds exactly what a test names and lets everything else pass: an API server that hangs in part is worse
than one that is gone.
"""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import aiohttp
from aiohttp import web

from wi_testkit.controlplane.pki import KeyPair

Match = Callable[[str, str], bool]
"""Of method and path with query."""

HOP = frozenset({"connection", "keep-alive", "transfer-encoding", "content-length", "host", "date", "server"})


@dataclass(slots=True)
class Gate:
    """A context manager with a thread and a loop of its own; ``serving`` is an API server's own pair of certificate and key."""

    upstream: str
    authority_file: Path
    serving: KeyPair
    url: str = field(init=False, default="")
    held: int = 0
    _holds: Match | None = None
    _silenced: bool = False
    _loop: asyncio.AbstractEventLoop = field(init=False)
    _thread: threading.Thread = field(init=False)
    _listening: threading.Event = field(default_factory=threading.Event)
    _stopped: asyncio.Event = field(init=False)

    def __enter__(self) -> Self:
        """Listen."""
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)
        self._thread.start()
        if not self._listening.wait(10):
            raise RuntimeError("the gate does not listen")
        return self

    def __exit__(self, *_: object) -> None:
        """Stop listening and cut all connections."""
        self._loop.call_soon_threadsafe(self._stopped.set)
        self._thread.join(10)

    def hold(self, match: Match | None) -> None:
        """Hold matching calls from now on: they are neither passed on nor answered; ``None`` lets all pass."""
        self._holds = match

    def silence(self, silent: bool = True) -> None:
        """Swallow what the watches that are open now, or are opened meanwhile, would show; they stay open."""
        self._silenced = silent

    async def _serve(self) -> None:
        self._loop, self._stopped = asyncio.get_running_loop(), asyncio.Event()
        trust = ssl.create_default_context(cafile=str(self.authority_file))
        app = web.Application(client_max_size=16 * 1024 * 1024)
        async with aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=trust, limit=0), auto_decompress=False
        ) as session:

            async def answer(request: web.Request) -> web.StreamResponse:
                return await self._pass(session, request)

            app.router.add_route("*", "/{path:.*}", answer)
            runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
            await runner.setup()
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            context.load_cert_chain(self.serving.certificate, self.serving.key)
            await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
            self.url = f"https://127.0.0.1:{runner.addresses[0][1]}"
            self._listening.set()
            await self._stopped.wait()
            await runner.cleanup()

    async def _pass(self, session: aiohttp.ClientSession, request: web.Request) -> web.StreamResponse:
        if self._holds is not None and self._holds(request.method, request.path_qs):
            self.held += 1
            await asyncio.Event().wait()
        headers = {name: text for name, text in request.headers.items() if name.lower() not in HOP}
        body = await request.read() or None
        timeout = aiohttp.ClientTimeout(total=None)
        url = f"{self.upstream}{request.raw_path}"
        own: dict[str, Any] = {
            "data": body,
            "timeout": timeout,
            "skip_auto_headers": ["Content-Type", "Accept", "User-Agent"],
        }
        async with session.request(request.method, url, headers=headers, **own) as answer:
            passed = {name: text for name, text in answer.headers.items() if name.lower() not in HOP}
            response = web.StreamResponse(status=answer.status, headers=passed)
            await response.prepare(request)
            async for chunk in answer.content.iter_any():
                if not (self._silenced and "watch=" in request.query_string):
                    await response.write(chunk)
            await response.write_eof()
            return response
