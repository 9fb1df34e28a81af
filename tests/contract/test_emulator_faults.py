"""Scripted faults of the emulators: on the wire, and as the real SDKs see them."""

import asyncio
import contextlib
import http.client
import json
import re
import socket
import ssl
import time
from urllib.parse import urlencode, urlsplit

import pytest
from azure.core.exceptions import AzureError, ClientAuthenticationError, HttpResponseError, ServiceResponseError
from azure.identity import ClientAssertionCredential
from azure.keyvault.secrets import SecretClient

from wi_testkit.emulation import acts
from wi_testkit.emulation.admin import AdminError
from wi_testkit.local.site import eventually

TENANTS = [f"44444444-4444-4444-8444-44444444440{number}" for number in range(2)]
CLIENTS = [f"dddddddd-0000-4000-8000-00000000000{number}" for number in range(2)]
VAULTS = ["fault-a", "fault-b"]
SUBJECT = "organization:7f0f36d9-1c77-4a57-a5b7-4be1e0b0b7ce"
AUDIENCE = "api://AzureADTokenExchange"
SCOPE = "https://vault.azure.net/.default"
QUERY = "?api-version=7.6"
VALUE = "not-a-secret"
ENTRA_TRAILER = r" Trace ID: [0-9a-f-]{36} Correlation ID: [0-9a-f-]{36} Timestamp: \d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ$"


@pytest.fixture(scope="module", autouse=True)
def seeded(entra, keyvault, static_issuer):
    for tenant in TENANTS:
        entra.add_tenant(tenant)
        for client in CLIENTS:
            oid = entra.add_application(tenant, client)
            entra.trust(tenant, client, "good", issuer=static_issuer.url, subject=SUBJECT, audience=AUDIENCE)
    for vault in VAULTS:
        keyvault.add_vault(vault, TENANTS[1])
        keyvault.assign(vault, oid, "Key Vault Secrets User")
        for name in ("one", "two"):
            keyvault.set_secret(vault, name, VALUE)


@pytest.fixture(autouse=True)
def healed(entra, keyvault):
    yield
    entra.heal()
    keyvault.heal()


def fired(*admins):
    return [each["fired"] for admin in admins for each in admin.faults()]


class Wire:
    """One HTTP/1.1 exchange at a time over a connection of its own."""

    def __init__(self, entra, keyvault, issuer, context):
        self.entra, self.keyvault, self.issuer, self.context = entra, keyvault, issuer, context
        self.bearer = ""

    def ask(self, url, method, path, headers, body=None, timeout=10):
        place = urlsplit(url)
        connection = http.client.HTTPSConnection("localhost", place.port, context=self.context, timeout=timeout)
        with contextlib.closing(connection):
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read()

    def token(self, tenant=TENANTS[0], client=CLIENTS[0], timeout=10):
        form = {
            "grant_type": "client_credentials",
            "client_id": client,
            "scope": SCOPE,
            "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            "client_assertion": self.issuer.mint({"sub": SUBJECT, "aud": AUDIENCE}),
        }
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        return self.ask(self.entra.url, "POST", f"/{tenant}/oauth2/v2.0/token", headers, urlencode(form), timeout)

    def secret(self, vault=VAULTS[0], name="one", *, anonymous=False, timeout=10):
        if not self.bearer:
            self.bearer = json.loads(self.token(TENANTS[1], CLIENTS[1])[2])["access_token"]
        headers = {"Host": f"{vault}.vault.azure.net"}
        if not anonymous:
            headers["Authorization"] = f"Bearer {self.bearer}"
        return self.ask(self.keyvault.url, "GET", f"/secrets/{name}{QUERY}", headers, timeout=timeout)


@pytest.fixture
def wire(entra, keyvault, static_issuer, test_ca):
    return Wire(entra, keyvault, static_issuer, test_ca.client_context())


@pytest.fixture(params=["entra", "keyvault"])
def ask(request, wire):
    """The same fault object on either emulator: ``ask.fault(act)`` sets it, ``ask()`` meets it."""
    if request.param == "keyvault":
        wire.secret()

    def ask(timeout=10):
        return wire.token(timeout=timeout) if request.param == "entra" else wire.secret(timeout=timeout)

    ask.admin = wire.entra if request.param == "entra" else wire.keyvault
    realm, name = (TENANTS[0], CLIENTS[0]) if request.param == "entra" else (VAULTS[0], "one")
    ask.fault = lambda act, **options: ask.admin.add_fault(act, **{"realm": realm, "name": name, **options})
    return ask


