"""The Entra emulator answers like Entra: good requests, every refusal verbatim, and the real SDKs."""

import asyncio
import hashlib
import ssl

import aiohttp
import jwt
import pytest

from wi_testkit.emulation.admin import AdminError
from wi_testkit.emulation.cases import Answer, Ask, matches, send
from wi_testkit.emulation.jose import encode
from wi_testkit.entra import cases
from wi_testkit.entra.cases import CASES, CLIENT, SUBJECT, TENANT, Case, ask, minted
from wi_testkit.entra.checks import NAMES
from wi_testkit.pki import CertificateAuthority
from wi_testkit.static_issuer import DISCOVERY, JWKS, RsaKey, running_issuer


@pytest.fixture(scope="module", autouse=True)
def seeded(entra, static_issuer):
    for path, body in cases.seed_calls(static_issuer):
        entra.put(path, body)


@pytest.fixture
def exchange(entra, test_ca):
    async def exchange(request) -> Answer:
        connector = aiohttp.TCPConnector(ssl=test_ca.client_context())
        async with aiohttp.ClientSession(connector=connector) as session:
            return await send(session, entra.url, request)

    return exchange


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_a_bad_request_gets_its_refusal_verbatim(case: Case, exchange, static_issuer):
    answer = await exchange(case.ask(static_issuer))
    assert (answer.status, answer.body["error"], answer.body["error_codes"]) == (case.status, case.error, [case.code])
    assert matches(case.expected_text(static_issuer), cases.refused_text(answer)), answer.body


def test_every_check_has_a_case_and_every_case_a_check():
    assert {case.check for case in CASES} == set(NAMES)


async def test_a_good_request_gets_a_v1_token_for_the_vault(exchange, static_issuer, entra):
    answer = await exchange(ask(static_issuer))
    assert (answer.status, answer.body["token_type"], answer.body["expires_in"]) == (200, "Bearer", 3599)
    claims = jwt.decode(answer.body["access_token"], options={"verify_signature": False})
    application = entra.state()["tenants"][TENANT]["applications"][CLIENT]
    expected = {
        "aud": "https://vault.azure.net",
        "iss": f"https://sts.windows.net/{TENANT}/",
        "appid": CLIENT,
        "oid": application["object_id"],
        "sub": application["object_id"],
        "tid": TENANT,
        "ver": "1.0",
    }
    assert {name: claims[name] for name in expected} == expected


async def test_the_token_verifies_with_the_published_keys(exchange, static_issuer):
    token = (await exchange(ask(static_issuer))).body["access_token"]
    keys = (await exchange(Ask("GET", f"/{TENANT}/discovery/v2.0/keys"))).body["keys"]
    header = jwt.get_unverified_header(token)
    assert (header["typ"], header["x5t"]) == ("JWT", header["kid"])
    key = jwt.PyJWK(next(key for key in keys if key["kid"] == header["kid"]))
    assert jwt.decode(token, key, ["RS256"], audience="https://vault.azure.net")["idtyp"] == "app"


async def test_the_headers_are_those_of_the_real_endpoint(exchange, static_issuer):
    headers = (await exchange(ask(static_issuer))).headers
    expected = ("no-store, no-cache", "no-cache", "-1", "application/json; charset=utf-8")
    assert tuple(headers[name] for name in ("cache-control", "pragma", "expires", "content-type")) == expected
    assert {"x-ms-request-id", "x-ms-ests-server", "p3p", "set-cookie"} <= headers.keys()


@pytest.mark.parametrize(
    "extra",
    [
        {"claims": '{"access_token": {"xms_cc": {"values": ["CP1"]}}}'},
        {"client_info": "1", "x-client-SKU": "msal.js.node"},
        {"scope": "https://vault.azure.net/.default openid offline_access profile"},
    ],
    ids=["claims", "telemetry", "several-scopes"],
)
async def test_what_sdks_add_is_tolerated(exchange, static_issuer, extra):
    assert (await exchange(ask(static_issuer, **extra))).status == 200


