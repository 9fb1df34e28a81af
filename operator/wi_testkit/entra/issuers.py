"""Fetching an external issuer's keys as Entra does: discovery document, then key set, over verified HTTPS."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import aiohttp

# "Microsoft Learn, Workload identity federation": only the first 100 signing keys are kept.
MAX_KEYS = 100
MAX_DOCUMENT = 1024 * 1024
TIMEOUT = aiohttp.ClientTimeout(total=10)


class IssuerUnreachableError(Exception):
    """The issuer's metadata cannot be had; which part failed stays in the emulator's own log."""


@dataclass(frozen=True)
class IssuerKeys:
    """What an exchange knows of the issuer: its keys, or that they could not be fetched."""

    keys: tuple[dict[str, Any], ...] = ()
    failure: str = ""

    def find(self, kid: str) -> dict[str, Any] | None:
        """Return the key with this id."""
        return next((key for key in self.keys if key.get("kid") == kid), None)


class Issuers:
    """The keys of issuers, kept for as long as one wants. Failures are not kept."""

    def __init__(self, context: ssl.SSLContext, moment: Callable[[], float]) -> None:
        self._context = context
        self._moment = moment
        self._kept: dict[str, tuple[float, IssuerKeys]] = {}
        self._pending: dict[str, asyncio.Task[IssuerKeys]] = {}

    async def keys(self, issuer: str, lifetime: float) -> IssuerKeys:
        """Return the keys: fetched each time for a lifetime of 0, else those fetched at most so many seconds ago.

        A key that is not among the kept ones does not cause a new fetch: that is how a rotation goes wrong.
        """
        if lifetime <= 0:
            return await fetch_keys(issuer, self._context)
        fetched, kept = self._kept.get(issuer, (0.0, None))
        if kept and self._moment() < fetched + lifetime:
            return kept
        # All that wait for one issuer share one fetch, and nobody waits for another's issuer.
        pending = self._pending.get(issuer)
        if pending is None:
            pending = self._pending[issuer] = asyncio.create_task(self._fetch(issuer))
        return await asyncio.shield(pending)

    def forget(self) -> None:
        """Forget all keys."""
        self._kept.clear()

    async def _fetch(self, issuer: str) -> IssuerKeys:
        try:
            found = await fetch_keys(issuer, self._context)
            if not found.failure:
                self._kept[issuer] = (self._moment(), found)
            return found
        finally:
            del self._pending[issuer]


async def fetch_keys(issuer: str, context: ssl.SSLContext) -> IssuerKeys:
    """Fetch the keys anew."""
    connector = aiohttp.TCPConnector(ssl=context, force_close=True)
    try:
        async with aiohttp.ClientSession(connector=connector, timeout=TIMEOUT) as session:
            location = f"{issuer.rstrip('/')}/.well-known/openid-configuration"
            discovery = judged_discovery(issuer, await document(session, location))
            keys = (await document(session, discovery["jwks_uri"])).get("keys")
    except (aiohttp.ClientError, TimeoutError, ValueError, RecursionError, IssuerUnreachableError) as error:
        return IssuerKeys(failure=f"{type(error).__name__}: {error}")
    if not isinstance(keys, list):
        return IssuerKeys(failure="the key set has no list 'keys'")
    return IssuerKeys(tuple(key for key in keys[:MAX_KEYS] if isinstance(key, dict)))


async def document(session: aiohttp.ClientSession, url: str) -> dict[str, Any]:
    """Fetch one JSON object. Redirects are not followed: no documentation promises that they are."""
    if not url.startswith("https://"):
        raise IssuerUnreachableError(f"{url} is not https")
    async with session.get(url, allow_redirects=False) as response:
        if response.status != 200:
            raise IssuerUnreachableError(f"{url} answered {response.status}")
        body = json.loads(await limited(response))
    if not isinstance(body, dict):
        raise IssuerUnreachableError(f"{url} is no JSON object")
    return body


async def limited(response: aiohttp.ClientResponse) -> bytes:
    """Read a body, but not without end: the issuer is anybody's server."""
    raw = bytearray()
    async for chunk in response.content.iter_any():
        raw += chunk
        if len(raw) > MAX_DOCUMENT:
            raise IssuerUnreachableError(f"{response.url} is longer than {MAX_DOCUMENT} bytes")
    return bytes(raw)


def judged_discovery(issuer: str, discovery: dict[str, Any]) -> dict[str, Any]:
    """Refuse documents that the service was seen to refuse.

    An empty ``authorization_endpoint`` or empty ``subject_types_supported`` made it answer 501661.
    OpenID Connect Discovery 1.0 section 4.3 demands that ``issuer`` is exactly the issuer asked for.
    """
    if discovery.get("issuer") != issuer:
        raise IssuerUnreachableError(f"the discovery document is of issuer {discovery.get('issuer')!r}")
    if not isinstance(discovery.get("jwks_uri"), str):
        raise IssuerUnreachableError("the discovery document has no jwks_uri")
    if discovery.get("authorization_endpoint") == "" or discovery.get("subject_types_supported") == []:
        raise IssuerUnreachableError("the discovery document has empty fields")
    return discovery