@pytest.mark.parametrize(
    ("act", "error"),
    [
        (acts.reset(), ConnectionResetError),
        # Python's TLS takes a reset between two records for the end; the next test looks below it.
        (acts.reset(after_headers=True), (ConnectionResetError, http.client.IncompleteRead)),
        (acts.truncated(), http.client.IncompleteRead),
        (acts.garbage(), http.client.BadStatusLine),
    ],
    ids=["reset", "reset-after-headers", "truncated", "garbage"],
)
def test_a_spoilt_connection(ask, act, error):
    ask.fault(act, times=1)
    with pytest.raises(error):
        ask()
    assert ask()[0] == 200


@pytest.mark.parametrize("after_headers", [False, True])
def test_a_reset_is_a_reset_on_the_wire(wire, after_headers):
    wire.entra.fault(acts.reset(after_headers=after_headers), operation="keys")
    plain = socket.create_connection(("127.0.0.1", urlsplit(wire.entra.url).port), timeout=5)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    secure = wire.context.wrap_bio(incoming, outgoing, server_hostname="localhost")

    def pump(step):
        while True:
            try:
                return step()
            except ssl.SSLWantReadError:
                plain.sendall(outgoing.read())
                received = plain.recv(65536)
                assert received, "the connection was closed in good order"
                incoming.write(received)

    with plain:
        pump(secure.do_handshake)
        secure.write(b"GET /common/discovery/v2.0/keys HTTP/1.1\r\nHost: localhost\r\n\r\n")
        read = pump(lambda: secure.read(65536)) if after_headers else b""
        with pytest.raises(ConnectionResetError):
            pump(lambda: secure.read(65536))
    assert read.startswith(b"HTTP/1.1 200 OK\r\n" if after_headers else b"")
    assert bool(read) == after_headers


def test_a_hanging_request_is_never_answered_and_is_reset_when_the_fault_is_removed(ask):
    fault = ask.fault(acts.hang())
    with pytest.raises(TimeoutError):
        ask(timeout=0.5)

    async def hang_and_heal():
        hanging = asyncio.create_task(asyncio.to_thread(ask, 10))
        assert await asyncio.to_thread(eventually, lambda: fired(ask.admin) == [2], "the request")
        assert not hanging.done()
        await asyncio.to_thread(ask.admin.heal, fault)
        with pytest.raises((ConnectionResetError, http.client.RemoteDisconnected)):
            await asyncio.wait_for(hanging, 9)

    asyncio.run(hang_and_heal())
    assert ask()[0] == 200


def test_a_slow_answer_is_the_natural_one(ask):
    ask.fault(acts.slow(0.6), times=1)
    begin = time.monotonic()
    assert ask()[0] == 200
    assert 0.6 <= time.monotonic() - begin < 5


def test_a_dripping_answer_outlives_every_single_read(ask):
    ask.fault({**acts.drip(0.01), "status": 200, "body": {"value": "x" * 40}}, times=1)
    begin = time.monotonic()
    assert json.loads(ask(timeout=0.3)[2]) == {"value": "x" * 40}
    assert time.monotonic() - begin > 0.4


def test_an_oversized_answer_is_json_and_does_not_say_how_long_it_is(ask):
    ask.fault(acts.oversized(2 * 1024 * 1024), times=1)
    status, headers, body = ask()
    assert (status, headers["Content-Length"], headers["Transfer-Encoding"]) == (200, None, "chunked")
    assert len(body) > 2 * 1024 * 1024
    assert json.loads(body)


