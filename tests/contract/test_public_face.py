"""The public documents as a cloud, a proxy and other people's JOSE libraries see them."""

import asyncio
import json
import re
from pathlib import Path

import aiohttp
import joserfc.jwk
import joserfc.jwt
import jwcrypto.jwk
import jwcrypto.jwt
import pytest
from aiohttp.test_utils import TestClient, TestServer
from joserfc.errors import BadSignatureError

from wi_operator.core.clock import FrozenClock, SystemClock
from wi_operator.federation.keys import KeySet, generate_key_set, generate_signing_key
from wi_operator.federation.timetable import KeyEntry, Timetable
from wi_operator.issuer import app as issuer_app
from wi_operator.issuer.app import PublicFace
from wi_operator.issuer.assertions import issue_assertion
from wi_operator.issuer.keyring import Keyring
from wi_operator.issuer.settings import IssuerSettings
from wi_testkit import nginx
from wi_testkit.pki import CertificateAuthority

URL = "https://identity.example.com"
CLOCK = SystemClock()
FIRST = generate_key_set()
SECOND = generate_signing_key()
BOTH = KeySet((FIRST.keys[0], SECOND), FIRST.fingerprint_key)
EXAMPLE = Path(__file__).parents[2] / "examples/issuer/nginx.conf"
DISCOVERY, JWKS = "/.well-known/openid-configuration", "/oauth2/jwks"
AUDIENCE = "api://AzureADTokenExchange"


def ring_of(key_set=BOTH):
    now = CLOCK.now()
    entries = tuple(KeyEntry(key.kid, 0, now - number) for number, key in enumerate(key_set.keys))
    loaded = iter([(key_set, Timetable(entries))])
    ring = Keyring(lambda: next(loaded, None), CLOCK)
    ring.load()
    return ring


def face(url=URL, **settings):
    return PublicFace(IssuerSettings(url, **settings), ring_of(), CLOCK)


@pytest.fixture
async def public():
    async with TestClient(TestServer(face().build_app())) as client:
        yield client


@pytest.mark.parametrize("path", [DISCOVERY, JWKS])
async def test_head_answers_like_get_without_a_body(public, path):
    get, head = await public.get(path), await public.head(path)
    assert (head.status, await head.read()) == (200, b"")
    for name in ("ETag", "Cache-Control", "Content-Type", "Content-Length"):
        assert head.headers[name] == get.headers[name]


@pytest.mark.parametrize("form", ["{}", "W/{}", '"other", {}', "*"])
async def test_a_document_that_is_known_is_not_sent_again(public, form):
    tag = (await public.get(JWKS)).headers["ETag"]
    again = await public.get(JWKS, headers={"If-None-Match": form.format(tag)})
    assert (again.status, again.headers["ETag"]) == (304, tag)
    assert "max-age=300" in again.headers["Cache-Control"]
    other = await public.get(JWKS, headers={"If-None-Match": '"other"'})
    assert other.status == 200


async def test_a_change_of_the_keys_changes_the_tag(public):
    before = (await public.get(JWKS)).headers["ETag"]
    one = PublicFace(IssuerSettings(URL), ring_of(FIRST), CLOCK)
    async with TestClient(TestServer(one.build_app())) as client:
        assert (await client.get(JWKS)).headers["ETag"] != before


async def test_the_ages_are_settings():
    async with TestClient(TestServer(face(discovery_max_age=7, jwks_max_age=9).build_app())) as client:
        ages = [(await client.get(path)).headers["Cache-Control"] for path in (DISCOVERY, JWKS)]
        assert ages == ["public, max-age=7", "public, max-age=9"]


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
async def test_other_methods_are_refused(public, method):
    answer = await public.request(method, JWKS)
    assert (answer.status, answer.headers["Allow"]) == (405, "GET,HEAD")
    assert answer.content_type == "application/problem+json"


async def test_a_path_issuer_is_found_where_rfc_8414_looks_for_it_too():
    async with TestClient(TestServer(face(f"{URL}/tenants/one").build_app())) as client:
        one = await client.get("/tenants/one" + DISCOVERY)
        two = await client.get(DISCOVERY + "/tenants/one")
        assert await one.read() == await two.read()
        assert (await client.get(JWKS)).status == 404


