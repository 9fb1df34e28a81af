"""The controller's reads of a Key Vault through ``azure-keyvault-secrets``; the only importer of that library.

Values are dropped unread: what is proven is the permission. The SDK follows the vault's challenge, whose resource it
compares with the vault's domain; its transport reaches no other host.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar

import aiohttp
from azure.core.credentials_async import AsyncTokenCredential
from azure.keyvault.secrets.aio import SecretClient

from wi_operator.federation.diagnosis import keyvault
from wi_operator.federation.diagnosis.base import DiagnosedError, Diagnosis
from wi_operator.federation.exchange import sdk
from wi_operator.federation.hosts import Endpoint
from wi_operator.vaults.azure import API_VERSION

T = TypeVar("T")
TokenJudge = Callable[[BaseException], Diagnosis]
"""Judges an exception of the token request that the SDK made in between."""


@dataclass(frozen=True, slots=True)
class Probed:
    """What a read proved; times in seconds since the epoch."""

    not_before: float | None
    expires: float | None


@dataclass(frozen=True, slots=True)
class SecretNames:
    """Names of the enabled and disabled secrets of a vault, sorted; ``more`` when it has others beside them."""

    names: tuple[str, ...]
    more: bool


@dataclass(frozen=True, slots=True)
class VaultClient:
    """One vault with one identity; ``facts`` (``client_id``, ``tenant_id``, ``scope``) fill the diagnosis."""

    endpoint: Endpoint
    credential: AsyncTokenCredential
    session: aiohttp.ClientSession
    judge_token: TokenJudge
    facts: dict[str, str]

    async def probe(self, secret: str) -> Probed:
        """Read ``secret`` and forget its value; raises ``DiagnosedError``."""

        async def read(client: SecretClient) -> Probed:
            properties = (await client.get_secret(secret)).properties
            times = (properties.not_before, properties.expires_on)
            not_before, expires = (None if moment is None else moment.timestamp() for moment in times)
            return Probed(not_before, expires)

        return await self._call(read, secret=secret)

    async def list_names(self, limit: int) -> SecretNames:
        """Return at most ``limit`` names; raises ``DiagnosedError``."""

        async def read(client: SecretClient) -> SecretNames:
            found: list[str] = []
            async for properties in client.list_properties_of_secrets():
                if len(found) == limit:
                    return SecretNames(tuple(sorted(found)), more=True)
                if properties.name:
                    found.append(properties.name)
            return SecretNames(tuple(sorted(found)), more=False)

        return await self._call(read)

    async def _call(self, read: Callable[[SecretClient], Coroutine[Any, Any, T]], **facts: str) -> T:
        client = SecretClient(
            self.endpoint.origin,
            self.credential,
            api_version=API_VERSION,
            **sdk.client_options(self.session, self.endpoint),
        )
        try:
            async with asyncio.timeout(sdk.TOTAL_TIMEOUT), client:
                return await read(client)
        except sdk.FAULTS as error:
            raise DiagnosedError(self._judge(error, facts)) from None

    def _judge(self, error: BaseException, facts: dict[str, str]) -> Diagnosis:
        answer, host = sdk.answer_of(error), sdk.host_of(error)
        if host and host != self.endpoint.host:
            return self.judge_token(error)
        known = {
            **self.facts,
            **facts,
            "vault": self.endpoint.host.partition(".")[0],
            "vault_host": self.endpoint.netloc,
        }
        if answer is not None and answer.status != 200:
            challenge = answer.headers.get("www-authenticate", "")
            return keyvault.diagnose(
                answer.status, answer.body, retry_after=answer.retry_after, challenge=challenge, **known
            )
        if answer is not None or isinstance(error, ValueError):
            return keyvault.UNREADABLE.diagnose(status="200", **known)
        return sdk.diagnose_connection(error, self.endpoint, vault=True)