@pytest.mark.parametrize(
    ("act", "status", "headers", "body"),
    [
        (
            acts.throttled(),
            429,
            {"Retry-After": None, "Content-Type": "text/plain; charset=utf-8"},
            "Too Many Requests",
        ),
        (acts.throttled(60), 429, {"Retry-After": "60"}, "Too Many Requests"),
        (acts.unavailable(502), 502, {"Content-Type": "text/html"}, "<h1>502 Bad Gateway</h1>"),
        (acts.unavailable(503, retry_after=3), 503, {"Retry-After": "3"}, "503 Service Unavailable"),
        (acts.html(), 200, {"Content-Type": "text/html; charset=utf-8"}, "Sign in to the network"),
        (acts.redirect("https://evil.example/x"), 307, {"Location": "https://evil.example/x"}, ""),
        (acts.answer(500, {"error": {"code": "InternalServerError"}}), 500, {}, '{"error": {"code"'),
        (acts.mislabelled("text/plain"), 200, {"Content-Type": "text/plain"}, "{"),
    ],
    ids=["429", "429-retry-after", "502-html", "503-retry-after", "200-html", "redirect", "500-json", "mislabelled"],
)
def test_a_written_answer(ask, act, status, headers, body):
    ask.fault(act, times=1)
    found = ask()
    assert (found[0], {name: found[1][name] for name in headers}) == (status, headers)
    assert body in found[2].decode()
    assert ask()[0] == 200


def test_a_fault_happens_to_its_realm_and_name_only(wire):
    wire.secret()
    wire.entra.fault(acts.throttled(), tenant=TENANTS[0].upper(), client=CLIENTS[0])
    wire.keyvault.fault(acts.throttled(), vault=VAULTS[0], secret="ONE")
    tokens = [wire.token(tenant, client)[0] for tenant in TENANTS for client in CLIENTS]
    secrets = [wire.secret(vault, name)[0] for vault in VAULTS for name in ("one", "two")]
    assert (tokens, secrets) == ([429, 200, 200, 200], [429, 200, 200, 200])


def test_a_fault_without_a_realm_happens_to_all_and_one_of_an_operation_to_that_only(wire):
    wire.entra.fault(acts.unavailable(), operation="metadata")
    metadata = f"/{TENANTS[0]}/v2.0/.well-known/openid-configuration"
    assert wire.ask(wire.entra.url, "GET", metadata, {})[0] == 503
    assert {wire.token(tenant)[0] for tenant in TENANTS} == {200}
    wire.entra.fault(acts.unavailable())
    assert {wire.token(tenant)[0] for tenant in TENANTS} == {503}


def test_a_fault_happens_so_many_times_and_is_counted(ask):
    fault = ask.fault(acts.throttled(), times=2)
    assert [ask()[0] for _ in range(4)] == [429, 429, 200, 200]
    assert [(each["id"], each["fired"], each["times"]) for each in ask.admin.faults()] == [(fault, 2, 2)]


def test_a_probability_is_repeatable_by_its_seed(ask):
    rows = []
    for seed in (7, 7, 8):
        fault = ask.fault(acts.throttled(), probability=0.5, seed=seed)
        rows.append([ask()[0] for _ in range(12)])
        ask.admin.heal(fault)
    assert rows[0] == rows[1] != rows[2]
    assert set(rows[0]) == {200, 429}


def test_the_first_fault_that_happens_decides_and_healing_one_leaves_the_other(ask):
    first = ask.fault(acts.throttled())
    ask.fault(acts.unavailable())
    assert ask()[0] == 429
    ask.admin.heal(first)
    assert ask()[0] == 503


def test_a_request_that_a_fault_answered_is_in_the_journal(ask):
    ask.admin.forget_requests()
    fault = ask.fault(acts.throttled(), times=1)
    ask()
    assert [(entry["outcome"], entry["status"]) for entry in ask.admin.requests()] == [(fault, 429)]


@pytest.mark.parametrize(
    "fault",
    [
        {"realmm": "x"},
        {"transport": "explode"},
        {"code": "1"},
        {"code": "AADSTS700213"},
        {"probability": 0},
        {"times": 0},
        {"delay": "1"},
        {"status": "200"},
        {"code": "700213", "body": "x"},
    ],
    ids=str,
)
def test_a_fault_that_cannot_be_is_refused(ask, fault):
    with pytest.raises(AdminError, match="HTTP 400"):
        ask.admin.call("POST", "faults", fault)
    assert ask.admin.faults() == []


def test_the_process_tells_its_cpu_time(ask):
    before = ask.admin.cpu_seconds()
    for _ in range(5):
        ask()
    assert 0 < ask.admin.cpu_seconds() - before < 5


