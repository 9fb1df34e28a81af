"""The signing keys of Entra, as a vault knows them: fetched, and fetched again for an unknown key."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Callable
from typing import Any, Protocol

import aiohttp

TIMEOUT = aiohttp.ClientTimeout(total=5)


class SigningKeys(Protocol):
    """Where a vault finds the key of an access token."""

    async def find(self, kid: str, pause: float = 0.0) -> dict[str, Any] | None:
        """Return the key with this id."""


class EntraKeys:
    """The key set of an Entra endpoint."""

    def __init__(self, entra_url: str, context: ssl.SSLContext, moment: Callable[[], float] = time.monotonic) -> None:
        self._url = f"{entra_url.rstrip('/')}/common/discovery/v2.0/keys"
        self._context = context
        self._moment = moment
        self._keys: dict[str, dict[str, Any]] = {}
        self._asked: float | None = None
        self._pending: asyncio.Task[None] | None = None

    async def find(self, kid: str, pause: float = 0.0) -> dict[str, Any] | None:
        """Return the key with this id, asking Entra if it is new, but not again within ``pause`` seconds."""
        if kid and kid not in self._keys and not self._asked_within(pause):
            # All that wait share one fetch.
            if self._pending is None:
                self._pending = asyncio.create_task(self._refresh())
            await asyncio.shield(self._pending)
        return self._keys.get(kid)

    def _asked_within(self, pause: float) -> bool:
        return self._asked is not None and self._moment() < self._asked + pause

    async def _refresh(self) -> None:
        try:
            self._keys = await self._fetch() or self._keys
        finally:
            self._asked, self._pending = self._moment(), None

    async def _fetch(self) -> dict[str, dict[str, Any]]:
        """Fetch all keys; none if Entra cannot be reached, which the caller is told as an unknown key."""
        connector = aiohttp.TCPConnector(ssl=self._context, force_close=True)
        try:
            async with (
                aiohttp.ClientSession(connector=connector, timeout=TIMEOUT) as session,
                session.get(self._url, raise_for_status=True) as response,
            ):
                return {str(key["kid"]): key for key in (await response.json())["keys"]}
        except (aiohttp.ClientError, TimeoutError, ValueError, KeyError):
            return {}
