"""Connections of the controller's checks: one pool per trust, so that a handshake costs no new TLS handshake each time."""

from __future__ import annotations

import ssl
from collections import OrderedDict
from dataclasses import dataclass, field

import aiohttp

from wi_operator.core.proxies import is_proxied

POOLS = 32
IDLE_SECONDS = 5.0
"""Well below the patience of any server: a connection that the other side just closed would fail a handshake."""
BODY_LIMIT = 256 * 1024


@dataclass(slots=True)
class Connections:
    """Sessions by trusted authorities; use on one event loop and close at the end."""

    _sessions: OrderedDict[tuple[str, str, bool], aiohttp.ClientSession] = field(default_factory=OrderedDict)
    _retired: list[aiohttp.ClientSession] = field(default_factory=list)

    def session(self, *, only: str = "", extra: str = "", outside: bool = True) -> aiohttp.ClientSession:
        """Return the session that trusts the system's authorities, or ``only`` those given; and ``extra`` (both PEM).

        ``outside`` ones honour HTTPS_PROXY and NO_PROXY. Raises ``ssl.SSLError`` when ``only`` holds no certificates.
        """
        key = (only, extra, outside)
        if key not in self._sessions:
            self._sessions[key] = _open(trust(only=only, extra=extra), outside=outside)
            if len(self._sessions) > POOLS:
                # Closed at the end only: a check may be using it.
                self._retired.append(self._sessions.popitem(last=False)[1])
        self._sessions.move_to_end(key)
        return self._sessions[key]

    async def close(self) -> None:
        """Close every connection."""
        for session in (*self._sessions.values(), *self._retired):
            await session.close()
        self._sessions.clear()
        self._retired.clear()


def trust(*, only: str = "", extra: str = "") -> ssl.SSLContext:
    """Return a verifying context; raises ``ssl.SSLError`` when ``only`` holds no certificates."""
    context = ssl.create_default_context(cadata=only or None)
    if extra:
        context.load_verify_locations(cadata=extra)
    return context


def _open(context: ssl.SSLContext, *, outside: bool) -> aiohttp.ClientSession:
    # No limit per host: all tenants share Entra's, and one that hangs would take the others' places. The lanes are the limit.
    connector = aiohttp.TCPConnector(ssl=context, limit=0, keepalive_timeout=IDLE_SECONDS)
    # Cookies would carry something from one organization's check into another's.
    return aiohttp.ClientSession(
        connector=connector, cookie_jar=aiohttp.DummyCookieJar(), trust_env=outside and is_proxied()
    )


async def read_bounded(response: aiohttp.ClientResponse) -> bytes:
    """Return the body, cut off at ``BODY_LIMIT``: what is longer is no answer of ours, is unreadable, and is judged so."""
    body = b""
    async for chunk in response.content.iter_chunked(16 * 1024):
        body += chunk
        if len(body) > BODY_LIMIT:
            break
    return body