def test_the_table_has_every_code_that_is_known_of_workload_identities(entra, keyvault):
    assert {row["code"] for row in entra.codes()} >= {
        700211, 700212, 700213, 7002138, 7002131, 7002137, 70021, 70025, 7000226, 700222, 700226, 700227, 700229, 700233,
        700234, 700235, 700236, 700237, 7002241, 70022204, 7002381, 50166, 501661, 90061, 7000272, 7000274, 50027, 5002723,
        5002727, 5002738, 90014, 700024, 700021, 700027, 50013, 700016, 7000229, 7000112, 90002, 900023, 900144, 7000216,
        7000218, 7000215, 7000222, 70011, 1002012, 1002016, 700022, 28002, 70003, 500011, 650057, 53003, 50034, 90055,
        50196, 90006, 90033, 90024, 90012, 900382, 900432, 90038, 900439, 900440,
    }  # fmt: skip
    assert {row["code"] for row in keyvault.codes()} >= {
        "AKV10000", "AKV10022", "AKV10032", "AKV10046", "TokenExpired", "ForbiddenByRbac", "AccessDenied",
        "ForbiddenByPolicy", "ForbiddenByFirewall", "ForbiddenByConnection", "SecretDisabled", "SecretNotFound",
        "ObjectIsDeletedButRecoverable", "ObjectIsBeingDeleted", "Throttled", "BadParameter", "BadArgument",
    }  # fmt: skip


def test_every_code_of_entra_can_be_provoked_by_its_number(wire):
    listed = wire.entra.codes()
    assert len({row["code"] for row in listed}) >= 60
    for row in listed:
        wire.entra.fault(acts.code(row["code"], variant=row["variant"]), tenant=TENANTS[0], times=1)
        status, headers, raw = wire.token()
        body = json.loads(raw)
        assert (status, body["error"], body["error_codes"][0]) == (row["status"], row["error"], row["code"])
        assert body["error_description"].startswith(f"AADSTS{row['code']}: ")
        assert "{" not in body["error_description"]
        assert headers["x-ms-request-id"] == body["trace_id"]


def test_every_code_of_key_vault_can_be_provoked_by_its_name(wire):
    listed = wire.keyvault.codes()
    assert len({row["code"] for row in listed}) >= 18
    for row in listed:
        wire.keyvault.fault(acts.code(row["code"], variant=row["variant"]), vault=VAULTS[0], times=1)
        status, headers, raw = wire.secret()
        error = json.loads(raw)["error"]
        named = error.get("innererror", {}).get("code") or error["code"]
        known = row["code"] in (named, error["message"][:8]) or row["status"] == 401
        assert (status, known) == (row["status"], True), error
        assert (headers["WWW-Authenticate"] is not None) == (status == 401)


# Verbatim, a second time on purpose: what the table of the emulator says is what the service was seen to say.
@pytest.mark.parametrize(
    ("code", "status", "error", "text"),
    [
        (70021, 400, "invalid_request",
         "No matching federated identity record found for presented assertion. Assertion Issuer: '{issuer}'. Assertion "
         "Subject: '{subject}'. Assertion Audience: 'api://AzureADTokenExchange'. "
         "https://docs.microsoft.com/en-us/azure/active-directory/develop/workload-identity-federation"),
        (90061, 400, "invalid_request", "Request to External OIDC endpoint failed."),
        (7002381, 401, "invalid_client",
         "Federated identity credentials issued by '{issuer}' for applications or managed identities registered in this "
         "tenant must contain the enterprise claim with value 'microsoft', 'github' or 'microsoftopensource' but actual "
         "value is ''."),
        (700021, 401, "invalid_client",
         "Client assertion application identifier doesn't match 'client_id' parameter. Review the documentation at "
         "https://docs.microsoft.com/azure/active-directory/develop/active-directory-certificate-credentials ."),
        (700236, 401, "invalid_client",
         "Entra ID tokens issued by issuer '{issuer}' may not be used for federated identity credential flows for "
         "applications or managed identities registered in this tenant."),
    ],
    ids=lambda value: str(value) if isinstance(value, int) else "",
)  # fmt: skip
def test_a_scripted_code_has_the_text_of_its_capture(wire, static_issuer, code, status, error, text):
    wire.entra.fault(acts.code(code), tenant=TENANTS[0], times=1)
    found, _, raw = wire.token()
    body = json.loads(raw)
    description = body["error_description"].removeprefix(f"AADSTS{code}: ")
    wanted = text.format(issuer=static_issuer.url, subject=SUBJECT)
    assert (found, body["error"], description[: len(wanted)]) == (status, error, wanted)
    trailer = ENTRA_TRAILER.replace(" Trace", r"\r\nTrace").replace(" Corr", r"\r\nCorr").replace(" Time", r"\r\nTime")
    assert re.fullmatch(trailer if code == 70021 else ENTRA_TRAILER, description[len(wanted) :])


