"""A grant is decided from the proven caller and the index, never from the request."""

import jwt
import pytest

from wi_operator.core.clock import FrozenClock
from wi_operator.federation.keys import generate_key_set
from wi_operator.index.store import Index
from wi_operator.issuer.callers import Caller
from wi_operator.issuer.grants import Grants, read_request
from wi_operator.issuer.problems import KEY_MISSING, RefusedError
from wi_operator.issuer.settings import IssuerSettings

ISSUER = "https://identity.example.com"
ORGANIZATION = "0f9a3c5e-1111-4222-8333-444455556666"
KEY_SET = generate_key_set()


class FixedKeyring:
    """A keyring without files."""

    epoch = 1

    def __init__(self, *, signs: bool = True) -> None:
        self._signs = signs

    def require_signing(self):
        if not self._signs:
            raise RefusedError(KEY_MISSING)
        return KEY_SET.keys[0]

    def fingerprint_key_of(self, organization: str) -> bytes:
        return KEY_SET.fingerprint_key_of(organization)


def config(name="azure", *, namespace="team-a", default=True, **azure):
    block = {"tenantId": "11111111-1111-4111-8111-111111111111", "clientId": "22222222-2222-4222-8222-222222222222"}
    return {
        "metadata": {"namespace": namespace, "name": name, "uid": f"uid-{name}", "generation": 2},
        "spec": {"provider": "Azure", "default": default, "azure": block | azure},
    }


def credential(name="demo", *, namespace="team-a", vault="https://demo.vault.azure.net/", **spec):
    return {
        "metadata": {"namespace": namespace, "name": name, "uid": f"uid-{name}", "generation": 3},
        "spec": {"provider": "AzureKeyVault", "azureKeyVault": {"vaultUrl": vault}} | spec,
    }


def make(*objects, url=ISSUER, signs=True, extra_hosts=()) -> Grants:
    index = Index()
    for name, organization in (("team-a", ORGANIZATION), ("team-b", "")):
        annotations = {"identity.crewai.com/organization": organization} if organization else {}
        index.put_namespace({"metadata": {"name": name, "uid": f"uid-of-{name}", "annotations": annotations}})
    for item in objects:
        (index.put_config if "azure" in item["spec"] else index.put_credential)(item)
    return Grants(index, FixedKeyring(signs=signs), IssuerSettings(url, extra_hosts=extra_hosts), FrozenClock())


CALLER = Caller("team-a", "worker", "kick-1", "pod-uid")


def grant(grants: Grants, *names: str, caller: Caller = CALLER) -> dict:
    return grants.sign(caller, grants.decide(caller, names))


def test_the_subject_is_the_organization_of_the_callers_namespace():
    document = grant(make(config(), credential()), "demo")
    assertion = document["grants"][0]["assertion"]
    claims = jwt.decode(
        assertion, KEY_SET.keys[0].private_key.public_key(), algorithms=["RS256"], audience="api://AzureADTokenExchange",
        options={"verify_exp": False, "verify_nbf": False, "verify_iat": False},
    )  # fmt: skip
    assert claims["sub"] == f"organization:{ORGANIZATION}"
    assert claims["iss"] == ISSUER
    assert claims["exp"] - claims["iat"] == 3600
    assert jwt.get_unverified_header(assertion) == {"alg": "RS256", "kid": KEY_SET.keys[0].kid, "typ": "JWT"}


def test_a_namespace_without_annotation_is_its_own_organization():
    grants = make(config(namespace="team-b"), credential(namespace="team-b"))
    document = grant(grants, "demo", caller=Caller("team-b", "worker", "p", "u"))
    assert document["organization"] == "uid-of-team-b"


def test_the_credential_of_another_namespace_does_not_exist_for_the_caller():
    document = grant(make(config(), credential(namespace="team-b")), "demo")
    assert document["grants"] == []
    assert document["refusals"][0]["reason"] == "CredentialNotFound"
    assert document["refusals"][0]["status"] == 404


