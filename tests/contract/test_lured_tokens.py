"""A vault that tries to lead the controller's token elsewhere: redirect, challenge, next page. Nobody there is ever called."""

import contextlib

import aiohttp
import pytest
from aiohttp import web
from azure.core.credentials import AccessToken, AccessTokenInfo
from azure.keyvault.secrets._shared import http_challenge_cache

from wi_operator.federation.diagnosis.base import DiagnosedError
from wi_operator.federation.diagnosis.keyvault import diagnose as diagnose_vault
from wi_operator.federation.hosts import parse_endpoint
from wi_operator.vaults.azure_sdk import VaultClient
from wi_testkit.static_issuer import server_context

TENANT = "11111111-2222-4333-8444-555555555555"
SCOPE = "https://vault.azure.net/.default"
ITEM = {"id": "https://demo.vault.azure.net/secrets/a", "attributes": {"enabled": True}}


class Credential:
    """Gives a token, and remembers for what it was asked."""

    def __init__(self):
        self.asked = []

    async def get_token(self, *scopes, tenant_id=None, **_):
        self.asked.append((scopes, tenant_id))
        return AccessToken("planted-cloud-token", 4_000_000_000)

    async def get_token_info(self, *scopes, options=None):
        self.asked.append((scopes, (options or {}).get("tenant_id")))
        return AccessTokenInfo("planted-cloud-token", 4_000_000_000)

    async def close(self):
        """Nothing to close."""


class Vault:
    """Answers with a challenge until it is asked with a token, then with ``script``."""

    def __init__(self, attacker):
        self.attacker, self.tokens = attacker, []
        self.resource, self.authority = "https://vault.azure.net", f"https://login.windows.net/{TENANT}"
        self.answer = lambda request: web.json_response({"value": [ITEM], "nextLink": None})

    async def serve(self, request):
        token = request.headers.get("Authorization", "")
        if not token:
            challenge = f'Bearer authorization="{self.authority}", resource="{self.resource}"'
            return web.json_response(
                {"error": {"code": "Unauthorized"}}, status=401, headers={"WWW-Authenticate": challenge}
            )
        self.tokens.append(token)
        return self.answer(request)


@contextlib.asynccontextmanager
async def listening(handler, tls):
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
    await site.start()
    yield runner.addresses[0][1]
    await runner.cleanup()


@pytest.fixture
async def attacker(test_ca, tls):
    """Somebody whose certificate is as good as any; ``heard`` is what they were told."""
    heard = []

    async def hear(request):
        heard.append((request.path, request.headers.get("Authorization")))
        return web.json_response({"value": [ITEM], "nextLink": None})

    async with listening(hear, tls) as port:
        yield "https://attacker.vault.azure.net", heard, port


@pytest.fixture
def tls(test_ca):
    return server_context(test_ca, "*.vault.azure.net")


class Loopback(aiohttp.abc.AbstractResolver):
    """Names lead to ports of this machine, so that both vaults have their real names and port 443."""

    def __init__(self, **ports):
        self.ports = ports

    async def resolve(self, host, port=0, family=0):
        found = self.ports[host.partition(".")[0]]
        return [{"hostname": host, "host": "127.0.0.1", "port": found, "family": 2, "proto": 0, "flags": 0}]

    async def close(self):
        """Nothing to close."""


@pytest.fixture
async def lab(test_ca, tls, attacker):
    vault, credential = Vault(attacker[0]), Credential()
    http_challenge_cache.clear()
    async with listening(vault.serve, tls) as port:
        resolver = Loopback(demo=port, attacker=attacker[2])
        connector = aiohttp.TCPConnector(ssl=test_ca.client_context(), resolver=resolver)
        async with aiohttp.ClientSession(connector=connector) as session:
            endpoint = parse_endpoint("https://demo.vault.azure.net")
            facts = {"client_id": "c", "tenant_id": TENANT, "scope": SCOPE}
            client = VaultClient(endpoint, credential, session, lambda error: diagnose_vault(0, b""), facts)
            yield client, vault, credential


@pytest.fixture(autouse=True)
async def twin(lab, attacker):
    """The honest vault is read before each attack, and after it nobody else has heard anything."""
    client, vault, _ = lab
    assert (await client.list_names(200)).names == ("a",)
    assert vault.tokens == ["Bearer planted-cloud-token"]
    yield
    assert attacker[1] == []


async def test_the_vaults_own_answer_is_read(lab):
    client, vault, _ = lab
    other = {"id": "https://demo.vault.azure.net/secrets/b", "attributes": {"enabled": True}}
    vault.answer = lambda request: web.json_response({"value": [ITEM, other], "nextLink": None})
    assert (await client.list_names(200)).names == ("a", "b")


async def test_a_next_page_on_the_vaults_own_host_is_read(lab):
    client, vault, _ = lab
    more = {"id": "https://demo.vault.azure.net/secrets/b", "attributes": {"enabled": True}}
    pages = {"1": ([ITEM], "https://demo.vault.azure.net/secrets?x=2"), "2": ([more], None)}

    def answer(request):
        items, link = pages[request.query.get("x", "1")]
        return web.json_response({"value": items, "nextLink": link})

    vault.answer = answer
    assert (await client.list_names(200)).names == ("a", "b")


async def ask_afresh(client, credential):
    """Let a client that knows no challenge yet read the names; return for what a token was asked."""
    fresh = VaultClient(client.endpoint, credential, client.session, client.judge_token, client.facts)
    http_challenge_cache.clear()
    asked = len(credential.asked)
    try:
        await fresh.list_names(200)
    finally:
        http_challenge_cache.clear()
    return credential.asked[asked:]


async def test_a_challenge_of_the_vaults_own_service_is_answered(lab):
    client, _, credential = lab
    assert await ask_afresh(client, credential)


async def refused(client):
    with pytest.raises(DiagnosedError):
        await client.list_names(200)


@pytest.mark.attack(twin="test_a_next_page_on_the_vaults_own_host_is_read")
async def test_a_next_page_on_another_host(lab, attacker):
    client, vault, _ = lab
    vault.answer = lambda request: web.json_response({"value": [ITEM], "nextLink": f"{attacker[0]}/secrets?x=1"})
    await refused(client)


@pytest.mark.attack(twin="test_the_vaults_own_answer_is_read")
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_to_another_host(lab, attacker, status):
    client, vault, _ = lab
    vault.answer = lambda request: web.Response(status=status, headers={"Location": f"{attacker[0]}/secrets"})
    await refused(client)


@pytest.mark.attack(twin="test_a_challenge_of_the_vaults_own_service_is_answered")
async def test_a_challenge_that_asks_for_a_token_of_another_service(lab):
    client, vault, credential = lab
    vault.resource = "https://graph.microsoft.com"
    before = list(credential.asked)
    with pytest.raises(DiagnosedError):
        await ask_afresh(client, credential)
    assert credential.asked == before
