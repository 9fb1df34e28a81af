"""Refusals as problem documents (RFC 9457) with ``reason`` and ``remedy``."""

from __future__ import annotations

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

    @classmethod
    def of(cls, status: int, row: Row, **facts: str) -> Problem:
        """Return the refusal that ``row`` describes, filled with ``facts``."""
        diagnosis = row.diagnose(**facts)
        return cls(status, row.reason, diagnosis.cause, diagnosis.remedy)

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


ISSUER_URL_MISSING = Problem.of(503, rows.URL_MISSING)
KEY_MISSING = Problem.of(503, rows.KEY_MISSING)
KUBERNETES_UNAVAILABLE = Problem.of(503, rows.KUBERNETES_UNAVAILABLE)
NOT_SYNCED = Problem.of(503, rows.NOT_SYNCED)
TOKEN_REJECTED = Problem.of(401, rows.TOKEN_REJECTED)
