"""The Key Vault emulator answers like Key Vault: good calls and every refusal verbatim."""

import aiohttp
import pytest

from wi_testkit.emulation.cases import Ask, send
from wi_testkit.keyvault import cases
from wi_testkit.keyvault.cases import CASES, HOST, OFFICER, QUERY, READER, SCOPED, VAULT, Case, ask, bearer
from wi_testkit.keyvault.checks import API_VERSIONS, CHECKS
from wi_testkit.keyvault.server import running_keyvault
from wi_testkit.static_issuer import RsaKey


@pytest.fixture(scope="module")
def vault(test_ca, static_issuer):
    """A vault that takes the static issuer for Entra, so that the tests can mint any access token."""
    with running_keyvault(test_ca, static_issuer.url) as running:
        for method, path, body in cases.seed_calls():
            running.call(method, path, body)
        yield running


@pytest.fixture
def call(vault, test_ca, static_issuer):
    async def call(request, token=None, method="GET", json=None):
        made = request if isinstance(request, Ask) else ask(static_issuer, request, token, method, json)
        connector = aiohttp.TCPConnector(ssl=test_ca.client_context())
        async with aiohttp.ClientSession(connector=connector) as session:
            return await send(session, vault.url, made)

    return call


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_a_bad_call_gets_its_refusal_verbatim(case: Case, call, static_issuer):
    sent = case.ask(static_issuer)
    answer = await call(sent)
    assert answer.status == case.status
    assert answer.body == case.expected_body(sent)
    assert answer.headers.get("www-authenticate") == (cases.CHALLENGE if case.status == 401 else None)


def test_every_check_has_a_case_and_every_case_a_check():
    assert {case.check for case in CASES} == set(CHECKS.names)


@pytest.mark.parametrize("path", ["/secrets/greeting", "/secrets/greeting/", "/secrets/GREETING"])
async def test_the_latest_version_is_read(call, vault, path):
    answer = await call(f"{path}{QUERY}")
    version = vault.secret(VAULT, "greeting")["versions"][-1]["version"]
    assert (answer.status, answer.body["value"]) == (200, "not-a-secret-greeting")
    assert answer.body["id"] == f"https://{HOST}/secrets/greeting/{version}"
    expected = {"enabled": True, "recoveryLevel": "Recoverable+Purgeable", "recoverableDays": 90}
    assert expected.items() <= answer.body["attributes"].items()
    assert isinstance(answer.body["attributes"]["created"], int)


async def test_a_rotation_leaves_the_old_version_readable(call, vault):
    old, new = (vault.set_secret(VAULT, "rotated", f"not-a-secret-{number}") for number in (1, 2))
    assert (await call(f"/secrets/rotated{QUERY}")).body["value"] == "not-a-secret-2"
    assert (await call(f"/secrets/rotated/{old}{QUERY}")).body["value"] == "not-a-secret-1"
    listed = (await call(f"/secrets/rotated/versions{QUERY}")).body["value"]
    assert {item["id"].rpartition("/")[2] for item in listed} == {old, new}
    assert all("value" not in item for item in listed)


@pytest.mark.parametrize(("api_version", "told"), [("7.6", False), ("2025-07-01", True), ("2026-04-01", True)])
async def test_newer_versions_of_the_api_tell_the_version_before(call, vault, api_version, told):
    old, _ = (vault.set_secret(VAULT, "successive", f"not-a-secret-{number}") for number in (1, 2))
    body = (await call(f"/secrets/successive?api-version={api_version}")).body
    assert body.get("previousVersion") == (old if told else None)
    first = (await call(f"/secrets/greeting?api-version={api_version}")).body
    assert "previousVersion" not in first


async def test_an_expired_secret_is_still_readable(call, vault):
    vault.set_secret(VAULT, "stale", "not-a-secret", exp=1, nbf=0, contentType="text/plain", tags={"a": "b"})
    body = (await call(f"/secrets/stale{QUERY}")).body
    assert (body["attributes"]["exp"], body["contentType"], body["tags"]) == (1, "text/plain", {"a": "b"})


async def test_an_encoded_parameter_name_is_decoded(call):
    assert (await call("/secrets/greeting?api%2Dversion=2025-07-01")).status == 200


@pytest.mark.parametrize("version", API_VERSIONS)
async def test_all_api_versions_of_the_sdks_are_known(call, version):
    assert (await call(f"/secrets/greeting?api-version={version}")).status == 200


async def test_the_headers_are_those_of_the_real_service(call, static_issuer):
    request = ask(static_issuer, f"/secrets/greeting{QUERY}")
    request.headers["x-ms-client-request-id"] = "mine"
    headers = (await call(request)).headers
    assert (headers["x-ms-client-request-id"], headers["x-ms-keyvault-region"]) == ("mine", "eastus")
    assert headers["content-type"] == "application/json; charset=utf-8"
    assert "x-ms-keyvault-rbac-assignment-id" in headers


