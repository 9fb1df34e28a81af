"""The request for a secret and the reading of its answer."""

import json

import pytest

from wi_operator.core.secret import SecretValue
from wi_operator.federation.diagnosis.base import DiagnosedError
from wi_operator.federation.exchange.base import HttpResponse
from wi_operator.federation.hosts import Endpoint
from wi_operator.vaults.azure import KeyVault

VAULT = KeyVault(Endpoint("demo.vault.azure.net", 443), {"client_id": "app"})
VERSION = "0123456789abcdef0123456789abcdef"


@pytest.mark.parametrize(
    ("version", "target"),
    [("", "/secrets/n?api-version=7.6"), (VERSION, f"/secrets/n/{VERSION}?api-version=7.6")],
)
def test_the_request_names_secret_version_and_api(version, target):
    request = VAULT.build_read("n", version, SecretValue("fake-token"))
    assert (request.method, request.target) == ("GET", target)
    assert dict(request.headers)["authorization"] == "Bearer fake-token"
    assert "fake-token" not in repr(request)


@pytest.mark.attack(twin="test_the_request_names_secret_version_and_api")
def test_a_name_cannot_leave_its_place_in_the_path():
    assert VAULT.build_read("../a?b#c", "", SecretValue("t")).target.startswith("/secrets/..%2Fa%3Fb%23c?")


def read(status=200, **members):
    response = HttpResponse(status, json.dumps(members).encode(), {"www-authenticate": ""})
    return VAULT.read_answer("n", "", response)


def test_value_version_and_times_are_read():
    secret = read(value="fake", id=f"https://demo.vault.azure.net/secrets/n/{VERSION}", attributes={"nbf": 1, "exp": 2})
    assert (secret.value.reveal(), secret.version) == ("fake", VERSION)
    assert (secret.not_before, secret.expires) == (1.0, 2.0)
    assert "fake" not in repr(secret)


def test_an_empty_value_is_a_value():
    assert read(value="").value.reveal() == ""


@pytest.mark.parametrize("members", [{}, {"value": None}, {"value": 1}, {"value": {}}])
def test_an_answer_without_a_value_is_refused(members):
    with pytest.raises(DiagnosedError, match="VaultAnswerUnreadable"):
        read(**members)


@pytest.mark.attack(twin="test_value_version_and_times_are_read")
@pytest.mark.parametrize("identifier", ["https://x/a\nb", "https://x/" + "a" * 100, "", 1])
def test_an_odd_version_is_not_shown(identifier):
    assert read(value="v", id=identifier, attributes={"exp": "x", "nbf": True}).version == ""


def test_a_refusal_names_vault_and_secret():
    with pytest.raises(DiagnosedError, match="There is no secret 'n' in vault demo"):
        read(404, error={"code": "SecretNotFound", "message": "x"})
