"""The token request and the reading of its answer."""

import base64
import json
from urllib.parse import parse_qs

import pytest

from wi_operator.core.secret import SecretValue
from wi_operator.federation.diagnosis.base import DiagnosedError
from wi_operator.federation.exchange.base import HttpResponse
from wi_operator.federation.exchange.entra import TokenTarget, build_token_request, read_token_answer, unverified_claims
from wi_operator.federation.hosts import Endpoint

TARGET = TokenTarget(
    Endpoint("login.example.test", 443), "tenant/../x", "client&a=b", "https://vault.azure.net/.default"
)


def request():
    return build_token_request(TARGET, SecretValue("fake.assertion.x"))


def test_the_form_is_the_one_of_rfc_7523():
    assert parse_qs(request().body.decode()) == {
        "grant_type": ["client_credentials"],
        "client_id": ["client&a=b"],
        "scope": ["https://vault.azure.net/.default"],
        "client_assertion_type": ["urn:ietf:params:oauth:client-assertion-type:jwt-bearer"],
        "client_assertion": ["fake.assertion.x"],
    }


def test_the_tenant_stays_one_part_of_the_path():
    assert request().target == "/tenant%2F..%2Fx/oauth2/v2.0/token"


def test_a_request_does_not_show_the_assertion():
    assert "fake.assertion" not in repr(request())


@pytest.mark.parametrize("lifetime", [3599, "3599"])
def test_a_token_is_read(lifetime):
    token = read_token_answer(answer({"access_token": "fake-token", "expires_in": lifetime, "token_type": "Bearer"}))
    assert (token.value.reveal(), token.expires_in) == ("fake-token", 3599)
    assert "fake-token" not in repr(token)


@pytest.mark.attack(twin="test_a_token_is_read")
@pytest.mark.parametrize(
    "members",
    [
        {}, {"access_token": "t"}, {"access_token": 1, "expires_in": 1}, {"access_token": "", "expires_in": 1},
        {"access_token": "t", "expires_in": -1}, {"access_token": "t", "expires_in": "nan"},
        {"access_token": "t\r\nx-evil: 1", "expires_in": 1}, {"access_token": "ü", "expires_in": 1},
    ],
)  # fmt: skip
def test_an_answer_that_is_no_token_is_refused(members):
    with pytest.raises(DiagnosedError, match="IdentityAnswerUnreadable"):
        read_token_answer(answer(members))


def test_an_error_is_diagnosed_with_its_facts():
    body = json.dumps({"error_codes": [700211]}).encode()
    with pytest.raises(DiagnosedError) as caught:
        read_token_answer(HttpResponse(401, body, {"retry-after": "7"}), issuer="https://i.example")
    assert "https://i.example" in caught.value.diagnosis.cause
    assert caught.value.diagnosis.retry_after == 7.0


def answer(members):
    return HttpResponse(200, json.dumps(members).encode())


@pytest.mark.parametrize(
    ("header", "expected"),
    [("60", 60.0), ("", None), ("Wed, 21 Oct 2026 07:28:00 GMT", None), ("-1", None), ("9" * 400, None), ("²", None)],
)
def test_retry_after_is_read_in_seconds(header, expected):
    assert HttpResponse(429, b"", {"retry-after": header}).retry_after == expected


def token(payload):
    return SecretValue("h." + base64.urlsafe_b64encode(payload).rstrip(b"=").decode() + ".s")


def test_claims_are_read_for_messages():
    claims = unverified_claims(token(b'{"iss":"i","sub":"s","aud":"a","exp":1}'))
    assert claims == {"issuer": "i", "subject": "s", "audience": "a"}


@pytest.mark.parametrize(
    "broken", [SecretValue("x"), SecretValue("a.%.c"), token(b"[]"), token(b"\xff"), token(b'{"iss":1}')]
)
def test_an_assertion_that_does_not_parse_has_no_claims(broken):
    assert unverified_claims(broken) == {}
