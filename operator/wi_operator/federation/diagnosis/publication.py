"""Why the public documents of the issuer are not what they must be; met by the controller, which fetches them like a cloud."""

from __future__ import annotations

from wi_operator.federation.diagnosis.base import Provenance, Retry, Row, Surface

SURFACES = frozenset({Surface.CONFIG})
REACH = (
    "Both documents must answer over a publicly trusted certificate, without a login or a redirect. If only the cluster "
    "cannot reach its own address while the handshake succeeds, nothing is wrong."
)


def _row(reason: str, cause: str, remedy: str, retry: Retry = Retry.PROPAGATION) -> Row:
    return Row(reason, reason, cause, remedy, retry, Provenance.ASSUMED, SURFACES)


UNREACHABLE = _row(
    "IssuerDocumentUnreachable",
    "{url} could not be fetched from inside the cluster: {detail}",
    REACH,
)
REFUSED = _row(
    "IssuerDocumentRefused",
    "{url}, fetched from inside the cluster, answers {status}.",
    "Route this path of the issuer's host to service wi-issuer, or upload the file there. " + REACH,
)
DIFFERS = _row(
    "IssuerDocumentDiffers",
    "The document at {url} is not the issuer's: {detail}.",
    "Set `issuer.url` of the chart to exactly the URL that the public host serves, or upload the documents again: "
    "wi-operator issuer-export DIR .",
)
KEYS_DIFFER = _row(
    "IssuerKeysDiffer",
    "The keys at {url} are not those that the issuer signs with: {detail}.",
    "A cache may hold the document for 5 minutes; if it stays, another issuer answers there, or the exported copy is old: "
    "wi-operator issuer-export DIR .",
)
ROWS = (UNREACHABLE, REFUSED, DIFFERS, KEYS_DIFFER)
