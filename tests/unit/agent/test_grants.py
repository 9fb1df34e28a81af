"""Holding, revalidating and dropping grants."""

import asyncio
import json
import logging

import pytest

from wi_operator.agent.client import TransportError
from wi_operator.agent.grant_set import UnreadableGrantsError, read_grants
from wi_operator.agent.retry import Deadline
from wi_operator.federation.diagnosis.base import DiagnosedError
from wi_operator.federation.diagnosis.transport import Failure
from wi_operator.federation.exchange.base import HttpResponse
from wi_operator.federation.hosts import Endpoint

NOT_MODIFIED = HttpResponse(304)
DOWN = TransportError(Failure.UNREACHABLE, Endpoint("issuer.test", 443), "ECONNREFUSED")
UNTRUSTED = TransportError(Failure.TLS, Endpoint("issuer.test", 443), "self-signed certificate")


def problem(status, reason="ServiceAccountNotAllowed", **headers):
    return HttpResponse(status, json.dumps({"reason": reason, "detail": "d.", "remedy": "r."}).encode(), headers)


@pytest.fixture
def issue(client, kit):
    """Set what the issuer answers next; the last answer stays."""

    def script(*answers):
        left = list(answers)
        client.script["issuer.test"] = lambda _: left.pop(0) if len(left) > 1 else left[0]

    script(kit.ok(kit.grants_document()))
    return script


@pytest.fixture
def revalidate(cache, clock, kit):
    return lambda: cache.revalidate(Deadline.after(clock, kit.BUDGETS.kickoff))


async def test_the_request_has_the_token_and_the_credentials_alone(issue, revalidate, client):
    await revalidate()
    request = client.requests[0]
    assert (request.method, request.target, json.loads(request.body)) == (
        "POST",
        "/v1/grants",
        {"credentials": ["", "demo"]},
    )
    assert dict(request.headers)["authorization"] == "Bearer fake-pod-token"
    assert "if-none-match" not in dict(request.headers)


async def test_the_token_is_read_anew_every_time(issue, revalidate, client, token_file):
    await revalidate()
    token_file.write_text("fake-rotated")
    await revalidate()
    assert dict(client.requests[1].headers)["authorization"] == "Bearer fake-rotated"


async def test_unchanged_grants_are_kept(issue, revalidate, client, kit, changes):
    issue(kit.ok(kit.grants_document()), NOT_MODIFIED)
    first = await revalidate()
    assert await revalidate() is first
    assert dict(client.requests[1].headers)["if-none-match"] == '"1"'
    assert changes == [first]


async def test_changed_grants_replace_the_held_ones(issue, revalidate, kit, changes):
    issue(kit.ok(kit.grants_document()), kit.ok(kit.grants_document(organization="other"), '"2"'))
    await revalidate()
    assert (await revalidate()).organization == "other"
    assert len(changes) == 2


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 410])
async def test_a_refusal_drops_at_once(issue, revalidate, kit, changes, status):
    issue(kit.ok(kit.grants_document()), problem(status), DOWN)
    await revalidate()
    with pytest.raises(DiagnosedError, match="ServiceAccountNotAllowed"):
        await revalidate()
    assert changes[-1] is None
    with pytest.raises(DiagnosedError, match="IssuerUnreachable"):
        await revalidate()


@pytest.mark.parametrize(
    "answer",
    [DOWN, UNTRUSTED, problem(429), problem(500), problem(503), HttpResponse(302), HttpResponse(200, b"<html>")],
)
async def test_without_a_verdict_held_grants_are_used_and_logged(issue, revalidate, kit, caplog, answer):
    issue(kit.ok(kit.grants_document()), answer)
    held = await revalidate()
    with caplog.at_level(logging.WARNING):
        assert await revalidate() is held
    assert caplog.messages == ["stale grant"]


async def test_a_slow_issuer_costs_a_kickoff_its_revalidation_budget_only(issue, revalidate, kit, client):
    held = await revalidate()
    client.script["issuer.test"] = lambda _: asyncio.sleep(30)
    assert await asyncio.wait_for(revalidate(), 1) is held


async def test_an_unreadable_token_is_no_verdict(issue, revalidate, token_file):
    held = await revalidate()
    token_file.unlink()
    assert await revalidate() is held


async def test_expired_grants_are_not_used(issue, revalidate, kit, clock):
    issue(kit.ok(kit.grants_document()), DOWN)
    await revalidate()
    clock.advance(3600)
    with pytest.raises(DiagnosedError, match="IssuerUnreachable"):
        await revalidate()