@pytest.mark.parametrize(
    ("cloud", "vault", "audience"),
    [
        ("USGovernment", "https://vault.usgovcloudapi.net", "api://AzureADTokenExchangeUSGov"),
        ("China", "https://vault.azure.cn", "api://AzureADTokenExchangeChina"),
    ],
)
async def test_a_tenant_of_another_cloud_has_that_clouds_vaults_only(
    exchange, entra, static_issuer, cloud, vault, audience
):
    tenant = "66666666-6666-4666-8666-666666666666"
    entra.add_tenant(tenant, cloud=cloud)
    entra.add_application(tenant, CLIENT)
    entra.trust(tenant, CLIENT, "cloud", issuer=static_issuer.url, subject=SUBJECT, audience=audience)
    assertion = minted(aud=audience)
    good = await exchange(ask(static_issuer, assertion, tenant, scope=f"{vault}/.default"))
    public = await exchange(ask(static_issuer, assertion, tenant))
    recommended = await exchange(ask(static_issuer, None, tenant, scope=f"{vault}/.default"))
    assert (good.status, public.body["error_codes"], recommended.body["error_codes"]) == (200, [500011], [70022204])


async def test_a_custom_audience_works(exchange, entra, static_issuer):
    entra.trust(TENANT, CLIENT, "custom", issuer=static_issuer.url, subject="custom", audience="https://sky.example")
    answer = await exchange(ask(static_issuer, minted(sub="custom", aud="https://sky.example")))
    assert answer.status == 200


async def test_the_lifetime_of_tokens_can_be_set(exchange, entra, static_issuer):
    entra.set(tokenSeconds=60)
    body = (await exchange(ask(static_issuer))).body
    entra.set(tokenSeconds=3599)
    claims = jwt.decode(body["access_token"], options={"verify_signature": False})
    assert (body["expires_in"], claims["exp"] - claims["iat"]) == (60, 60)


async def test_the_query_is_ignored_and_a_domain_names_the_tenant(exchange, static_issuer):
    good = ask(static_issuer, tenant="Contract.Example")
    assert (await exchange(Ask("POST", f"{good.path}?client-request-id=1", form=good.form))).status == 200


async def test_of_a_repeated_parameter_the_first_counts(exchange, static_issuer):
    good = ask(static_issuer)
    pairs = [*good.form.items(), ("scope", "https://nothing.example/.default")]
    assert (await exchange(Ask("POST", good.path, form=pairs))).status == 200


async def test_a_body_that_is_no_form_has_no_parameters(exchange, static_issuer):
    good = ask(static_issuer)
    answer = await exchange(Ask("POST", good.path, json=good.form))
    assert answer.body["error_codes"] == [900144]


@pytest.mark.parametrize(
    "assertion",
    [minted({"typ": None}), minted(aud=["other", cases.AUDIENCE]), minted(nbf=None, iat=None, jti=None)],
    ids=["no-typ", "several-audiences", "optional-claims"],
)
async def test_assertions_that_the_real_endpoint_accepts(exchange, static_issuer, assertion):
    assert (await exchange(ask(static_issuer, assertion))).status == 200


@pytest.mark.parametrize(
    "assertion",
    [
        minted({"typ": ["JWT"]}),
        minted({"kid": {"a": 1}}),
        minted({"alg": ["RS256"]}),
        minted(exp=10**400),
        minted(nbf=10**400),
        minted(exp="soon"),
        minted(exp=True),
        minted(iss=["https://x.example"]),
        minted(sub={"a": "b"}),
        minted(aud={"a": "b"}),
        minted(iss="https://[broken"),
        lambda issuer: f"{encode(b'[' * 50_000)}.{encode(b'{}')}.",
        lambda issuer: "." * 10_000,
    ],
)
async def test_no_assertion_breaks_the_endpoint(exchange, static_issuer, assertion):
    assert (await exchange(ask(static_issuer, assertion))).status in (200, 400, 401)


