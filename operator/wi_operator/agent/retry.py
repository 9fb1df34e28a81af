"""Trying again within a deadline: only what time can cure, with backoff, heeding ``Retry-After``."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from wi_operator.agent.settings import Budgets
from wi_operator.core.clock import Clock
from wi_operator.federation.diagnosis import kickoff
from wi_operator.federation.diagnosis.base import DiagnosedError, Retry

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Deadline:
    """When a kickoff must have ended; ``seconds`` is its whole budget."""

    clock: Clock
    at: float
    seconds: float

    @classmethod
    def after(cls, clock: Clock, seconds: float) -> Deadline:
        """Return a deadline that many seconds from now."""
        return cls(clock, clock.monotonic() + seconds, seconds)

    def earlier(self, seconds: float) -> Deadline:
        """Return a deadline before this one: what it guards can still tell why it failed."""
        return Deadline(self.clock, self.at - seconds, self.seconds)

    def remaining(self) -> float:
        """Return the seconds left, never negative."""
        return max(0.0, self.at - self.clock.monotonic())


async def retry(attempt: Callable[[], Awaitable[T]], *, deadline: Deadline, budgets: Budgets) -> T:
    """Return what ``attempt`` returns; raises its ``DiagnosedError`` when retrying cannot help or time is over."""
    delay = budgets.backoff
    last: DiagnosedError | None = None
    while True:
        try:
            async with asyncio.timeout(deadline.remaining()):
                return await attempt()
        except TimeoutError:
            raise last or out_of_time(deadline) from None
        except DiagnosedError as error:
            last = error
        pause = max(_jittered(delay), last.diagnosis.retry_after or 0.0)
        if last.diagnosis.row.retry is not Retry.TRANSIENT or pause >= deadline.remaining():
            raise last
        await asyncio.sleep(pause)
        delay = min(delay * 2, budgets.backoff_limit)


def out_of_time(deadline: Deadline) -> DiagnosedError:
    """Return the error of a kickoff whose time is over."""
    return DiagnosedError(kickoff.OUT_OF_TIME.diagnose(detail=f"{deadline.seconds:g}"))


def _jittered(delay: float) -> float:
    # Pods that start together must not come back together.
    return delay * (0.75 + os.urandom(1)[0] / 512)