@pytest.mark.parametrize(("age", "conditional"), [(2510, True), (2850, False)])
async def test_after_four_fifths_of_their_life_grants_are_minted_anew(
    issue, revalidate, clock, client, age, conditional
):
    await revalidate()
    clock.advance(age)
    await revalidate()
    assert ("if-none-match" in dict(client.requests[1].headers)) is conditional


def test_pods_that_started_together_do_not_renew_together(kit):
    body = json.dumps(kit.grants_document()).encode()
    parts = {round((read_grants(body, etag="", now=0.0).renew_at) / 3600, 3) for _ in range(200)}
    assert 0.7 <= min(parts) < 0.72
    assert 0.77 < max(parts) <= 0.79
    assert len(parts) > 30


async def test_the_first_fetch_is_retried_while_the_issuer_is_away(issue, revalidate, kit):
    issue(DOWN, problem(503, "KubernetesUnavailable"), kit.ok(kit.grants_document()))
    assert (await revalidate()).organization == "org"


@pytest.mark.parametrize(
    ("answer", "reason"),
    [(problem(503, "IssuerUrlMissing"), "IssuerUrlMissing"), (UNTRUSTED, "IssuerCertificateRejected")],
)
async def test_what_waiting_cannot_cure_ends_at_once(issue, revalidate, client, answer, reason):
    issue(answer)
    with pytest.raises(DiagnosedError, match=reason):
        await revalidate()
    assert len(client.requests) == 1


@pytest.fixture
def answer_late(issue, cache, client, kit):
    """Let the issuer answer the question that is asked now with a new grant, once the returned event is set."""

    async def begin():
        await cache.refresh()
        released = asyncio.Event()

        async def late():
            await released.wait()
            return kit.ok(kit.grants_document(), '"2"')

        client.script["issuer.test"] = lambda _: late()
        slow = asyncio.create_task(cache.refresh())
        await asyncio.sleep(0)
        return released, slow

    return begin


async def test_a_slow_answer_counts_when_nothing_was_revoked(answer_late, changes):
    released, slow = await answer_late()
    released.set()
    await slow
    assert [change is not None for change in changes] == [True, True]


@pytest.mark.attack(twin="test_a_slow_answer_counts_when_nothing_was_revoked")
async def test_a_slow_old_answer_does_not_undo_a_revocation(issue, cache, answer_late, changes):
    released, slow = await answer_late()
    issue(problem(403))
    with pytest.raises(DiagnosedError):
        await cache.refresh()
    released.set()
    await slow
    assert changes[-1] is None


@pytest.mark.attack(twin="test_a_slow_issuer_costs_a_kickoff_its_revalidation_budget_only")
async def test_a_kickoff_that_waits_does_not_use_what_another_lost(issue, cache, revalidate, client, kit):
    await cache.refresh()
    client.script["issuer.test"] = lambda _: asyncio.sleep(30)
    waiting = asyncio.create_task(revalidate())
    await asyncio.sleep(0)
    issue(problem(403))
    with pytest.raises(DiagnosedError):
        await cache.refresh()
    with pytest.raises(DiagnosedError, match="ServiceAccountNotAllowed"):
        await waiting


def test_a_document_of_the_right_shape_is_read(kit):
    read = read_grants(json.dumps(kit.grants_document()).encode(), etag='"1"', now=0)
    assert (read.organization, read.etag, len(read.grants)) == ("org", '"1"', 1)


@pytest.mark.parametrize("absent", [{"caBundle": None, "issuerCaBundle": None}, {}])
def test_a_document_without_bundles_brings_no_ca(kit, absent):
    document = {name: item for name, item in kit.grants_document().items() if not name.endswith("aBundle")} | absent
    read = read_grants(json.dumps(document).encode(), etag="", now=0)
    assert (read.ca_bundle, read.issuer_ca) == ("", "")


@pytest.mark.parametrize(
    "change",
    [
        {"organization": 1}, {"grants": None}, {"fingerprintKey": "?"}, {"keyEpoch": "x"}, {"lifetime": 0},
        {"grant": {"assertion": None}}, {"grant": {"hosts": None}}, {"config": {"generation": None}},
        {"azure": {"tenantId": 1}}, {"refusals": ["x"]},
    ],
)  # fmt: skip
@pytest.mark.attack(twin="test_a_document_of_the_right_shape_is_read")
def test_a_document_of_another_shape_is_refused(kit, change):
    with pytest.raises(UnreadableGrantsError):
        read_grants(json.dumps(kit.grants_document(**change)).encode(), etag="", now=0)


def test_grants_do_not_show_what_is_secret(kit):
    grants = read_grants(json.dumps(kit.grants_document()).encode(), etag="", now=0)
    assert "kkkk" not in repr(grants)
    assert kit.assertion() not in repr(grants)
