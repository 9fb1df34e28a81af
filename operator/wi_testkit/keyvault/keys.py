"""The signing keys of Entra, as a vault knows them: fetched, and fetched again for an unknown key."""

from __future__ import annotations

import ssl
from typing import Any, Protocol

import aiohttp

TIMEOUT = aiohttp.ClientTimeout(total=5)


class SigningKeys(Protocol):
    """Where a vault finds the key of an access token."""

    async def find(self, kid: str) -> dict[str, Any] | None:
        """Return the key with this id."""


class EntraKeys:
    """The key set of an Entra endpoint."""

    def __init__(self, entra_url: str, context: ssl.SSLContext) -> None:
        self._url = f"{entra_url.rstrip('/')}/common/discovery/v2.0/keys"
        self._context = context
        self._keys: dict[str, dict[str, Any]] = {}

    async def find(self, kid: str) -> dict[str, Any] | None:
        """Return the key with this id, asking Entra if it is new."""
        if kid and kid not in self._keys:
            self._keys = await self._fetch()
        return self._keys.get(kid)

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
