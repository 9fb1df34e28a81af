"""Every mint leaves one audit line: who, for what, which key; never the token."""

import logging

from wi_operator.core.log import FIELDS
from wi_operator.federation.keys import generate_signing_key
from wi_operator.issuer.assertions import issue_assertion

KEY = generate_signing_key()


def test_one_audit_line_names_everything_but_the_token(caplog):
    with caplog.at_level(logging.INFO, "wi_operator.audit"):
        claims, assertion = issue_assertion(
            KEY,
            issuer="https://identity.example.com",
            organization="0f9a3c5e-1111-4222-8333-444455556666",
            audience="api://AzureADTokenExchange",
            now=1_795_000_000.0,
            lifetime=3600,
            purpose="grant",
            namespace="team-a",
            pod="kick-1",
        )
    (record,) = caplog.records
    assert getattr(record, FIELDS) == {
        "purpose": "grant",
        "organization": "0f9a3c5e-1111-4222-8333-444455556666",
        "kid": KEY.kid,
        "jti": claims.token_id,
        "namespace": "team-a",
        "pod": "kick-1",
    }
    assert assertion.reveal() not in record.getMessage() + str(record.__dict__)
