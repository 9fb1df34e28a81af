"""What the emulators do by themselves, as the real services do: propagation, caches, clocks, policies, limits."""

import asyncio
import re
import time
from datetime import datetime

import aiohttp
import pytest
from aiohttp.test_utils import TestServer
from azure.core.exceptions import ClientAuthenticationError, HttpResponseError, ResourceNotFoundError
from azure.identity import ClientAssertionCredential
from azure.keyvault.secrets import SecretClient

from wi_testkit.emulation.admin import AdminError, RuleError
from wi_testkit.emulation.cases import send
from wi_testkit.emulation.propagation import History, Nodes
from wi_testkit.emulation.settings import Settings, changed
from wi_testkit.entra import app as entra_app
from wi_testkit.entra import cases as entra_cases
from wi_testkit.entra.issuers import Issuers
from wi_testkit.entra.service import EntraService
from wi_testkit.entra.tokens import new_signing_key
from wi_testkit.keyvault.access import RequestRate
from wi_testkit.static_issuer import JWKS, RsaKey, running_issuer

TENANT = "55555555-5555-4555-8555-555555555555"
CLIENT = "eeeeeeee-0000-4000-8000-000000000001"
SUBJECT = "organization:2b7d3a51-96f5-4b53-9a2b-1b1e3d2f6f10"
AUDIENCE = "api://AzureADTokenExchange"
SCOPE = "https://vault.azure.net/.default"
USER, OFFICER = "Key Vault Secrets User", "Key Vault Secrets Officer"
VALUE = "not-a-secret"


@pytest.fixture(autouse=True)
def restored(entra, keyvault):
    """The emulators serve other tests too."""
    before = [(admin, admin.settings()) for admin in (entra, keyvault)]
    yield
    for admin, settings in before:
        admin.set(**settings)


@pytest.fixture
def oid(entra, static_issuer):
    entra.add_tenant(TENANT)
    principal = entra.add_application(TENANT, CLIENT)
    entra.trust(TENANT, CLIENT, "good", issuer=static_issuer.url, subject=SUBJECT, audience=AUDIENCE)
    return principal


@pytest.fixture
def token(oid, real_names, entra, static_issuer):
    """Ask for a token with the real SDK, each time anew; returns the AADSTS number of a refusal, or 0."""

    def token(issuer=static_issuer, key=None, **claims):
        header = {"kid": key.kid} if key else None
        with (
            ClientAssertionCredential(
                TENANT,
                CLIENT,
                lambda: issuer.mint({"sub": SUBJECT, "aud": AUDIENCE, **claims}, header=header, key=key),
                connection_verify=str(entra.ca_file),
                retry_total=0,
            ) as credential,
        ):
            try:
                credential.get_token(SCOPE)
            except ClientAuthenticationError as error:
                token.text = error.message
                return int(re.search(r"AADSTS(\d+)", error.message)[1])
        return 0

    return token


@pytest.fixture
def client(oid, real_names, entra, keyvault, static_issuer):
    """The real SDK's client of a vault that the app may read; ``client(name, **members)`` makes the vault."""
    opened = []

    def client(name, role=USER, **members):
        keyvault.add_vault(name, TENANT, **members)
        if role:
            keyvault.assign(name, oid, role)
        keyvault.set_secret(name, "one", VALUE)
        return again(name)

    def again(name):
        mint = {"func": lambda: static_issuer.mint({"sub": SUBJECT, "aud": AUDIENCE})}
        credential = ClientAssertionCredential(TENANT, CLIENT, **mint, connection_verify=str(entra.ca_file))
        made = SecretClient(
            f"https://{name}.vault.azure.net", credential, connection_verify=str(keyvault.ca_file), retry_total=0
        )
        opened.extend((credential, made))
        return made

    client.again = again
    yield client
    for each in opened:
        each.close()


def refusal(made, name="one"):
    """Return the inner code, or the code, that reading a secret is refused with; empty if it is not."""
    try:
        assert made.get_secret(name).value == VALUE
    except HttpResponseError as error:
        refusal.text = error.error.message if error.error else error.message
        return (error.error.innererror or {}).get("code", "") or error.error.code if error.error else "401"
    return ""


