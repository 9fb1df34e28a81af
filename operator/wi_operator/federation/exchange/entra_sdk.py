"""The controller's handshake with Entra through ``azure-identity``; the only importer of that library."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import aiohttp
from azure.core.exceptions import ClientAuthenticationError, HttpResponseError
from azure.identity.aio import ClientAssertionCredential

from wi_operator.core.secret import SecretValue
from wi_operator.federation.diagnosis import entra
from wi_operator.federation.diagnosis.base import DiagnosedError, Diagnosis
from wi_operator.federation.exchange import sdk
from wi_operator.federation.exchange.entra import TokenTarget
from wi_operator.federation.hosts import Endpoint


@contextlib.asynccontextmanager
async def open_credential(
    target: TokenTarget, assertion: SecretValue, *, session: aiohttp.ClientSession
) -> AsyncIterator[ClientAssertionCredential]:
    """Yield the SDK's credential for ``assertion``; ``target.authority`` must have passed the allow-list."""
    credential = ClientAssertionCredential(
        target.tenant_id,
        target.client_id,
        assertion.reveal,
        authority=target.authority.origin,
        disable_instance_discovery=True,
        **sdk.client_options(session, target.authority),
    )
    async with credential:
        yield credential


async def exchange(
    target: TokenTarget, assertion: SecretValue, *, session: aiohttp.ClientSession, **facts: str
) -> None:
    """Present ``assertion`` and drop the token that comes back; raises ``DiagnosedError``.

    ``facts`` are those of ``diagnosis.entra.diagnose``.
    """
    try:
        async with (
            asyncio.timeout(sdk.TOTAL_TIMEOUT),
            open_credential(target, assertion, session=session) as credential,
        ):
            await credential.get_token(target.scope)
    except sdk.FAULTS as error:
        raise DiagnosedError(judge(error, target.authority, facts)) from None


def judge(error: BaseException, authority: Endpoint, facts: dict[str, str]) -> Diagnosis:
    """Judge an exception of a token request to ``authority``."""
    answer = sdk.answer_of(error)
    if answer is not None and answer.status != 200:
        return entra.diagnose(answer.status, answer.body, retry_after=answer.retry_after, **facts)
    if isinstance(error, ClientAuthenticationError | HttpResponseError | ValueError):
        # The library could not read an answer (not JSON, no token in it); its text is foreign and not shown.
        return entra.UNREADABLE.diagnose(status="200", **facts)
    return sdk.diagnose_connection(error, authority)
