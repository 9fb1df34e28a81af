"""The fixed refusals: with which status, and when to come back. A sidecar drops its grant at 4xx and keeps it at 503."""

import pytest

from wi_operator.federation.diagnosis import issuer
from wi_operator.issuer import problems


@pytest.mark.parametrize(
    ("problem", "row", "status", "retry_after"),
    [
        (problems.ISSUER_URL_MISSING, issuer.URL_MISSING, 503, 60),
        (problems.KEY_MISSING, issuer.KEY_MISSING, 503, 2),
        (problems.KEY_LOST, issuer.KEY_LOST, 503, 60),
        (problems.KUBERNETES_UNAVAILABLE, issuer.KUBERNETES_UNAVAILABLE, 503, 2),
        (problems.NOT_SYNCED, issuer.NOT_SYNCED, 503, 1),
        (problems.unverified("team-a"), issuer.ORGANIZATION_UNVERIFIED, 503, 60),
        (problems.TOKEN_REJECTED, issuer.TOKEN_REJECTED, 401, 0),
        (problems.too_many("pod 'p'", 0.2), issuer.TOO_MANY_REQUESTS, 429, 1),
        (problems.too_many("pod 'p'", 2.1), issuer.TOO_MANY_REQUESTS, 429, 3),
    ],
    ids=lambda value: getattr(value, "reason", str(value)),
)
def test_a_fixed_refusal(problem, row, status, retry_after):
    assert (problem.status, problem.reason, problem.retry_after) == (status, row.reason, retry_after)
    assert problem.remedy == row.remedy
