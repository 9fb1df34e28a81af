"""The promise: kickoffs of running pods go on for twelve minutes without issuer or API server, at the worst moment, as set."""

import json

import pytest

from wi_kickoff.wire import Field
from wi_operator.agent import grant_set
from wi_operator.agent.client import TransportError
from wi_operator.agent.declaration import parse_declaration
from wi_operator.agent.kickoff import Kickoffs, Services
from wi_operator.agent.retry import Deadline
from wi_operator.agent.tokens import TokenCache
from wi_operator.federation.diagnosis.transport import Failure
from wi_operator.federation.exchange.base import HttpResponse
from wi_operator.federation.hosts import Endpoint
from wi_operator.settings import CommonSettings

PROMISED = 12 * 60.0
STEP = 10.0
GRANT_SECONDS = CommonSettings.model_fields["grant_seconds"].default
DOWN = TransportError(Failure.UNREACHABLE, Endpoint("issuer.test", 443), "ECONNREFUSED")
NO_API_SERVER = HttpResponse(
    503, json.dumps({"reason": "KubernetesUnavailable", "detail": "d.", "remedy": "r."}).encode()
)


class Pod:
    """A sidecar on the installation's own durations; the cloud takes an assertion until it ends, and not longer."""

    def __init__(self, client, cache, clock, kit):
        self.client, self.cache, self.clock, self.kit = client, cache, clock, kit
        self.minted_at, self.value = clock.now(), 0
        client.script["issuer.test"] = self.mint
        client.script["login.test"] = self.exchange
        client.script["demo.vault.test"] = self.read
        entries = [{"name": "A", "reference": "secret://demo/a"}]
        declaration = parse_declaration(json.dumps({"version": 1, "containers": {"app": {"entries": entries}}}))
        tokens = TokenCache(lambda: client, clock=clock, budgets=kit.BUDGETS)
        self.kickoffs = Kickoffs(declaration, Services(cache, tokens, lambda: client, clock, kit.BUDGETS))

    def mint(self, _):
        self.minted_at = self.clock.now()
        return self.kit.ok(self.kit.grants_document(lifetime=GRANT_SECONDS))

    def exchange(self, _):
        if self.clock.now() >= self.minted_at + GRANT_SECONDS:
            return HttpResponse(401, b'{"error":"invalid_client","error_codes":[700024]}')
        return HttpResponse(200, b'{"access_token":"fake-token","expires_in":3599}')

    def read(self, _):
        self.value += 1
        return HttpResponse(200, json.dumps({"value": f"fake-{self.value}"}).encode())

    async def kick(self):
        """Return whether a kickoff got the value of this very moment."""
        reply = await self.kickoffs.run("app", "hook", Deadline.after(self.clock, self.kit.BUDGETS.kickoff))
        return reply.ok and Field("v", f"A=fake-{self.value}") in reply.fields


@pytest.fixture
def pod(client, cache, clock, kit):
    return Pod(client, cache, clock, kit)


@pytest.mark.parametrize("chance", [b"\x00", b"\xff"])
@pytest.mark.parametrize("outage", [DOWN, NO_API_SERVER], ids=["issuer", "api-server"])
async def test_an_outage_of_twelve_minutes_costs_no_kickoff(pod, monkeypatch, chance, outage):
    monkeypatch.setattr(grant_set.os, "urandom", lambda size: chance * size)
    assert await pod.kick()
    renewal = (await pod.cache.refresh()).renew_at
    pod.clock.advance(renewal - pod.clock.now() - 1.0)  # a second later the sidecar would hold a new grant
    pod.client.script["issuer.test"] = lambda _: outage
    began = pod.clock.now()
    while pod.clock.now() < began + PROMISED:
        assert await pod.kick(), f"after {pod.clock.now() - began:.0f} s"
        pod.clock.advance(STEP)
    assert await pod.kick(), "the last moment of the promise"
    # What is held ends with its life: the promise rests on nothing that would not end.
    pod.clock.advance(pod.minted_at + GRANT_SECONDS - pod.clock.now())
    assert not await pod.kick()


async def test_a_sidecar_is_back_as_soon_as_the_issuer_is(pod):
    assert await pod.kick()
    pod.clock.advance(GRANT_SECONDS)
    pod.client.script["issuer.test"] = lambda _: DOWN
    assert not await pod.kick()
    pod.client.script["issuer.test"] = pod.mint
    assert await pod.kick()
