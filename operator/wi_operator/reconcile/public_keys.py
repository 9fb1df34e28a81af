"""The key ids that the public URL shows, each look on a connection of its own: another replica may answer."""

from __future__ import annotations

import asyncio
import json
import ssl

import aiohttp

from wi_operator.core.errors import WorkloadIdentityError
from wi_operator.federation.discovery import JWKS_PATH

FETCH_SECONDS = 6.0
BODY_LIMIT = 256 * 1024


class PublicKeysError(WorkloadIdentityError):
    """The public key set cannot be read; the text says from where and why."""


async def fetch_kids(issuer: str, context: ssl.SSLContext) -> frozenset[str]:
    """Read the key set of ``issuer`` (its public URL) as a cloud would; raises ``PublicKeysError``."""
    url = issuer + JWKS_PATH
    if not issuer:
        raise PublicKeysError("there is no issuer URL")
    try:
        async with (
            asyncio.timeout(FETCH_SECONDS),
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context), trust_env=True) as session,
            session.get(url, allow_redirects=False) as response,
        ):
            status, body = response.status, await response.content.read(BODY_LIMIT)
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise PublicKeysError(f"{url}: {type(error).__name__}") from None
    if status != 200:
        raise PublicKeysError(f"{url}: {status}")
    try:
        return frozenset(str(key["kid"]) for key in json.loads(body)["keys"])
    except (ValueError, TypeError, KeyError, RecursionError):
        raise PublicKeysError(f"{url}: not a set of keys") from None
