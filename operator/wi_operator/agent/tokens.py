"""Access tokens of the cloud: one per configuration, tenant, client and scope, kept until shortly before they expire."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass

from wi_operator.agent.client import HttpClient, TransportError
from wi_operator.agent.grant_set import AzureGrant, Grant, GrantSet
from wi_operator.agent.grants import IssuerUnavailableError
from wi_operator.agent.retry import Deadline, retry
from wi_operator.agent.settings import Budgets
from wi_operator.core.clock import Clock
from wi_operator.core.secret import SecretValue
from wi_operator.federation.diagnosis import grants as grant_rows
from wi_operator.federation.diagnosis.base import DiagnosedError
from wi_operator.federation.diagnosis.entra import concerns_assertion
from wi_operator.federation.exchange.entra import (
    AccessToken,
    TokenTarget,
    build_token_request,
    read_token_answer,
    unverified_claims,
)
from wi_operator.federation.hosts import Endpoint, ForbiddenHostError, require_allowed

MARGIN = 300.0
"""Seconds before its expiry at which a token is no longer used."""

Remint = Callable[[], Awaitable[Grant]]


@dataclass(frozen=True, slots=True)
class TokenKey:
    """Everything that changes whose token it is; a new organization or key epoch never meets an old token."""

    organization: str
    key_epoch: int
    config_uid: str
    config_generation: int
    azure: AzureGrant

    @classmethod
    def of(cls, grants: GrantSet, grant: Grant) -> TokenKey:
        """Return the key of a grant; raises ``DiagnosedError`` for a provider that this sidecar does not know."""
        if grant.azure is None:
            raise DiagnosedError(
                grant_rows.BY_REASON["NotSupportedYet"].diagnose(object="The credential", what="a provider")
            )
        uid, generation = grant.config.uid, grant.config.generation
        return cls(grants.organization, grants.key_epoch, uid, generation, _without_vault(grant.azure))


@dataclass(frozen=True, slots=True)
class _Held:
    token: SecretValue
    good_until: float


class TokenCache:
    """Exchanges assertions and keeps the tokens."""

    def __init__(self, client: Callable[[], HttpClient], *, clock: Clock, budgets: Budgets) -> None:
        self._client = client
        self._clock = clock
        self._budgets = budgets
        self._held: dict[TokenKey, _Held] = {}
        self._locks: dict[TokenKey, asyncio.Lock] = {}

    async def token(self, key: TokenKey, grant: Grant, *, remint: Remint, deadline: Deadline) -> SecretValue:
        """Return a token; an assertion that the cloud refuses is minted anew once. Raises ``DiagnosedError``."""
        try:
            return await self._obtain(key, grant, deadline)
        except DiagnosedError as error:
            if not concerns_assertion(error.diagnosis):
                raise
            refused = error
        try:
            async with asyncio.timeout(deadline.remaining()):
                grant = await remint()
        except (IssuerUnavailableError, TimeoutError):
            # What the cloud said is the better news: the issuer's absence changes nothing about it.
            raise refused from None
        return await self._obtain(key, grant, deadline)

    def held(self, key: TokenKey) -> SecretValue | None:
        """Return the token at hand, ``None`` if one has to be asked for."""
        held = self._held.get(key)
        return held.token if held is not None and self._clock.monotonic() < held.good_until else None

    def drop(self, key: TokenKey, token: SecretValue) -> None:
        """Forget ``token`` if it is still the one held."""
        held = self._held.get(key)
        if held is not None and held.token is token:
            del self._held[key]

    def retain(self, keys: Iterable[TokenKey]) -> None:
        """Forget all tokens but those of ``keys``."""
        kept = set(keys)
        self._held = {key: held for key, held in self._held.items() if key in kept}
        self._locks = {key: lock for key, lock in self._locks.items() if key in kept or lock.locked()}

    async def _obtain(self, key: TokenKey, grant: Grant, deadline: Deadline) -> SecretValue:
        async def once() -> SecretValue:
            # The lock is held for one attempt only: a kickoff must not wait for another's whole row of retries.
            async with self._locks.setdefault(key, asyncio.Lock()):
                held = self.held(key)
                if held is not None:
                    return held
                return self._keep(key, self._clock.monotonic(), await self._present(grant))

        return await retry(once, deadline=deadline, budgets=self._budgets)

    def _keep(self, key: TokenKey, began: float, token: AccessToken) -> SecretValue:
        lifetime = token.expires_in - min(MARGIN, token.expires_in / 2)
        self._held[key] = _Held(token.value, began + lifetime)
        return token.value

    async def _present(self, grant: Grant) -> AccessToken:
        azure = _azure(grant)
        target = TokenTarget(
            authority=allowed(azure.authority_host, grant),
            tenant_id=azure.tenant_id,
            client_id=azure.client_id,
            scope=azure.vault_scope,
        )
        try:
            response = await self._client().send(build_token_request(target, grant.assertion))
        except TransportError as error:
            raise DiagnosedError(error.diagnose()) from error
        return read_token_answer(response, **unverified_claims(grant.assertion), **azure_facts(azure))


def allowed(url: str, grant: Grant) -> Endpoint:
    """Return the endpoint of ``url``; raises ``DiagnosedError`` unless the grant's allow-list covers it."""
    try:
        return _allowed(url, grant.hosts)
    except ForbiddenHostError as error:
        raise DiagnosedError(grant_rows.FORBIDDEN_HOST.diagnose(detail=str(error))) from error


# Few pairs, asked for at every read; a refusal is an exception, which is not kept.
_allowed = functools.lru_cache(maxsize=64)(require_allowed)


def azure_facts(azure: AzureGrant) -> dict[str, str]:
    """Return what the diagnosis tables want to know."""
    return {"client_id": azure.client_id, "tenant_id": azure.tenant_id, "scope": azure.vault_scope}


def _azure(grant: Grant) -> AzureGrant:
    if grant.azure is None:
        raise DiagnosedError(
            grant_rows.BY_REASON["NotSupportedYet"].diagnose(object="The credential", what="a provider")
        )
    return grant.azure


def _without_vault(azure: AzureGrant) -> AzureGrant:
    # One token serves every vault of its scope.
    return AzureGrant(azure.tenant_id, azure.client_id, azure.authority_host, "", azure.vault_scope)
