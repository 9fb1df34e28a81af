"""What counts as the same publication."""

import json

import pytest

from wi_operator.federation.diagnosis.base import Diagnosis
from wi_operator.federation.publication import Documents, Page, compare, discovery_url, jwks_url

ISSUER = "https://issuer.example/x"
KEY = {"use": "sig", "kid": "k1", "alg": "RS256", "e": "AQAB", "kty": "RSA", "n": "AAA"}
OTHER = {**KEY, "kid": "k2", "n": "BBB"}
DISCOVERY = {"issuer": ISSUER, "jwks_uri": f"{ISSUER}/oauth2/jwks", "subject_types_supported": ["public"]}


def documents(*keys):
    return Documents(json.dumps(DISCOVERY).encode(), json.dumps({"keys": list(keys)}).encode())


def shown(discovery=DISCOVERY, keys=(KEY,), status=200, location=""):
    body = discovery if isinstance(discovery, bytes) else json.dumps(discovery).encode()
    return (
        Page(discovery_url(ISSUER), status, body, location),
        Page(f"{ISSUER}/oauth2/jwks", 200, json.dumps({"keys": list(keys)}).encode()),
    )


def test_the_addresses():
    assert discovery_url(ISSUER) == "https://issuer.example/x/.well-known/openid-configuration"
    assert jwks_url(documents(KEY)) == "https://issuer.example/x/oauth2/jwks"


def test_equal_documents_are_proven_and_the_proof_says_from_where():
    said = compare(documents(KEY), *shown())
    assert "Fetched from inside the cluster" in said
    assert "published: k1" in said
    assert "another form" not in said


def test_another_form_of_the_same_json_is_the_same():
    pretty = json.dumps(DISCOVERY, indent=2).encode()
    assert "another form of the same JSON" in compare(documents(KEY), *shown(pretty))


@pytest.mark.parametrize(
    ("pages", "reason", "said"),
    [
        (shown(status=404), "IssuerDocumentRefused", "answers 404"),
        (shown(status=302, location="https://login.example/"), "IssuerDocumentRefused", "redirect to https://login.ex"),
        (shown(b"<html>"), "IssuerDocumentDiffers", "not a JSON object"),
        (shown({**DISCOVERY, "issuer": ISSUER + "/"}), "IssuerDocumentDiffers", f"'issuer' is '{ISSUER}/' there"),
        (shown({"issuer": ISSUER}), "IssuerDocumentDiffers", "'jwks_uri' is missing there"),
        (shown({**DISCOVERY, "authorization_endpoint": ""}), "IssuerDocumentDiffers", "members authorization_endpoint"),
        (shown(keys=()), "IssuerKeysDiffer", "not a set of keys"),
        (shown(keys=(OTHER,)), "IssuerKeysDiffer", "lacks key k1"),
        (shown(keys=({**KEY, "n": "CCC"},)), "IssuerKeysDiffer", "under k1 it has another key"),
        (shown(keys=(KEY, OTHER)), "IssuerKeysDiffer", "still has key k2"),
    ],
)
def test_every_difference_is_named(pages, reason, said):
    found = compare(documents(KEY), *pages)
    assert isinstance(found, Diagnosis)
    assert found.reason == reason
    assert said in found.message
