"""A sidecar's parts around a scripted client."""

import base64
import json

import pytest

from wi_operator.agent.grants import GrantCache, GrantSource
from wi_operator.agent.settings import Budgets
from wi_operator.core.clock import SystemClock
from wi_operator.federation.exchange.base import HttpResponse
from wi_operator.federation.hosts import Endpoint

BUDGETS = Budgets(revalidation=0.05, kickoff=0.5, backoff=0.001, backoff_limit=0.002)
ISSUER = Endpoint("issuer.test", 443)


class ScriptedClient:
    """Gives each request to a function; an exception that it returns is raised."""

    def __init__(self):
        self.requests = []
        self.expected = []
        self.script = {}

    async def send(self, request):
        self.requests.append(request)
        answer = self.script[request.endpoint.host](request)
        if hasattr(answer, "__await__"):
            answer = await answer
        if isinstance(answer, Exception):
            raise answer
        return answer

    def connect_soon(self, endpoint):
        self.expected.append(endpoint.host)

    def sent_to(self, host):
        return [request for request in self.requests if request.endpoint.host == host]


def assertion(subject="organization:1", serial=0):
    claims = {"iss": "https://oidc.test", "sub": subject, "aud": "api://AzureADTokenExchange", "jti": serial}
    return "h." + base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=") + ".fake"


def grants_document(credentials=("demo",), *, serial=0, refusals=(), lifetime=3600, **changes):
    config = {"namespace": "team-a", "name": "azure", "uid": "c", "generation": 1, **changes.pop("config", {})}
    azure = {
        "tenantId": "t", "clientId": "app", "authorityHost": "https://login.test", "vaultUrl": "https://demo.vault.test",
        "vaultScope": "https://vault.test/.default", **changes.pop("azure", {}),
    }  # fmt: skip
    grant = {
        "provider": "AzureKeyVault", "config": config, "azure": azure, "assertion": assertion(serial=serial),
        "issuedAt": 1000, "expiresAt": 1000 + lifetime, "hosts": ["login.test", "*.vault.test"],
        **changes.pop("grant", {}),
    }  # fmt: skip
    return {
        "organization": "org", "namespace": "team-a", "fingerprintKey": base64.b64encode(b"k" * 32).decode(),
        "keyEpoch": 1, "grants": [{"credential": name, **grant} for name in credentials], "refusals": list(refusals),
        "caBundle": "", **changes,
    }  # fmt: skip


def ok(document, etag='"1"'):
    return HttpResponse(200, json.dumps(document).encode(), {"etag": etag})


class LeapingClock(SystemClock):
    """The machine's clock, so that deadlines pass, with leaps."""

    ahead = 0.0

    def now(self):
        return super().now() + self.ahead

    def monotonic(self):
        return super().monotonic() + self.ahead

    def advance(self, seconds):
        self.ahead += seconds


@pytest.fixture
def clock():
    return LeapingClock()


@pytest.fixture
def client():
    return ScriptedClient()


@pytest.fixture
def changes():
    return []


@pytest.fixture
def token_file(tmp_path):
    file = tmp_path / "token"
    file.write_text("fake-pod-token\n")
    return file


@pytest.fixture
def cache(client, clock, token_file, changes):
    source = GrantSource(client, ISSUER, token_file=str(token_file), credentials=["demo", "", "demo"], clock=clock)
    return GrantCache(source, clock=clock, budgets=BUDGETS, on_change=changes.append)


@pytest.fixture
def kit():
    """Return this module's builders: test modules cannot import one another."""
    import types

    return types.SimpleNamespace(ok=ok, grants_document=grants_document, BUDGETS=BUDGETS, assertion=assertion)
