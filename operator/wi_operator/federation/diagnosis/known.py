"""Which reasons exist: what is written into labels is one of these, or ``Other``."""

from __future__ import annotations

from wi_operator.api import reasons
from wi_operator.federation.diagnosis.table import ROWS

OTHER = "Other"
KNOWN = frozenset(row.reason for row in ROWS) | {
    reasons.SUCCEEDED,
    reasons.RESOLVED,
    reasons.NOT_TESTED,
    reasons.PROGRESSING,
}


def bounded(reason: str) -> str:
    """Return ``reason`` if it is one of ours: a label never holds what somebody else wrote."""
    return reason if reason in KNOWN else OTHER