def test_nodes_see_a_change_one_after_the_other():
    seen = History("old")
    seen.record(10, 90, "new")
    settings = Settings(propagation_seconds=90, propagation_nodes=4, seed=3)
    for moment, share in ((10, 0.25), (40, 0.5), (70, 0.75), (100, 1.0)):
        nodes = Nodes(settings)
        found = [seen.at(moment, nodes.lateness()) for _ in range(2000)].count("new") / 2000
        assert found == pytest.approx(share, abs=0.05)


def test_a_change_takes_as_long_as_was_set_when_it_was_made():
    seen = History("first")
    seen.record(10, 0, "at once")
    seen.record(20, 100, "late")
    assert [seen.at(moment, 1.0) for moment in (9, 10, 20, 119, 120)] == [
        "first",
        "at once",
        "at once",
        "at once",
        "late",
    ]
    assert seen.at(20, 0.0) == "late"


def test_the_same_seed_reaches_the_same_nodes_and_a_single_node_is_simply_late():
    lists = [[Nodes(Settings(propagation_seconds=9, seed=seed)).lateness() for _ in range(3)] for seed in (1, 1)]
    assert lists[0] == lists[1]
    assert Nodes(Settings(propagation_seconds=9, propagation_nodes=1)).lateness() == 1
    assert (Nodes(Settings()).lateness(), Nodes(Settings(propagation_seconds=9)).lateness(0.0)) == (0, 0)


@pytest.mark.parametrize("body", [{"propagationsSeconds": 1}, {"seed": "1"}, {"propagationNodes": 1.5}, {"seed": True}])
def test_a_setting_that_cannot_be_is_refused(body):
    with pytest.raises(RuleError):
        changed(Settings(), body)


def test_a_new_credential_is_seen_by_some_requests_only_until_it_has_propagated(token, entra, static_issuer):
    entra.set(propagationSeconds=3600, propagationNodes=2, seed=5)
    assert {token() for _ in range(6)} == {0}
    entra.trust(TENANT, CLIENT, "new", issuer="https://new.example", subject=SUBJECT, audience=AUDIENCE)
    assert {token(iss="https://new.example") for _ in range(12)} == {700211, 501661}
    entra.distrust(TENANT, CLIENT, "good")
    entra.trust(TENANT, CLIENT, "good", issuer=static_issuer.url, subject="organization:other", audience=AUDIENCE)
    assert {token() for _ in range(12)} == {700213, 0}
    entra.set(propagationSeconds=0)
    assert {token() for _ in range(3)} == {700213}


def test_one_app_may_have_a_propagation_of_its_own(token, entra, static_issuer):
    entra.add_application(TENANT, CLIENT, propagationSeconds=3600)
    entra.set(propagationNodes=1)
    entra.trust(TENANT, CLIENT, "late", issuer=static_issuer.url, subject="organization:late", audience=AUDIENCE)
    assert token(sub="organization:late") == 700213
    entra.add_application(TENANT, CLIENT)
    assert token(sub="organization:late") == 0


async def test_propagation_ends_when_its_time_is_over(static_issuer, test_ca):
    now = [1000.0]
    service = EntraService(test_ca.client_context(), key=new_signing_key(), moment=lambda: now[0])
    service.adjust({"propagationSeconds": 30.0, "propagationNodes": 3, "seed": 2})
    seen = []
    async with TestServer(entra_app.build_app(service, "t")) as server, aiohttp.ClientSession() as session:
        url = str(server.make_url("")).rstrip("/")
        for path, body in entra_cases.seed_calls(static_issuer):
            await session.put(f"{url}/_admin/{path}", json=body, headers={"Authorization": "Bearer t"})
        for moment in (1000.0, 1014.0, 1016.0, 1031.0):
            now[0] = moment
            answers = [await send(session, url, entra_cases.ask(static_issuer)) for _ in range(30)]
            seen.append(sum(answer.status == 200 for answer in answers) / 30)
    assert seen[0] == pytest.approx(1 / 3, abs=0.2)
    assert seen[0] < seen[2] < seen[3] == 1
    assert seen[1] < seen[2]