def test_the_empty_name_is_the_one_default_credential():
    document = grant(make(config(), credential(default=True), credential("other")), "")
    assert document["grants"][0]["resolved"]["name"] == "demo"


def test_two_defaults_resolve_to_nothing():
    document = grant(make(config(), credential(default=True), credential("other", default=True)), "")
    assert document["refusals"][0]["reason"] == "AmbiguousDefault"


def test_an_account_that_is_not_listed_is_refused():
    document = grant(make(config(), credential(allowedServiceAccounts=["robot"])), "demo")
    assert (document["refusals"][0]["status"], document["refusals"][0]["reason"]) == (403, "ServiceAccountNotAllowed")


@pytest.mark.parametrize(
    "spec",
    [
        {"provider": "AWSSecretsManager"},
        {"provider": "GCPSecretManager"},
        {"provider": "AzureKeyVault", "authMethod": "ClientSecret"},
    ],
)
def test_what_is_not_built_yet_says_so(spec):
    assert grant(make(config(), credential(**spec)), "demo")["refusals"][0]["reason"] == "NotSupportedYet"


@pytest.mark.parametrize(
    "vault",
    [
        "https://demo.vault.azure.net.evil.example",
        "https://vault.azure.net",
        "https://a.b.vault.azure.net",
        "https://demo.vault.azure.net:8443",
        "https://demo.vault.azure.net@evil.example",
    ],
)
def test_no_assertion_is_made_for_a_vault_outside_the_list(vault):
    document = grant(make(config(), credential(vault=vault)), "demo")
    assert document["grants"] == []
    assert document["refusals"][0]["reason"] == "ForbiddenHost"


def test_a_custom_cloud_needs_its_hosts_on_the_charts_list():
    custom = {
        "authorityHost": "https://login.test:8443",
        "vaultScope": "https://vault.test/.default",
        "caBundle": "PEM",
    }
    objects = config(cloud="Custom", custom=custom), credential(vault="https://demo.vault.test")
    refused = grant(make(*objects), "demo")
    assert refused["refusals"][0]["reason"] == "ForbiddenHost"
    granted = grant(make(*objects, extra_hosts=("login.test:8443", "*.vault.test")), "demo")
    assert granted["grants"][0]["azure"]["authorityHost"] == "https://login.test:8443"
    assert granted["caBundle"] == "PEM"


def test_the_etag_changes_with_a_generation_and_not_with_time():
    grants = make(config(), credential())
    first = grants.decide(CALLER, ["demo"]).etag
    grants.clock.advance(60)
    assert first == grants.decide(CALLER, ["demo"]).etag
    changed = credential()
    changed["metadata"]["generation"] = 4
    grants.index.put_credential(changed)
    assert first != grants.decide(CALLER, ["demo"]).etag


def test_without_an_issuer_url_nothing_is_signed():
    with pytest.raises(RefusedError) as refused:
        grant(make(config(), credential(), url=""), "demo")
    assert refused.value.problem.reason == "IssuerUrlMissing"


def test_without_a_key_that_may_sign_nothing_is_signed():
    with pytest.raises(RefusedError) as refused:
        grant(make(config(), credential(), signs=False), "demo")
    assert refused.value.problem.reason == "KeyMissing"


@pytest.mark.parametrize(
    "body",
    [
        None,
        [],
        {},
        {"credentials": []},
        {"credentials": "demo"},
        {"credentials": [1]},
        {"credentials": ["a"] * 65},
        {"credentials": ["demo"], "namespace": "team-b"},
        {"credentials": ["demo"], "organization": ORGANIZATION},
        {"credentials": ["x" * 254]},
    ],
)
def test_a_body_that_names_more_or_less_than_credentials_is_refused(body):
    with pytest.raises(RefusedError) as refused:
        read_request(body)
    assert refused.value.problem.status == 400


def test_a_name_asked_twice_is_granted_once():
    assert read_request({"credentials": ["demo", "", "demo"]}) == ["demo", ""]