@pytest.mark.attack(twin="test_who_asks_at_the_allowed_rate_is_served")
async def test_who_asks_too_often_is_told_when_to_come_back():
    frozen = FrozenClock()
    limited = PublicFace(IssuerSettings(URL, public_rate=2.0), ring_of(), frozen)
    async with TestClient(TestServer(limited.build_app())) as client:
        statuses = [(await client.get(JWKS)).status for _ in range(12)]
        assert statuses == [200] * 10 + [429] * 2
        refused = await client.get(DISCOVERY)
        assert refused.headers["Retry-After"] == "1"
        assert (await refused.json(content_type=None))["reason"] == "TooManyRequests"
        frozen.advance(5)
        assert (await client.get(JWKS)).status == 200


async def test_who_asks_at_the_allowed_rate_is_served():
    frozen = FrozenClock()
    limited = PublicFace(IssuerSettings(URL, public_rate=2.0), ring_of(), frozen)
    async with TestClient(TestServer(limited.build_app())) as client:
        for _ in range(40):
            assert (await client.get(JWKS)).status == 200
            frozen.advance(0.5)


async def raw(port: int, *chunks: bytes, pause: float = 0.0) -> bytes:
    """Send chunks over a plain connection and return all that comes until the other side closes it."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        for chunk in chunks:
            writer.write(chunk)
            await writer.drain()
            await asyncio.sleep(pause)
        async with asyncio.timeout(5):
            return await reader.read()
    except ConnectionResetError:
        return b""
    finally:
        writer.close()


@pytest.fixture
async def port(monkeypatch):
    monkeypatch.setattr(issuer_app, "IDLE_SECONDS", 1.0)
    runner = await issuer_app.start(face().build_app(), port=0, host="127.0.0.1")
    yield runner.addresses[0][1]
    await runner.cleanup()


GET = b"GET /oauth2/jwks HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


async def test_a_request_in_pieces_is_answered(port):
    assert (await raw(port, GET[:7], GET[7:30], GET[30:], pause=0.05)).startswith(b"HTTP/1.1 200")


@pytest.mark.attack(twin="test_a_request_in_pieces_is_answered")
async def test_who_trickles_a_request_is_cut_off_and_others_are_served(port):
    slow = asyncio.create_task(raw(port, *[bytes([byte]) for byte in GET[:30]], pause=0.1))
    assert (await raw(port, GET)).startswith(b"HTTP/1.1 200")
    assert await slow == b""


@pytest.mark.parametrize(
    "more",
    [b"?" + b"a" * 4_000 + b" HTTP/1.1\r\n", b" HTTP/1.1\r\nX: " + b"a" * 4_000 + b"\r\n",
     b" HTTP/1.1\r\n" + b"".join(b"X%d: y\r\n" % n for n in range(50))],
)  # fmt: skip
async def test_a_large_request_within_the_bounds_is_answered(port, more):
    request = b"GET /oauth2/jwks" + more + b"Host: x\r\nConnection: close\r\n\r\n"
    assert (await raw(port, request)).startswith(b"HTTP/1.1 200")


@pytest.mark.attack(twin="test_a_large_request_within_the_bounds_is_answered")
@pytest.mark.parametrize(
    "request_bytes",
    [
        b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /oauth2/jwks HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 70_000 + b"\r\n\r\n",
        b"GET /oauth2/jwks HTTP/1.1\r\nHost: x\r\n" + b"".join(b"X%d: y\r\n" % n for n in range(500)) + b"\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    ],
)
async def test_an_oversized_or_garbled_request_is_refused(port, request_bytes):
    answer = await raw(port, request_bytes)
    assert answer.startswith((b"HTTP/1.1 4", b"HTTP/1.0 4")), answer[:200]
    assert (await raw(port, GET)).startswith(b"HTTP/1.1 200")


async def test_pipelined_requests_are_answered_in_order(port):
    known = b"GET /oauth2/jwks HTTP/1.1\r\nHost: x\r\n\r\n"
    answer = await raw(port, known + b"GET /v1/grants HTTP/1.1\r\nHost: x\r\n\r\n" + GET)
    statuses = re.findall(rb"HTTP/1\.1 (\d+)", answer)
    assert statuses == [b"200", b"404", b"200"]


@pytest.mark.attack(twin="test_pipelined_requests_are_answered_in_order")
async def test_a_smuggled_request_is_not_answered(port):
    both = b"POST /oauth2/jwks HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    refused = await raw(port, both + GET)
    assert refused.startswith((b"HTTP/1.1 400", b"HTTP/1.0 400"))
    assert b'"keys"' not in refused


async def fetch(public):
    discovery = await (await public.get(DISCOVERY)).json()
    assert discovery["jwks_uri"] == URL + JWKS
    return await (await public.get(JWKS)).text()


def minted(key):
    claims, token = issue_assertion(
        key, issuer=URL, organization="o", audience=AUDIENCE, now=CLOCK.now(), lifetime=300, purpose="test"
    )
    return claims, token.reveal()


async def test_joserfc_accepts_documents_and_tokens(public):
    keys = joserfc.jwk.KeySet.import_key_set(json.loads(await fetch(public)))
    rules = {name: {"essential": True, "value": value} for name, value in (("iss", URL), ("aud", AUDIENCE))}
    for key in BOTH.keys:
        claims, text = minted(key)
        token = joserfc.jwt.decode(text, keys, algorithms=["RS256"])
        joserfc.jwt.JWTClaimsRegistry(**rules, sub={"essential": True}, exp={"essential": True}).validate(token.claims)
        assert token.claims == claims.render()
        assert token.header == {"alg": "RS256", "kid": key.kid, "typ": "JWT"}
        assert keys.get_by_kid(key.kid).thumbprint() == key.kid


@pytest.mark.attack(twin="test_joserfc_accepts_documents_and_tokens")
async def test_joserfc_refuses_a_token_of_a_stranger_under_our_kid(public):
    keys = joserfc.jwk.KeySet.import_key_set(json.loads(await fetch(public)))
    stranger = joserfc.jwk.RSAKey.generate_key(2048)
    forged = joserfc.jwt.encode({"alg": "RS256", "kid": SECOND.kid}, {"iss": URL}, stranger)
    with pytest.raises(BadSignatureError):
        joserfc.jwt.decode(forged, keys, algorithms=["RS256"])
    assert joserfc.jwt.decode(minted(SECOND)[1], keys, algorithms=["RS256"])


async def test_jwcrypto_accepts_documents_and_tokens(public):
    keys = jwcrypto.jwk.JWKSet.from_json(await fetch(public))
    for key in BOTH.keys:
        claims, text = minted(key)
        token = jwcrypto.jwt.JWT(jwt=text, key=keys, algs=["RS256"], check_claims={"iss": URL, "aud": AUDIENCE})
        assert json.loads(token.claims) == claims.render()
        assert keys.get_key(key.kid).thumbprint() == key.kid


@pytest.fixture
async def behind_nginx(port, tmp_path):
    """The example of the documentation, with this test's addresses."""
    authority = CertificateAuthority()
    authority.issue(["identity.example.com"]).write(tmp_path / "tls")
    listening = port + 1 if port < 65000 else port - 1
    text = EXAMPLE.read_text()
    for old, new in (
        ("listen 443 ssl", f"listen 127.0.0.1:{listening} ssl"),
        ("http://wi-issuer.wi-system.svc", f"http://127.0.0.1:{port}"),
        ("/etc/nginx/tls", str(tmp_path / "tls")),
        ("/var/cache/nginx/issuer", str(tmp_path / "cache")),
    ):
        assert old in text
        text = text.replace(old, new)
    (tmp_path / "site.conf").write_text(text)
    with nginx.serve(tmp_path / "site.conf", tmp_path):
        yield f"https://127.0.0.1:{listening}", authority.client_context()


async def test_debians_nginx_passes_both_documents_and_nothing_else(behind_nginx):
    origin, trust = behind_nginx
    options = {"ssl": trust, "server_hostname": "identity.example.com"}
    async with aiohttp.ClientSession() as session:
        for path in (DISCOVERY, JWKS):
            async with session.get(origin + path, **options) as answer:
                assert answer.status == 200, await answer.text()
                assert (await answer.json())["issuer" if path == DISCOVERY else "keys"]
                tag, age = answer.headers["ETag"], answer.headers["Cache-Control"]
            assert "max-age=" in age
            async with session.get(origin + path, headers={"If-None-Match": tag}, **options) as again:
                assert again.status == 304
            async with session.head(origin + path, **options) as head:
                assert (head.status, head.headers["ETag"]) == (200, tag)
        for path in ("/", "/v1/grants", "/v1/handshakes", "/oauth2/", "/.well-known/other"):
            async with session.get(origin + path, **options) as answer:
                assert answer.status == 404
