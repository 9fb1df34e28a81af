"""What only the controller can meet: settings of a config, and its own token."""

from __future__ import annotations

from wi_operator.federation.diagnosis.base import Provenance, Retry, Row, Surface

SURFACES = frozenset({Surface.CONFIG, Surface.CREDENTIAL})


def _row(reason: str, cause: str, remedy: str, retry: Retry = Retry.CONFIG) -> Row:
    return Row(reason, reason, cause, remedy, retry, Provenance.DOCUMENTED, SURFACES)


CONFIG_UNTRUSTED_CA = _row(
    "CaBundleUnreadable",
    "{field} holds no certificates in PEM.",
    "Write one or more certificates, each from -----BEGIN CERTIFICATE----- to -----END CERTIFICATE-----.",
)
TOKEN_UNREADABLE = _row(
    "ControllerTokenMissing",
    "The controller cannot read its own token for the issuer ({detail}).",
    "Start wi-controller anew; if it stays, its projected volume was changed: install the chart again.",
    Retry.TRANSIENT,
)
ROWS = (CONFIG_UNTRUSTED_CA, TOKEN_UNREADABLE)