async def test_pages_are_linked_with_a_port_until_the_last(call, static_issuer):
    first = (await call(f"/secrets{QUERY}&maxresults=2")).body
    assert len(first["value"]) == 2
    assert first["nextLink"].startswith(f"https://{HOST}:443/secrets?api-version=7.6&$skiptoken=eyJOZXh0TWFya2VyIjog")
    names, link = [item["id"] for item in first["value"]], first["nextLink"]
    while link:
        page = (await call(link.removeprefix(f"https://{HOST}:443"))).body
        names, link = names + [item["id"] for item in page["value"]], page["nextLink"]
    assert names == sorted(names)
    assert {f"https://{HOST}/secrets/{name}" for name in ("greeting", "other", "disabled")} <= set(names)
    assert f"https://{HOST}/secrets/deleted" not in names


async def test_a_reader_lists_but_does_not_see_values(call):
    listed = (await call(f"/secrets{QUERY}", bearer(READER))).body["value"]
    assert listed
    assert all("value" not in item for item in listed)


async def test_a_role_on_one_secret_reads_that_secret(call):
    assert (await call(f"/secrets/greeting{QUERY}", bearer(SCOPED))).status == 200


async def test_a_deleted_secret_is_found_among_the_deleted(call):
    body = (await call(f"/deletedsecrets/deleted{QUERY}")).body
    assert body["recoveryId"] == f"https://{HOST}/deletedsecrets/deleted"
    assert "value" not in body


async def test_an_officer_sets_a_secret(call):
    body = {"value": "not-a-secret", "attributes": {"enabled": True, "exp": 2_000_000_000}}
    answer = await call(f"/secrets/made{QUERY}", bearer(OFFICER), "PUT", body)
    assert (answer.status, answer.body["value"], answer.body["attributes"]["exp"]) == (
        200,
        "not-a-secret",
        2_000_000_000,
    )


@pytest.mark.parametrize(
    "body",
    [
        [],
        None,
        {"value": "x", "tags": {"a": 1}},
        {"value": "x", "attributes": {"exp": "soon"}},
        {"value": "x" * 30_000},
    ],
)
async def test_no_body_breaks_the_vault(call, body):
    answer = await call(f"/secrets/odd{QUERY}", bearer(OFFICER), "PUT", body)
    assert (answer.status, answer.body["error"]["code"]) == (400, "BadParameter")


@pytest.mark.parametrize("token", ["Basic dTpw", "Bearer", "Bearer a.b.c", "Bearer " + "." * 5000])
async def test_no_header_breaks_the_vault(call, token):
    assert (await call(f"/secrets/greeting{QUERY}", cases.literally(token))).status == 401


async def test_a_secret_that_does_not_exist_has_no_versions(call):
    assert (await call(f"/secrets/absent/versions{QUERY}")).body == {"value": [], "nextLink": None}


async def test_a_registered_host_reaches_its_vault_and_gets_links_to_itself(call, vault, static_issuer):
    vault.add_vault(VAULT, cases.TENANT, hosts=[vault.host])
    direct = ask(static_issuer, f"/secrets{QUERY}&maxresults=1")
    del direct.headers["Host"]
    answer = await call(direct)
    assert answer.body["nextLink"].startswith(f"{vault.url}/secrets?")


@pytest.mark.parametrize("host", [f"{HOST}:443", f"{HOST}:9443", HOST.upper()])
async def test_the_host_header_names_the_vault_on_any_port_and_in_any_case(call, static_issuer, host):
    request = ask(static_issuer, f"/secrets{QUERY}")
    request.headers["Host"] = host
    assert (await call(request)).status == 200


async def test_a_new_signing_key_is_fetched_when_it_is_first_used(call, static_issuer):
    assert (await call(f"/secrets/greeting{QUERY}")).status == 200
    new = RsaKey()
    static_issuer.publish(static_issuer.key, new)
    assert (await call(f"/secrets/greeting{QUERY}", bearer(key=new, kid=new.kid))).status == 200
    static_issuer.publish()


async def test_a_name_that_no_vault_has_is_misdirected(call, static_issuer):
    request = ask(static_issuer, f"/secrets{QUERY}")
    request.headers["Host"] = "absent.vault.azure.net"
    assert (await call(request)).status == 421


async def test_a_revoked_role_is_refused_at_once(call, vault):
    principal = "bbbbbbbb-0000-4000-8000-0000000000aa"
    vault.assign(VAULT, principal, "Key Vault Secrets User", "greeting")
    assert (await call(f"/secrets/greeting{QUERY}", bearer(principal))).status == 200
    vault.unassign(VAULT, principal, "Key Vault Secrets User", "greeting")
    assert (await call(f"/secrets/greeting{QUERY}", bearer(principal))).status == 403


async def test_the_journal_has_neither_token_nor_value(call, vault, static_issuer):
    vault.forget_requests()
    request = ask(static_issuer, f"/secrets/greeting{QUERY}")
    await call(request)
    (entry,) = vault.requests()
    assert (entry["outcome"], entry["principal"], entry["host"]) == ("ok", cases.USER, HOST)
    assert "not-a-secret" not in str(entry)
    assert request.headers["Authorization"].rpartition(".")[2] not in str(entry)
