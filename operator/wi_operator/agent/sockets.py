"""Sockets on the event loop: connecting to a name, and waiting until one is ready."""

from __future__ import annotations

import asyncio
import asyncio.staggered
import functools
import socket
from collections.abc import Callable
from typing import Any

STAGGER_SECONDS = 0.25
"""RFC 8305 section 5: the wait before the next address is tried beside the one before."""


async def dial(host: str, port: int) -> socket.socket:
    """Return a connected socket to the first address that answers; raises ``OSError``, the first address's if all fail."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    attempts = [functools.partial(_connect, family, address) for family, _, _, _, address in found]
    plain: socket.socket | None
    plain, _, errors = await asyncio.staggered.staggered_race(attempts, STAGGER_SECONDS)
    if plain is None:
        raise next((error for error in errors if error is not None), OSError("no address"))
    return plain


async def _connect(family: int, address: Any) -> socket.socket:
    plain = socket.socket(family, socket.SOCK_STREAM)
    try:
        plain.setblocking(False)
        # Without it the second small write of a handshake waits for an acknowledgement.
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await asyncio.get_running_loop().sock_connect(plain, address)
    except BaseException:
        plain.close()
        raise
    return plain


async def wait_ready(plain: socket.socket, add: Callable[..., Any], remove: Callable[..., Any]) -> None:
    """Wait until the loop says that the socket is ready."""
    ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    add(plain, _settle, ready)
    try:
        await ready
    finally:
        remove(plain)


def _settle(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)
