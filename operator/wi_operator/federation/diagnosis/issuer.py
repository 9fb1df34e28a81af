"""Why the issuer refuses a whole request; its problem documents, conditions and kickoff errors say the same."""

from __future__ import annotations

from wi_operator.federation.diagnosis.base import Provenance, Retry, Row, Surface

GRANT = frozenset({Surface.GRANT})
PODS = GRANT | {Surface.KICKOFF}
EVERYWHERE = PODS | {Surface.CONFIG, Surface.CREDENTIAL}
LOG = "Look at its log: kubectl -n wi-system logs deploy/wi-issuer ."


def _row(reason: str, cause: str, remedy: str, surfaces: frozenset[Surface], retry: Retry = Retry.CONFIG) -> Row:
    return Row(reason, reason, cause, remedy, retry, Provenance.DOCUMENTED, surfaces)


URL_MISSING = _row(
    "IssuerUrlMissing",
    "This installation has no public issuer URL, so no cloud can check its assertions.",
    "Set the chart's value `issuer.url` to the https URL under which wi-issuer is reached from the internet.",
    EVERYWHERE,
)
KEY_MISSING = _row(
    "KeyMissing",
    "There is no signing key that is published and may sign now.",
    "Look at wi-controller, which makes it: kubectl -n wi-system logs deploy/wi-controller .",
    EVERYWHERE,
    Retry.TRANSIENT,
)
KEY_LOST = _row(
    "KeyLost",
    "The recorded signing key is not in Secret wi-issuer-keys; nothing is signed with another one unasked.",
    'Restore the Secret with its annotations, or accept the loss: see docs/issuer.md, "A lost key".',
    EVERYWHERE,
)
ORGANIZATION_UNVERIFIED = _row(
    "OrganizationUnverified",
    "The organization of namespace '{namespace}' was set while the policy that guards it was not in force.",
    "Install the chart again, and let an administrator set the annotation identity.crewai.com/organization anew.",
    EVERYWHERE,
)
ORGANIZATION_DISPUTED = _row(
    "OrganizationDisputed",
    "The organization of namespace '{namespace}' was set to '{claimed}' while the policy that guards it was not in force; this "
    "is not believed, and '{organization}' counts on.",
    "Find out who set the annotation identity.crewai.com/organization; then let an administrator remove it and set it anew.",
    frozenset({Surface.CONFIG, Surface.CREDENTIAL}),
)
KUBERNETES_UNAVAILABLE = _row(
    "KubernetesUnavailable",
    "The Kubernetes API did not answer the issuer.",
    "It is tried again; running pods go on with the grant that they hold.",
    EVERYWHERE,
    Retry.TRANSIENT,
)
NOT_SYNCED = _row(
    "NotSynced", "The issuer has not read its objects yet.", "It is tried again.", EVERYWHERE, Retry.TRANSIENT
)
TOO_MANY_REQUESTS = _row(
    "TooManyRequests",
    "The issuer limits this caller: {detail}.",
    "It is tried again; whoever needs more: raise `issuer.rates` of the chart.",
    PODS,
    Retry.TRANSIENT,
)
TOKEN_REJECTED = _row(
    "TokenRejected",
    "The bearer token is not a valid service account token of a running pod for this audience.",
    "Use the projected token of the pod; it ends with its pod: start the pod anew. One that is being deleted is refused on "
    "purpose.",
    EVERYWHERE,
)
NAMESPACE_UNKNOWN = _row(
    "NamespaceUnknown",
    "Namespace '{namespace}' is not known to the issuer yet.",
    "It is tried again.",
    PODS,
    Retry.TRANSIENT,
)
NOT_THE_CONTROLLER = _row(
    "NotTheController", "Only the controller may ask for handshakes.", "Pods ask for grants: /v1/grants.", GRANT
)
MALFORMED_REQUEST = _row(
    "MalformedRequest",
    "The issuer does not read the request: {detail}.",
    "Both sides must be of the same release: start the pod anew, or complete the upgrade.",
    GRANT,
    Retry.BUG,
)
FAILED = _row("IssuerFailed", "The issuer failed on this request.", LOG, GRANT, Retry.BUG)
ROWS = (
    URL_MISSING,
    KEY_MISSING,
    KEY_LOST,
    ORGANIZATION_UNVERIFIED,
    ORGANIZATION_DISPUTED,
    KUBERNETES_UNAVAILABLE,
    NOT_SYNCED,
    TOO_MANY_REQUESTS,
    TOKEN_REJECTED,
    NAMESPACE_UNKNOWN,
    NOT_THE_CONTROLLER,
    MALFORMED_REQUEST,
    FAILED,
)
