"""Why the issuer gave no grant: its problem documents (RFC 9457), and its absence."""

from __future__ import annotations

from dataclasses import replace

from wi_operator.federation.diagnosis import issuer, links
from wi_operator.federation.diagnosis.base import Diagnosis, Provenance, Retry, Row, Surface
from wi_operator.federation.diagnosis.bodies import json_object, one_line, text_of

PODS = frozenset({Surface.KICKOFF})
EVERYWHERE = PODS | {Surface.CONFIG, Surface.CREDENTIAL}
STATE = "Look at its state: kubectl describe secretprovidercredential,workloadidentityconfig -n <namespace> ."


def _row(
    reason: str, cause: str, remedy: str, retry: Retry = Retry.CONFIG, surfaces: frozenset[Surface] = EVERYWHERE
) -> Row:
    return Row(reason, reason, cause, remedy, retry, Provenance.ASSUMED, surfaces)


UNREACHABLE = _row(
    "IssuerUnreachable", "The issuer of the cluster did not answer: {detail}",
    "Look at it with `kubectl get pods -n wi-system -l app.kubernetes.io/component=wi-issuer`; a NetworkPolicy of the pod "
    "must allow TCP 443 to service wi-issuer-grants in wi-system.", Retry.TRANSIENT,
)  # fmt: skip
NOT_TRUSTED = _row(
    "IssuerCertificateRejected", "The certificate of the cluster's issuer is not trusted: {detail}",
    "Start the pod anew, so that it gets the current CA of the operator; if it stays, something answers in place of "
    "service wi-issuer-grants.",
)  # fmt: skip
TOKEN_MISSING = _row(
    "SubjectTokenMissing", "The sidecar cannot read its service-account token ({detail}).",
    "Start the pod anew; if it stays, the volume wi-token of the pod was changed after injection.", surfaces=PODS,
)  # fmt: skip
REFUSED = _row("GrantRefused", "The issuer refused ({status}): {detail}", STATE)
UNREADABLE = _row(
    "GrantUnreadable", "What answered for the issuer with {status} is not a grant.",
    "Look for something that answers in place of service wi-issuer-grants; sidecar and issuer must be of versions that "
    "fit: start the pod anew.",
)  # fmt: skip
NOT_GRANTED = _row(
    "CredentialNotGranted", "The issuer neither granted nor refused the credential '{credential}'.",
    "Start the pod anew; if it stays, report it.", Retry.BUG, PODS,
)  # fmt: skip
FORBIDDEN_HOST = links.FORBIDDEN_HOST

BY_REASON = {row.reason: row for row in (*issuer.ROWS, *links.ROWS)}
ROWS = (UNREACHABLE, NOT_TRUSTED, TOKEN_MISSING, REFUSED, UNREADABLE, NOT_GRANTED)


def diagnose(status: int, body: bytes, *, retry_after: float | None = None) -> Diagnosis:
    """Judge a problem document of the grants endpoint."""
    problem = json_object(body)
    diagnosis = refusal(
        status,
        reason=text_of(problem, "reason"),
        detail=text_of(problem, "detail") or text_of(problem, "title"),
        remedy=text_of(problem, "remedy"),
    )
    return replace(diagnosis, retry_after=retry_after)


def refusal(status: int, *, reason: str, detail: str, remedy: str) -> Diagnosis:
    """Judge a refusal; the issuer's own words, which know the names, go before the row's."""
    row = BY_REASON.get(reason) or _unknown(status, one_line(reason)[:80])
    diagnosis = row.diagnose(status=str(status), detail=one_line(detail) or "no reason was given")
    return replace(diagnosis, cause=one_line(detail) or diagnosis.cause, remedy=one_line(remedy) or diagnosis.remedy)


def _unknown(status: int, reason: str) -> Row:
    if status == 429 or status >= 500:
        return UNREACHABLE
    if reason.isalnum():
        return replace(REFUSED, code=reason, reason=reason)
    return REFUSED if status >= 400 else UNREADABLE
