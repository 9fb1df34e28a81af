"""Refusals as problem documents (RFC 9457) with ``reason`` and ``remedy``."""

from __future__ import annotations

import math
from dataclasses import dataclass
from http import HTTPStatus

from wi_operator.core.errors import WorkloadIdentityError
from wi_operator.federation.diagnosis import issuer as rows
from wi_operator.federation.diagnosis.base import Row

MEDIA_TYPE = "application/problem+json"


@dataclass(frozen=True, slots=True)
class Problem:
    """A refusal: HTTP status, CamelCase reason, what happened, what to do."""

    status: int
    reason: str
    detail: str
    remedy: str
    retry_after: int = 0
    """Seconds; 0 means that there is nothing to wait for, or nobody knows how long."""

    @classmethod
    def of(cls, status: int, row: Row, *, retry_after: int = 0, **facts: str) -> Problem:
        """Return the refusal that ``row`` describes, filled with ``facts``."""
        diagnosis = row.diagnose(**facts)
        return cls(status, row.reason, diagnosis.cause, diagnosis.remedy, retry_after)

    def render(self) -> dict[str, object]:
        """Return the problem document."""
        return {
            "type": "about:blank",
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": self.detail,
            "reason": self.reason,
            "remedy": self.remedy,
        }


class RefusedError(WorkloadIdentityError):
    """A request is refused; ``problem`` is the answer."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(f"{problem.reason}: {problem.detail} {problem.remedy}")
        self.problem = problem


ISSUER_URL_MISSING = Problem.of(503, rows.URL_MISSING, retry_after=60)
KEY_MISSING = Problem.of(503, rows.KEY_MISSING, retry_after=2)
KEY_LOST = Problem.of(503, rows.KEY_LOST, retry_after=60)
KUBERNETES_UNAVAILABLE = Problem.of(503, rows.KUBERNETES_UNAVAILABLE, retry_after=2)
NOT_SYNCED = Problem.of(503, rows.NOT_SYNCED, retry_after=1)
TOKEN_REJECTED = Problem.of(401, rows.TOKEN_REJECTED)


def too_many(what: str, wait: float) -> Problem:
    """Return the refusal of one that asks too often; ``wait`` in seconds."""
    return Problem.of(
        429, rows.TOO_MANY_REQUESTS, retry_after=max(1, math.ceil(wait)), detail=f"too many requests of {what}"
    )


def unverified(namespace: str) -> Problem:
    """Return the refusal of a namespace whose organization is not believed."""
    return Problem.of(503, rows.ORGANIZATION_UNVERIFIED, retry_after=60, namespace=namespace)
