"""Rules that all rows keep."""

import re
import string

import pytest

from wi_operator.federation.diagnosis import grants, transport
from wi_operator.federation.diagnosis.base import Retry
from wi_operator.federation.diagnosis.table import ROWS
from wi_operator.federation.diagnosis.transport import Failure

FACTS = {
    "issuer", "subject", "audience", "client_id", "tenant_id", "scope", "skew", "status", "said", "vault", "vault_host",
    "vault_tenant", "secret", "version_text", "oid", "resource", "action", "decision", "client_ip", "host", "port",
    "detail", "credential", "json_key", "expires", "starts", "url", "field", "provider", "namespace", "name", "names", "kind",
    "count", "wanted", "config", "cloud", "object", "what", "account", "position", "correction", "variable", "claimed",
    "organization",
}  # fmt: skip


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.code}-{row.reason}")
def test_a_row_is_complete(row):
    assert re.fullmatch(r"[A-Z][A-Za-z0-9]+", row.reason)
    assert len(row.reason) <= 64
    assert row.cause.endswith((".", "}"))
    assert row.remedy[-1] in ".}"
    names = {name for text in (row.cause, row.remedy) for _, name, _, _ in string.Formatter().parse(text) if name}
    assert names <= FACTS
    assert row.diagnose().message.isprintable()


def test_a_code_and_reason_have_one_row():
    keys = [(row.code, row.reason) for row in ROWS]
    assert len(keys) == len(set(keys))


def test_every_failure_of_a_connection_has_a_row():
    assert set(transport.ROWS) == set(Failure)


@pytest.mark.parametrize("failure", Failure)
def test_a_failed_connection_names_host_and_detail(failure):
    diagnosis = transport.diagnose(failure, host="h.example", port=8443, detail="why")
    assert diagnosis.reason == failure.value
    assert "h.example" in diagnosis.message
    assert "why" in diagnosis.message


def test_no_connection_points_to_the_network_policy():
    message = transport.diagnose(Failure.UNREACHABLE, host="h.example", port=443, detail="ECONNREFUSED").message
    assert "NetworkPolicy" in message
    assert "TCP to h.example:443" in message


def test_an_unknown_vault_is_a_vault_that_does_not_exist():
    diagnosis = transport.diagnose(Failure.HOST_UNKNOWN, host="v.vault.azure.net", port=443, detail="x", vault=True)
    assert diagnosis.reason == "VaultHostUnknown"


def test_the_issuers_own_words_go_first():
    diagnosis = grants.refusal(404, reason="CredentialNotFound", detail="No 'x' in team-a.", remedy="Create it.")
    assert diagnosis.message == "No 'x' in team-a. Create it."
    assert diagnosis.reason == "CredentialNotFound"


def test_the_row_speaks_where_the_issuer_said_nothing():
    assert "issuer.url" in grants.diagnose(503, b'{"reason":"IssuerUrlMissing"}').remedy


@pytest.mark.parametrize(
    ("status", "body", "reason", "retry"),
    [
        (503, b"<html>", "IssuerUnreachable", Retry.TRANSIENT),
        (429, b"{}", "IssuerUnreachable", Retry.TRANSIENT),
        (503, b'{"reason":"IssuerUrlMissing"}', "IssuerUrlMissing", Retry.CONFIG),
        (503, b'{"reason":"KubernetesUnavailable"}', "KubernetesUnavailable", Retry.TRANSIENT),
        (403, b'{"reason":"SomethingNew","detail":"d"}', "SomethingNew", Retry.CONFIG),
        (403, b'{"reason":"not a reason"}', "GrantRefused", Retry.CONFIG),
        (302, b"", "GrantUnreadable", Retry.CONFIG),
    ],
)
def test_problem_documents_find_their_row(status, body, reason, retry):
    diagnosis = grants.diagnose(status, body)
    assert (diagnosis.reason, diagnosis.row.retry) == (reason, retry)