async def test_cached_keys_are_fetched_once_until_they_expire(test_ca):
    now = [1000.0]
    service = EntraService(test_ca.client_context(), key=new_signing_key(), moment=lambda: now[0])
    service.adjust({"jwksCacheSeconds": 60})
    with running_issuer(test_ca) as issuer:
        for moment, fetches in ((1000, 2), (1059, 2), (1061, 4)):
            now[0] = moment
            assert (await service.issuers.keys(issuer.url, 60)).find(issuer.key.kid)
            assert len(issuer.requests) == fetches


async def test_all_requests_share_one_fetch_and_a_slow_issuer_delays_its_own_only(test_ca):
    issuers = Issuers(test_ca.client_context(), time.monotonic)
    with running_issuer(test_ca) as slow, running_issuer(test_ca) as quick:
        slow.delays[JWKS] = 3.0
        waiting = asyncio.gather(*(issuers.keys(slow.url, 60) for _ in range(50)))
        begin = time.monotonic()
        found = await asyncio.gather(*(issuers.keys(quick.url, 60) for _ in range(50)))
        assert time.monotonic() - begin < 2.9
        assert not waiting.done()
        assert all(keys.find(quick.key.kid) for keys in found)
        assert all(keys.find(slow.key.kid) for keys in await waiting)
        assert (len(slow.requests), len(quick.requests)) == (2, 2)


def test_an_issuer_that_fails_is_asked_again_although_its_keys_are_cached_when_it_works(token, entra, test_ca):
    with running_issuer(test_ca) as issuer:
        entra.set(jwksCacheSeconds=3600)
        entra.trust(TENANT, CLIENT, "failing", issuer=issuer.url, subject=SUBJECT, audience=AUDIENCE)
        issuer.statuses[JWKS] = 503
        assert token(issuer) == 501661
        del issuer.statuses[JWKS]
        assert token(issuer) == 0
        issuer.statuses[JWKS] = 503
        assert token(issuer) == 0


def test_a_rotated_key_is_unknown_until_the_cache_of_the_issuer_expires(token, entra, test_ca):
    with running_issuer(test_ca) as issuer:
        entra.set(jwksCacheOfIssuer={issuer.url: 3600})
        entra.trust(TENANT, CLIENT, "cached", issuer=issuer.url, subject=SUBJECT, audience=AUDIENCE)
        assert token(issuer) == 0
        new = RsaKey()
        issuer.publish(issuer.key, new)
        assert (token(issuer, key=new), token(issuer)) == (7000272, 0)
        assert "could not be found in the metadata of identity provider" in token.text
        entra.forget_issuer_keys()
        assert token(issuer, key=new) == 0
        issuer.requests.clear()
        entra.set(jwksCacheOfIssuer={})
        assert [token(issuer) for _ in range(2)] == [0, 0]
        assert len(issuer.requests) == 4
        newest = RsaKey()
        issuer.publish(newest)
        entra.set(jwksCacheOfIssuer={issuer.url: 3600})
        assert token(issuer, key=newest) == 0


@pytest.mark.parametrize(("offset", "edge"), [(3600, "expiry time of assertion"), (-3600, "assertion valid from")])
def test_a_skewed_clock_is_told_with_its_times(token, entra, offset, edge):
    entra.set(clockOffset=offset)
    assert token() == 700024
    times = re.search(rf"Current time: (\S+), .*{edge} ([\d:.TZ-]+)", token.text)
    now, other = (datetime.fromisoformat(text[:26] + "+00:00") for text in times.groups())
    assert abs(now.timestamp() - time.time() - offset) < 30
    assert (now > other) == (offset > 0)