async def test_the_callers_request_id_is_the_correlation_id(exchange, static_issuer):
    request_id = "33333333-3333-4333-8333-333333333333"
    bad = ask(static_issuer, grant_type="password")
    answer = await exchange(Ask("POST", bad.path, {"client-request-id": request_id}, bad.form))
    assert answer.body["correlation_id"] == request_id
    assert answer.body["error_uri"] == "https://login.microsoftonline.com/error?code=70003"
    assert answer.headers["x-ms-request-id"] == answer.body["trace_id"]


async def test_an_issuer_with_an_untrusted_certificate_is_unreachable(exchange, entra):
    with running_issuer(CertificateAuthority("stranger")) as issuer:
        entra.trust(TENANT, CLIENT, "stranger", issuer=issuer.url, subject=SUBJECT, audience=cases.AUDIENCE)
        answer = await exchange(ask(issuer))
    assert (answer.status, answer.body["error_codes"], issuer.requests) == (400, [501661], [])
    entra.distrust(TENANT, CLIENT, "stranger")


@pytest.mark.parametrize(
    "documents",
    [
        lambda good: {DISCOVERY: {**good[DISCOVERY], "issuer": "https://other.example"}},
        lambda good: {DISCOVERY: {**good[DISCOVERY], "authorization_endpoint": ""}},
        lambda good: {DISCOVERY: {**good[DISCOVERY], "subject_types_supported": []}},
        lambda good: {DISCOVERY: {**good[DISCOVERY], "jwks_uri": "http://localhost/"}},
        lambda good: {DISCOVERY: "/moved", "/moved": good[DISCOVERY]},
        lambda good: {DISCOVERY: {"issuer": good[DISCOVERY]["issuer"]}},
        lambda good: {DISCOVERY: []},
        lambda good: {JWKS: {"keys": None}},
        lambda good: {JWKS: {"keys": good[JWKS]["keys"], "filler": "x" * 2**20}},
    ],
    ids=[
        "of-another-issuer",
        "empty-endpoint",
        "empty-subject-types",
        "plain-http",
        "redirect",
        "no-jwks-uri",
        "no-object",
        "no-keys",
        "too-long",
    ],
)
async def test_documents_that_make_an_issuer_unreachable(exchange, entra, test_ca, documents):
    with running_issuer(test_ca) as issuer:
        issuer.documents.update(documents(issuer.documents))
        entra.trust(TENANT, CLIENT, "odd-documents", issuer=issuer.url, subject=SUBJECT, audience=cases.AUDIENCE)
        answer = await exchange(ask(issuer))
    assert answer.body["error_codes"] == [501661]


async def test_only_the_first_hundred_keys_count(exchange, entra, test_ca):
    with running_issuer(test_ca) as issuer:
        other = RsaKey().jwk
        issuer.documents[JWKS] = {"keys": [{**other, "kid": str(number)} for number in range(100)] + [issuer.key.jwk]}
        entra.trust(TENANT, CLIENT, "many-keys", issuer=issuer.url, subject=SUBJECT, audience=cases.AUDIENCE)
        answer = await exchange(ask(issuer))
    assert answer.body["error_codes"] == [7000272]


async def test_an_issuer_is_not_asked_for_an_assertion_that_no_credential_trusts(exchange, static_issuer):
    static_issuer.requests.clear()
    assert (await exchange(ask(static_issuer, minted(sub="organization:x")))).body["error_codes"] == [700213]
    assert static_issuer.requests == []


async def test_metadata_leads_to_the_token_endpoint(exchange, entra):
    answer = await exchange(Ask("GET", "/contract.example/v2.0/.well-known/openid-configuration"))
    assert answer.body["token_endpoint"] == f"{entra.url}/{TENANT}/oauth2/v2.0/token"


