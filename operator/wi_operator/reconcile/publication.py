"""The public documents as a cloud would fetch them: one look for all configs, remembered for a minute."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field

import aiohttp

from wi_operator.core.clock import Clock
from wi_operator.core.log import fields
from wi_operator.federation.diagnosis import publication as rows
from wi_operator.federation.diagnosis.base import DiagnosedError, Diagnosis
from wi_operator.federation.exchange import sdk
from wi_operator.federation.hosts import parse_endpoint
from wi_operator.federation.publication import Documents, Page, compare, discovery_url, jwks_url
from wi_operator.reconcile.connections import read_bounded

FETCH_SECONDS = 6.0
KEEP_SECONDS = 60.0
COPIES = 8
FAILURES_UNTIL_TOLD = 3
"""Looks in a row; one that fails says nothing yet about a document that was right a minute ago."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Look:
    """What one look found: both pages, or why there are none; ``at`` on the monotonic clock."""

    at: float
    pages: tuple[Page, Page] | None = None
    failure: Diagnosis | None = None


@dataclass(slots=True)
class _Copy:
    """What is known of one public copy: the last look, the last good word, and bad looks in a row."""

    look: Look | None = None
    good: str = ""
    failures: int = 0


@dataclass(slots=True)
class Publication:
    """Fetches and compares; ``session`` gives the session that trusts what a cloud trusts and the chart's extra CA."""

    session: Callable[[], aiohttp.ClientSession]
    clock: Clock
    keep_seconds: float = KEEP_SECONDS
    is_matching: bool | None = field(default=None, init=False)
    """What the last look found, also one that was not told yet; ``None`` before the first."""
    _copies: dict[tuple[str, str], _Copy] = field(default_factory=dict)
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def check(self, issuer: str, ours: Documents, *, asked: bool = False) -> Diagnosis | str:
        """Return what was proven of ``issuer``'s public copy, or what is wrong with it.

        A copy that was right stays so until the third look that fails, unless the check was ``asked`` for.
        """
        copy = self._copy(issuer, ours)
        look = await self._fresh_look(copy, issuer, ours, asked=asked)
        found = compare(ours, *look.pages) if look.pages else look.failure
        if isinstance(found, str):
            copy.good, copy.failures = found, 0
            return found
        if found is None:
            raise ValueError("a look without pages has a failure")
        tell = asked or not copy.good or copy.failures >= FAILURES_UNTIL_TOLD
        return found if tell else copy.good

    def _copy(self, issuer: str, ours: Documents) -> _Copy:
        key = (discovery_url(issuer), jwks_url(ours))
        if key not in self._copies and len(self._copies) >= COPIES:
            self._copies.clear()  # an issuer that was moved so often: nobody asks for the old addresses
        return self._copies.setdefault(key, _Copy())

    async def _fresh_look(self, copy: _Copy, issuer: str, ours: Documents, *, asked: bool) -> Look:
        begun = self.clock.monotonic()
        async with self._lock:
            oldest = begun if asked else begun - self.keep_seconds
            if copy.look is None or copy.look.at < oldest:
                copy.look = await self._fetch_both(issuer, ours)
                good = copy.look.pages is not None and isinstance(compare(ours, *copy.look.pages), str)
                copy.failures = 0 if good else copy.failures + 1
                self.is_matching = good
            return copy.look

    async def _fetch_both(self, issuer: str, ours: Documents) -> Look:
        at = self.clock.monotonic()
        try:
            pages = await asyncio.gather(self._fetch(discovery_url(issuer)), self._fetch(jwks_url(ours)))
        except DiagnosedError as error:
            log.info("public documents not fetched", extra=fields(reason=error.diagnosis.reason))
            return Look(at, failure=error.diagnosis)
        return Look(at, pages=(pages[0], pages[1]))

    async def _fetch(self, url: str) -> Page:
        origin = "/".join(url.split("/")[:3])
        try:
            async with (
                asyncio.timeout(FETCH_SECONDS),
                self.session().get(url, allow_redirects=False) as response,
            ):
                body = await read_bounded(response)
                return Page(url, response.status, body, response.headers.get("Location", ""))
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            why = sdk.diagnose_connection(error, parse_endpoint(origin))
            raise DiagnosedError(rows.UNREACHABLE.diagnose(url=url, detail=why.cause)) from None