def test_legacy_answers_are_those_up_to_2023(token, entra, static_issuer):
    entra.set(legacyText=True)
    assert token(sub="organization:x") == 70021
    assert (
        f"Assertion Issuer: '{static_issuer.url}'. Assertion Subject: 'organization:x'. Assertion Audience: "
        f"'{AUDIENCE}'. https://docs.microsoft.com/en-us/azure/active-directory/develop/workload-identity-federation"
        "\r\nTrace ID: "
    ) in token.text
    assert re.search(r"\r\nTrace ID: \S{36}\r\nCorrelation ID: \S{36}\r\nTimestamp: ", token.text)
    assert [token(aud="x"), token(sub=SUBJECT.upper()), token(exp=1)] == [70021, 70021, 700024]
    entra.set(legacyText=False)
    assert token(sub="organization:x") == 700213


@pytest.mark.parametrize(
    ("member", "code"),
    [
        ({"conditionalAccessBlocked": True}, 53003),
        ({"disabled": True}, 7000112),
        ({"servicePrincipal": False}, 7000229),
    ],
    ids=["conditional-access", "disabled", "no-service-principal"],
)
def test_an_app_that_gets_no_token(token, entra, member, code):
    entra.add_application(TENANT, CLIENT, **member)
    assert token() == code
    entra.add_application(TENANT, CLIENT)
    assert token() == 0


def test_a_new_role_is_seen_by_some_requests_only_until_it_has_propagated(client, keyvault, oid):
    keyvault.set(propagationSeconds=3600, propagationNodes=2, seed=5)
    made = client("b-roles")
    assert {refusal(made) for _ in range(12)} == {"", "ForbiddenByRbac"}
    keyvault.set(propagationSeconds=0)
    assert {refusal(made) for _ in range(3)} == {""}
    keyvault.assign("b-roles", oid, USER)
    keyvault.add_vault("b-roles", TENANT, propagationSeconds=3600)
    keyvault.unassign("b-roles", oid, USER)
    assert {refusal(made) for _ in range(12)} == {"", "ForbiddenByRbac"}


def test_a_vault_with_access_policies_does_not_look_at_roles(client, keyvault, oid):
    made = client("b-policies", permissionModel="AccessPolicy")
    assert refusal(made) == "AccessDenied"
    assert "does not have secrets get permission on key vault 'b-policies;location=eastus'" in refusal.text
    keyvault.allow("b-policies", oid, "get")
    assert refusal(made) == ""
    with pytest.raises(HttpResponseError, match="does not have secrets list permission"):
        list(made.list_properties_of_secrets())
    keyvault.allow("b-policies", oid, "list")
    assert [item.name for item in made.list_properties_of_secrets()] == ["one"]
    keyvault.disallow("b-policies", oid)
    keyvault.allow("b-policies", oid, "get", application=CLIENT)
    assert refusal(made) == "ForbiddenByPolicy"


def test_a_firewall_admits_addresses(client, keyvault):
    made = client("b-firewall", allowedAddresses=["192.0.2.1"])
    assert refusal(made) == "ForbiddenByFirewall"
    assert "\r\nClient address: 127.0.0.1\r\nCaller: appid=" in refusal.text
    keyvault.add_vault("b-firewall", TENANT, allowedAddresses=["127.0.0.0/8", "::1"])
    assert refusal(made) == ""
    keyvault.add_vault("b-firewall", TENANT, publicNetworkAccess="Disabled")
    assert refusal(made) == "ForbiddenByConnection"
    keyvault.add_vault("b-firewall", TENANT, publicNetworkAccess="Enabled", allowedAddresses=None)
    assert refusal(made) == ""


def test_times_of_a_secret_are_informational_and_enabled_is_not(client, keyvault):
    made, now = client("b-times"), int(time.time())
    keyvault.set_secret("b-times", "expired", VALUE, exp=now - 60)
    keyvault.set_secret("b-times", "future", VALUE, nbf=now + 3600)
    assert [refusal(made, name) for name in ("expired", "future")] == ["", ""]
    assert made.get_secret("expired").properties.expires_on.timestamp() == now - 60
    keyvault.enable_secret("b-times", "one", enabled=False)
    assert refusal(made) == "SecretDisabled"