def test_bodies_of_2024_have_no_error_uri(wire):
    bodies = {}
    for code in (700211, 700212, 700213, 50166, 90061, 1002012, 70011):
        wire.entra.fault(acts.code(code), tenant=TENANTS[0], times=1)
        bodies[code] = json.loads(wire.token()[2])
    assert [code for code, body in bodies.items() if "error_uri" in body] == [700213]


def test_a_code_may_have_headers_and_another_status(wire):
    wire.entra.fault(acts.code(90055, status=503, headers={"Retry-After": "7"}), tenant=TENANTS[0])
    status, headers, _ = wire.token()
    assert (status, headers["Retry-After"]) == (503, "7")


def test_a_code_spares_the_first_request_without_a_token(wire):
    wire.keyvault.fault(acts.code("ForbiddenByConnection"), vault=VAULTS[0])
    assert (wire.secret(anonymous=True)[0], wire.secret()[0]) == (401, 403)
    wire.keyvault.heal()
    wire.keyvault.fault(acts.code("Throttled"), vault=VAULTS[0])
    assert (wire.secret(anonymous=True)[0], wire.secret()[0]) == (429, 429)


def test_hanging_tenants_and_vaults_do_not_slow_others_down(wire, capsys):
    wire.secret()

    def slowest():
        times = []
        for _ in range(30):
            begin = time.perf_counter()
            assert (wire.token(TENANTS[1])[0], wire.secret(VAULTS[1])[0]) == (200, 200)
            times.append(time.perf_counter() - begin)
        return sorted(times)[-2]

    quiet = slowest()
    wire.entra.fault(acts.hang(), tenant=TENANTS[0])
    wire.keyvault.fault(acts.hang(), vault=VAULTS[0])
    with contextlib.ExitStack() as stack:
        for url, path, host in [
            (wire.entra.url, f"POST /{TENANTS[0]}/oauth2/v2.0/token", "localhost"),
            (wire.keyvault.url, f"GET /secrets/one{QUERY}", f"{VAULTS[0]}.vault.azure.net"),
        ]:
            for _ in range(40):
                plain = stack.enter_context(socket.create_connection(("127.0.0.1", urlsplit(url).port)))
                secure = stack.enter_context(wire.context.wrap_socket(plain, server_hostname="localhost"))
                secure.sendall(f"{path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\n\r\n".encode())
        assert eventually(lambda: fired(wire.entra, wire.keyvault) == [40, 40], "forty requests each")
        beside = slowest()
    with capsys.disabled():
        print(f"\nslowest but one of 30 beside 80 hanging requests: {beside / quiet:.2f} x the same without")
    assert beside < max(5 * quiet, 1)


@pytest.fixture
def sdk(real_names, entra, keyvault, static_issuer):
    """Credential and client of the real SDKs, with few and quick retries."""
    options = {"retry_total": 2, "retry_backoff_factor": 0.01, "connection_timeout": 2, "read_timeout": 0.7}
    credential = ClientAssertionCredential(
        TENANTS[1],
        CLIENTS[1],
        lambda: static_issuer.mint({"sub": SUBJECT, "aud": AUDIENCE}),
        connection_verify=str(entra.ca_file),
        **options,
    )
    client = SecretClient(
        f"https://{VAULTS[0]}.vault.azure.net", credential, connection_verify=str(keyvault.ca_file), **options
    )
    with credential, client:
        yield credential, client