async def test_metadata_of_an_unknown_tenant(exchange):
    answer = await exchange(Ask("GET", f"/{cases.OTHER_TENANT}/v2.0/.well-known/openid-configuration"))
    assert (answer.status, answer.body["error"], answer.body["error_codes"]) == (400, "invalid_tenant", [90002])


async def test_instance_discovery(exchange):
    path = f"/common/discovery/instance?api-version=1.0&authorization_endpoint=https://x.example/{TENANT}/authorize"
    body = (await exchange(Ask("GET", path))).body
    assert body["tenant_discovery_endpoint"].endswith(f"/{TENANT}/v2.0/.well-known/openid-configuration")
    assert "login.microsoftonline.com" in body["metadata"][0]["aliases"]


async def test_the_journal_has_claims_but_no_assertion(exchange, entra, static_issuer):
    entra.forget_requests()
    request = ask(static_issuer)
    await exchange(request)
    (entry,) = entra.requests()
    assert (entry["outcome"], entry["client_id"], entry["assertion_claims"]["sub"]) == ("ok", CLIENT, SUBJECT)
    assert set(entry["assertion_claims"]) == {"iss", "sub", "aud", "iat", "nbf", "exp", "jti"}
    assert request.form["client_assertion"].rpartition(".")[2] not in str(entry)


async def test_the_admin_api_needs_its_token(exchange):
    answer = await exchange(Ask("GET", "/_admin/state", {"Authorization": "Bearer wrong"}))
    assert answer.status == 401


def trust(entra, name="fic-name", **changes):
    body = {"issuer": "https://i.example", "subject": "s", "audiences": ["a"], **changes}
    entra.put(f"tenants/{TENANT}/apps/{cases.DISABLED_CLIENT}/federatedCredentials/{name}", body)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"audiences": ["a", "b"]}, "exactly one audience"),
        ({"audiences": []}, "exactly one audience"),
        ({"issuer": "i" * 601}, "issuer must be text of 1 to 600"),
        ({"subject": ""}, "subject must be text of 1 to 600"),
        ({"description": "d" * 601}, "description must be text of 1 to 600"),
        ({"name": "no"}, "3 to 120"),
        ({"name": "-leading"}, "3 to 120"),
    ],
)
def test_a_credential_that_cannot_be_registered(entra, changes, reason):
    with pytest.raises(AdminError, match=reason):
        trust(entra, **changes)


def test_issuer_and_subject_are_unique_in_an_application(entra):
    trust(entra, "first")
    trust(entra, "first", audiences=["changed"])
    with pytest.raises(AdminError, match="Issuer and subject combination already exists"):
        trust(entra, "second")
    entra.distrust(TENANT, cases.DISABLED_CLIENT, "first")


def test_an_application_has_at_most_twenty_credentials(entra):
    client = "aaaaaaaa-0000-4000-8000-0000000000ff"
    entra.add_application(TENANT, client)
    for number in range(20):
        entra.trust(TENANT, client, f"fic-{number}", issuer="https://i.example", subject=str(number), audience="a")
    with pytest.raises(AdminError, match="at most 20"):
        entra.trust(TENANT, client, "fic-20", issuer="https://i.example", subject="20", audience="a")


async def test_an_unverified_client_does_not_connect(entra):
    context = ssl.create_default_context()
    with pytest.raises(ssl.SSLCertVerificationError):
        await asyncio.open_connection("127.0.0.1", int(entra.url.rpartition(":")[2]), ssl=context)


async def test_the_signing_keys_thumbprint_is_that_of_its_certificate(exchange):
    key, *_ = (await exchange(Ask("GET", "/common/discovery/v2.0/keys"))).body["keys"]
    der = jwt.utils.base64url_decode(key["x5c"][0].replace("+", "-").replace("/", "_"))
    assert jwt.utils.base64url_encode(hashlib.sha1(der).digest()).decode() == key["x5t"]
