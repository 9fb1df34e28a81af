"""The sidecar's grants: fetched with the pod's token, revalidated at every kickoff, dropped the moment they are refused."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import logging
from collections.abc import Callable, Iterable

from wi_operator.agent.client import HttpClient, TransportError
from wi_operator.agent.grant_set import GrantSet, UnreadableGrantsError, read_grants
from wi_operator.agent.retry import Deadline, retry
from wi_operator.agent.settings import Budgets
from wi_operator.agent.tally import HEADER, Entry, Tally, render
from wi_operator.core.clock import Clock
from wi_operator.core.log import fields
from wi_operator.federation.diagnosis import grants
from wi_operator.federation.diagnosis.base import DiagnosedError
from wi_operator.federation.diagnosis.transport import Failure
from wi_operator.federation.exchange.base import HttpRequest, HttpResponse
from wi_operator.federation.hosts import Endpoint

PATH = "/v1/grants"
TELL_SECONDS = 0.5
OK, NOT_MODIFIED, TOO_MANY = 200, 304, 429

log = logging.getLogger(__name__)


class GrantRefusedError(DiagnosedError):
    """The issuer answered no: what was held is dropped."""


class IssuerUnavailableError(DiagnosedError):
    """The issuer gave no verdict: what is held may be used until it expires."""


class GrantSource:
    """Asks the issuer; holds nothing but what is still to be told of kickoffs."""

    def __init__(
        self,
        client: HttpClient,
        endpoint: Endpoint,
        *,
        token_file: str,
        credentials: Iterable[str],
        clock: Clock,
        tally: Tally | None = None,
    ) -> None:
        self.tally = Tally() if tally is None else tally
        self._client = client
        self._endpoint = endpoint
        self._token_file = token_file
        self._body = json.dumps({"credentials": sorted(set(credentials))}).encode()
        self._clock = clock

    async def ask(self, held: GrantSet | None) -> GrantSet:
        """Return current grants, ``held`` itself if they are unchanged; raises one of the errors above."""
        told = self.tally.take()
        try:
            response = await self._send(held, told)
        except BaseException:  # also a question that was broken off
            self.tally.give_back(told)
            raise
        if response.status == NOT_MODIFIED and held is not None:
            return held
        if response.status == OK:
            return self._read(response)
        refused = _refused(response)
        if isinstance(refused, IssuerUnavailableError):
            self.tally.give_back(told)
        raise refused

    async def _send(self, held: GrantSet | None, told: list[Entry]) -> HttpResponse:
        try:
            return await self._client.send(self._build(held, told))
        except TransportError as error:
            row = grants.NOT_TRUSTED if error.failure is Failure.TLS else grants.UNREACHABLE
            raise IssuerUnavailableError(row.diagnose(detail=error.diagnose().cause)) from error

    def _build(self, held: GrantSet | None, told: list[Entry]) -> HttpRequest:
        headers = [("authorization", f"Bearer {self._read_token()}"), ("content-type", "application/json")]
        if held is not None:
            headers.append(("if-none-match", held.etag))
        if told:
            # Not in the body, which names credentials and nothing else.
            headers.append((HEADER, render(told)))
        return HttpRequest("POST", self._endpoint, PATH, tuple(headers), self._body)

    def _read_token(self) -> str:
        # Read every time: the kubelet replaces the file long before the token expires.
        try:
            with open(self._token_file, encoding="ascii") as file:
                token = file.read().strip()
        except (OSError, ValueError) as error:
            raise _no_token(type(error).__name__) from error
        if not token or not token.isprintable() or " " in token:
            raise _no_token("the file holds no token")
        return token

    def _read(self, response: HttpResponse) -> GrantSet:
        try:
            return read_grants(response.body, etag=response.headers.get("etag", ""), now=self._clock.now())
        except UnreadableGrantsError as error:
            raise IssuerUnavailableError(grants.UNREADABLE.diagnose(status=str(response.status))) from error


class GrantCache:
    """The last good grants. ``on_change`` hears of every replacement, and of a drop as ``None``."""

    def __init__(
        self,
        source: GrantSource,
        *,
        clock: Clock,
        budgets: Budgets,
        on_change: Callable[[GrantSet | None], None],
    ) -> None:
        self._source = source
        self._clock = clock
        self._budgets = budgets
        self._on_change = on_change
        self._held: GrantSet | None = None
        self._asking: asyncio.Task[GrantSet] | None = None
        self._tickets = itertools.count(1)
        self._applied = 0

    async def revalidate(self, deadline: Deadline) -> GrantSet:
        """Return grants for a kickoff that begins now; raises ``DiagnosedError``."""
        held = self._usable()
        if held is not None:
            try:
                async with asyncio.timeout(self._budgets.revalidation):
                    return await self.refresh()
            except (TimeoutError, IssuerUnavailableError) as error:
                # Looked at again: another kickoff may have been refused in the meantime.
                held = self._usable()
                if held is not None:
                    _log_stale(error, held)
                    return held
        return await retry(self.refresh, deadline=deadline, budgets=self._budgets)

    async def tell(self) -> None:
        """Tell the issuer of kickoffs that it has not heard of, as far as it answers at once."""
        if not self._source.tally:
            return
        with contextlib.suppress(TimeoutError, DiagnosedError):
            async with asyncio.timeout(TELL_SECONDS):
                await self._source.ask(self._usable())

    async def refresh(self, *, anew: bool = False) -> GrantSet:
        """Ask the issuer once; ``anew`` or shortly before expiry for newly minted assertions."""
        held = self._usable()
        if held is None and not anew:
            return await self._first()
        known = None if held is None or anew or held.is_due(self._clock.now()) else held
        return await self._ask(known)

    async def _first(self) -> GrantSet:
        """Ask while nothing is held: the kickoff that follows on the start shares the prefetch's question."""
        if self._asking is None:
            self._asking = asyncio.create_task(self._ask(None))
            self._asking.add_done_callback(self._forget_asking)
        return await asyncio.shield(self._asking)

    def _forget_asking(self, task: asyncio.Task[GrantSet]) -> None:
        self._asking = None
        if not task.cancelled():
            task.exception()  # who asked may have run out of time: asyncio would complain of an error that nobody saw

    async def _ask(self, known: GrantSet | None) -> GrantSet:
        ticket = next(self._tickets)
        try:
            answer = await self._source.ask(known)
        except GrantRefusedError:
            self._apply(ticket, None)
            raise
        if answer is not known:
            self._apply(ticket, answer)
        return answer

    def _usable(self) -> GrantSet | None:
        held = self._held
        return held if held is not None and held.is_usable(self._clock.now()) else None

    def _apply(self, ticket: int, answer: GrantSet | None) -> None:
        # A slow answer to an older question must not undo what a newer one said, a revocation above all.
        if ticket > self._applied:
            self._applied = ticket
            self._held = answer
            self._on_change(answer)


def _refused(response: HttpResponse) -> DiagnosedError:
    diagnosis = grants.diagnose(response.status, response.body, retry_after=response.retry_after)
    if response.status == TOO_MANY or response.status >= 500 or response.status < 400:
        return IssuerUnavailableError(diagnosis)
    return GrantRefusedError(diagnosis)


def _no_token(detail: str) -> IssuerUnavailableError:
    return IssuerUnavailableError(grants.TOKEN_MISSING.diagnose(detail=detail))


def _log_stale(error: Exception, held: GrantSet) -> None:
    reason = error.diagnosis.reason if isinstance(error, DiagnosedError) else "no answer in time"
    log.warning("stale grant", extra=fields(reason=reason, organization=held.organization, renew_at=held.renew_at))