SPOILT = [
    pytest.param(acts.hang(), id="hang"),
    pytest.param(acts.reset(), id="reset"),
    pytest.param(acts.reset(after_headers=True), id="reset-after-headers"),
    pytest.param(acts.truncated(), id="truncated"),
    pytest.param(acts.garbage(), id="garbage"),
    pytest.param(acts.html(), id="html"),
    pytest.param(acts.unavailable(504), id="504"),
    pytest.param(acts.throttled(), id="429"),
    pytest.param(acts.redirect("https://login.windows.net/elsewhere"), id="redirect"),
]


@pytest.mark.parametrize("act", SPOILT)
def test_the_sdks_fail_in_time_and_work_again_afterwards(sdk, entra, keyvault, act):
    credential, client = sdk
    faults = {entra: entra.fault(act, tenant=TENANTS[1]), keyvault: keyvault.fault(act, vault=VAULTS[0])}
    for admin, use in ((entra, lambda: credential.get_token(SCOPE)), (keyvault, lambda: client.get_secret("one"))):
        begin = time.monotonic()
        with pytest.raises((AzureError, ValueError)):
            use()
        assert time.monotonic() - begin < 8
        admin.heal(faults[admin])
    assert client.get_secret("one").value == VALUE


@pytest.mark.parametrize(
    "act",
    [acts.throttled(1), acts.unavailable(503), acts.reset(), acts.code("Throttled", headers={"Retry-After": "1"})],
    ids=["429", "503", "reset", "throttled"],
)
def test_the_sdks_retry_what_passes(sdk, entra, keyvault, act):
    credential, client = sdk
    if "code" not in act:
        entra.fault(act, tenant=TENANTS[1], times=1)
    assert credential.get_token(SCOPE).token
    keyvault.fault(act, vault=VAULTS[0], times=1)
    assert client.get_secret("one").value == VALUE


@pytest.mark.parametrize("code", [70021, 700016, 7000272, 53003, 90002])
def test_the_credential_reports_a_scripted_code(sdk, entra, code):
    entra.fault(acts.code(code), tenant=TENANTS[1])
    with pytest.raises(ClientAuthenticationError, match=f"AADSTS{code}: "):
        sdk[0].get_token(SCOPE)


@pytest.mark.parametrize("code", ["AccessDenied", "ForbiddenByPolicy", "ForbiddenByFirewall", "ForbiddenByConnection"])
def test_the_client_reports_a_scripted_code(sdk, keyvault, code):
    keyvault.fault(acts.code(code), vault=VAULTS[0])
    with pytest.raises(HttpResponseError) as refused:
        sdk[1].get_secret("one")
    assert (refused.value.status_code, refused.value.error.innererror["code"]) == (403, code)


@pytest.mark.parametrize("code", ["SessionRevoked", "InsufficientClaims"])
def test_the_client_answers_a_challenge_for_claims_with_a_new_token(sdk, entra, keyvault, code):
    assert sdk[1].get_secret("one").value == VALUE
    entra.forget_requests()
    keyvault.fault(acts.code(code), vault=VAULTS[0], times=1)
    assert sdk[1].get_secret("one").value == VALUE
    assert [entry["outcome"] for entry in entra.requests()] == ["ok"]


def test_the_client_asks_once_more_when_the_vault_cannot_resolve_a_key(sdk, keyvault):
    assert sdk[1].get_secret("one").value == VALUE
    keyvault.fault(acts.code("AKV10046"), vault=VAULTS[0], times=1)
    assert sdk[1].get_secret("one").value == VALUE
    keyvault.fault(acts.code("AKV10046"), vault=VAULTS[0])
    with pytest.raises(ClientAuthenticationError, match="AKV10046: Unable to resolve the key"):
        sdk[1].get_secret("one")


def test_a_read_that_hangs_is_a_response_error(sdk, keyvault):
    keyvault.fault(acts.hang(), vault=VAULTS[0], authenticated=True)
    with pytest.raises(ServiceResponseError, match=r"[Rr]ead timed out"):
        sdk[1].get_secret("one")


def test_tls_stays_verified_under_faults(wire):
    wire.entra.fault(acts.garbage())
    with (
        socket.create_connection(("127.0.0.1", urlsplit(wire.entra.url).port)) as plain,
        pytest.raises(ssl.SSLCertVerificationError),
    ):
        ssl.create_default_context().wrap_socket(plain, server_hostname="localhost")
