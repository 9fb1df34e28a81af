"""Why the issuer gave no grant: its problem documents (RFC 9457), and its absence."""

from __future__ import annotations

from dataclasses import replace

from wi_operator.federation.diagnosis.base import Diagnosis, Provenance, Retry, Row, Surface
from wi_operator.federation.diagnosis.bodies import json_object, one_line, text_of

SURFACES = frozenset({Surface.KICKOFF, Surface.GRANT})
STATE = "Look at its state: kubectl describe secretprovidercredential,workloadidentityconfig -n <namespace> ."


def _row(reason: str, cause: str, remedy: str, retry: Retry = Retry.CONFIG) -> Row:
    return Row(reason, reason, cause, remedy, retry, Provenance.ASSUMED, SURFACES)


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
    "Start the pod anew; if it stays, the volume wi-token of the pod was changed after injection.",
)  # fmt: skip
REFUSED = _row("GrantRefused", "The issuer refused the grant ({status}): {detail}", STATE)
UNREADABLE = _row(
    "GrantUnreadable", "What answered for the issuer with {status} is not a grant.",
    "Look for something that answers in place of service wi-issuer-grants; sidecar and issuer must be of versions that "
    "fit: start the pod anew.",
)  # fmt: skip
FORBIDDEN_HOST = replace(
    _row(
        "ForbiddenHost", "{detail}.",
        "Correct the URL, or let an administrator add the host to the allow-list of the chart.",
    ),
    surfaces=SURFACES | {Surface.CONFIG, Surface.CREDENTIAL},
)  # fmt: skip
NOT_GRANTED = _row(
    "CredentialNotGranted", "The issuer neither granted nor refused the credential '{credential}'.",
    "Start the pod anew; if it stays, report it.", Retry.BUG,
)  # fmt: skip

BY_REASON = {
    row.reason: row
    for row in (
        _row("IssuerUrlMissing", "The operator has no public issuer URL.", "Set `issuer.url` of the chart."),
        _row(
            "KeyMissing", "The issuer has no signing key yet.",
            "Look at wi-controller, which makes it: kubectl logs -n wi-system deploy/wi-controller .", Retry.TRANSIENT,
        ),
        _row(
            "KeyLost", "The signing key of this installation is gone; nothing is signed with a new one unasked.",
            "Restore Secret wi-issuer-keys from the backup, or accept the loss as the handbook says.",
        ),
        _row(
            "KubernetesUnavailable", "The issuer cannot reach the Kubernetes API.", "It is tried again.",
            Retry.TRANSIENT,
        ),
        _row("TooManyRequests", "The issuer limits this pod.", "It is tried again.", Retry.TRANSIENT),
        _row(
            "CredentialNotFound", "There is no such SecretProviderCredential in the pod's namespace.",
            "Correct the reference, or create it: kubectl get secretprovidercredentials -n <namespace> .",
        ),
        _row(
            "NoDefaultCredential", "The reference names no credential, and none of the namespace is the default.",
            "Name one (secret://<credential>/<secret>), or set spec.default on one.",
        ),
        _row(
            "AmbiguousDefault", "More than one is the default.", "Leave spec.default true on exactly one.",
        ),
        _row(
            "ConfigNotFound", "The credential names a WorkloadIdentityConfig that does not exist.",
            "Correct spec.workloadIdentityRef, or create the configuration.",
        ),
        _row("ConfigNotResolved", "The credential has no WorkloadIdentityConfig.", STATE),
        _row("ConfigNotReady", "The WorkloadIdentityConfig is not ready.", STATE),
        _row("ProviderMismatch", "Credential and configuration are of different clouds.", STATE),
        _row(
            "NotSupportedYet", "The provider or authentication method is accepted, but not built yet.",
            "Use AzureKeyVault with WorkloadIdentity.",
        ),
        _row(
            "ServiceAccountNotAllowed", "The credential does not admit the pod's service account.",
            "Run the pod as one of spec.allowedServiceAccounts, or add its account there.",
        ),
        _row(
            "TokenRejected", "The issuer did not accept the pod's service-account token.",
            "Start the pod anew; a pod that is being deleted is refused on purpose.",
        ),
    )
}  # fmt: skip
ROWS = (UNREACHABLE, NOT_TRUSTED, TOKEN_MISSING, REFUSED, UNREADABLE, FORBIDDEN_HOST, NOT_GRANTED, *BY_REASON.values())


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
