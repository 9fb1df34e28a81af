"""The page of troubleshooting and the table say the same."""

import re
from pathlib import Path

from wi_operator.api import reasons
from wi_operator.federation.diagnosis.table import ROWS

ROOT = Path(__file__).parents[4]
PAGE = (ROOT / "docs/troubleshooting.md").read_text()
HEADINGS = re.findall(r"^#{2,3} (.+)$", PAGE, re.MULTILINE)
CONDITIONS = {
    reasons.READY, reasons.RECONCILING, reasons.STALLED, reasons.ISSUER_PUBLISHED, reasons.HANDSHAKE_SUCCEEDED,
    reasons.CONFIG_RESOLVED, reasons.VAULT_REACHABLE, reasons.SECRET_READABLE, reasons.SECRETS_LISTABLE,
}  # fmt: skip


def test_every_reason_and_code_has_a_heading():
    missing = {name for row in ROWS for name in (row.reason, row.code)} - set(HEADINGS)
    assert not missing


def test_the_reasons_of_conditions_have_headings():
    ours = {value for name, value in vars(reasons).items() if name.isupper()} - CONDITIONS
    assert not ours - set(HEADINGS)


def test_links_lead_to_headings():
    anchors = {heading.lower().replace(" ", "-") for heading in HEADINGS}
    assert {row.anchor for row in ROWS} <= anchors
    assert set(re.findall(r"\(#([\w-]+)\)", PAGE)) <= anchors
