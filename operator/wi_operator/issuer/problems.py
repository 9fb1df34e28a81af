"""Refusals as problem documents (RFC 9457) with ``reason`` and ``remedy``."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus

from wi_operator.api import reasons
from wi_operator.core.errors import WorkloadIdentityError

MEDIA_TYPE = "application/problem+json"


@dataclass(frozen=True, slots=True)
class Problem:
    """A refusal: HTTP status, CamelCase reason, what happened, what to do."""

    status: int
    reason: str
    detail: str
    remedy: str

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


ISSUER_URL_MISSING = Problem(
    503,
    reasons.ISSUER_URL_MISSING,
    "This installation has no issuer URL.",
    "Set the chart's value issuer.url to the https URL under which the cloud reaches the issuer.",
)
KEY_MISSING = Problem(
    503,
    "KeyMissing",
    "There is no signing key that is published and may sign now.",
    "Look at the controller's log: kubectl -n wi-system logs deploy/wi-controller.",
)
KUBERNETES_UNAVAILABLE = Problem(
    503,
    "KubernetesUnavailable",
    "The Kubernetes API did not answer the token review.",
    "Try again; running pods go on with the grant that they hold.",
)
NOT_SYNCED = Problem(503, "NotSynced", "The issuer has not read its objects yet.", "Try again in a second.")
TOKEN_REJECTED = Problem(
    401,
    "TokenRejected",
    "The bearer token is not a valid service account token of a running pod for this audience.",
    "Use the projected token of the pod (audience wi-issuer); it ends with its pod.",
)