def test_a_secret_is_deleted_recovered_and_purged(client, keyvault):
    made = client("b-deletion", OFFICER)
    made.begin_delete_secret("one", _polling_interval=0.05).wait(5)
    assert refusal(made) == "SecretNotFound"
    assert [item.name for item in made.list_deleted_secrets()] == ["one"]
    with pytest.raises(HttpResponseError, match="in a deleted but recoverable state"):
        made.set_secret("one", VALUE)
    made.begin_recover_deleted_secret("one", _polling_interval=0.05).wait(5)
    assert refusal(made) == ""
    keyvault.delete_secret("b-deletion", "one")
    made.purge_deleted_secret("one")
    with pytest.raises(ResourceNotFoundError, match="Deleted Secret not found: one"):
        made.get_deleted_secret("one")
    assert made.set_secret("one", VALUE).properties.enabled


def test_a_deletion_may_take_its_time(client, keyvault):
    made = client("b-deleting", OFFICER, deletingSeconds=3600)
    keyvault.delete_secret("b-deleting", "one")
    with pytest.raises(HttpResponseError) as refused:
        made.set_secret("one", VALUE)
    assert refused.value.error.innererror["code"] == "ObjectIsBeingDeleted"
    keyvault.add_vault("b-deleting", TENANT, deletingSeconds=0)
    keyvault.recover_secret("b-deleting", "one")
    assert refusal(made) == ""
    with pytest.raises(AdminError, match="no such deleted secret"):
        keyvault.purge_secret("b-deleting", "one")


def test_an_empty_page_is_not_the_last(client, keyvault):
    made = client("b-pages", emptyPages=True)
    names = sorted(f"name-{number:02}" for number in range(60))
    for name in names:
        keyvault.set_secret("b-pages", name, VALUE)
    keyvault.forget_requests()
    assert [item.name for item in made.list_properties_of_secrets()] == [*names, "one"]
    assert [entry["status"] for entry in keyvault.requests()] == [401, 200, 200, 200, 200, 200]


def test_a_rate_is_of_ten_seconds_and_refusals_do_not_count():
    rate = RequestRate(3)
    assert [rate.exceeded(moment) for moment in (0, 1, 2, 3, 9.9)] == [False, False, False, True, True]
    assert [rate.exceeded(moment) for moment in (10, 10, 11)] == [False, True, False]


@pytest.mark.parametrize("retry_after", [None, 17])
def test_a_vault_has_a_request_rate(client, keyvault, retry_after):
    name = f"b-rate-{retry_after}".lower()
    made = client(name, requestsPer10Seconds=3, retryAfter=retry_after)
    assert [refusal(made) for _ in range(4)] == ["", "", "", "Throttled"]
    with pytest.raises(HttpResponseError) as refused:
        made.get_secret("one")
    assert refused.value.response.headers.get("Retry-After") == (str(retry_after) if retry_after else None)
    keyvault.add_vault(name, TENANT, requestsPer10Seconds=4000)
    assert refusal(made) == ""


@pytest.mark.parametrize("form", ["resource", "microsoftonline", "scope", "unquoted"])
def test_the_client_understands_the_forms_of_a_challenge(client, form):
    assert refusal(client(f"b-form-{form}", challenge=form)) == ""


def test_the_client_does_not_understand_a_challenge_without_commas(client):
    with pytest.raises(HttpResponseError, match="AKV10000"):
        client("b-form-spaces", challenge="spaces").get_secret("one")


def test_a_new_signing_key_of_entra_is_not_resolved_at_once(client, entra, keyvault):
    assert refusal(client("b-keys")) == ""
    keyvault.set(entraKeysPause=3600)
    entra.rotate_signing_key()
    assert refusal(client.again("b-keys")) == "Unauthorized"
    assert "AKV10046: Unable to resolve the key used for signature validation" in refusal.text
    keyvault.set(entraKeysPause=0)
    assert refusal(client.again("b-keys")) == ""


@pytest.mark.parametrize(
    "members",
    [{"permissionModel": "rbac"}, {"challenge": "x"}, {"allowedAddresses": ["x"]}, {"publicNetworkAcces": "x"}],
)
def test_a_vault_that_cannot_be_is_refused(keyvault, members):
    with pytest.raises(AdminError, match="HTTP 400"):
        keyvault.add_vault("b-wrong", TENANT, **members)
