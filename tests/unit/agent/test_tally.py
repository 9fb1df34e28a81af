"""What the sidecar tells the issuer of its kickoffs: once, with the next question, and never lost on the way."""

import asyncio
import json

import pytest

from wi_operator.agent.client import TransportError
from wi_operator.agent.grants import GrantCache, GrantSource
from wi_operator.agent.tally import HEADER, KEPT, Tally, render
from wi_operator.federation.diagnosis.base import DiagnosedError
from wi_operator.federation.diagnosis.transport import Failure
from wi_operator.federation.exchange.base import HttpResponse
from wi_operator.federation.hosts import Endpoint

ISSUER = Endpoint("issuer.test", 443)
DOWN = TransportError(Failure.UNREACHABLE, ISSUER, "ECONNREFUSED")
LAST = [("succeeded", 12), ("SecretNotFound", 340)]


@pytest.fixture
def tally():
    tally = Tally()
    for entry in LAST:
        tally.note(*entry)
    return tally


@pytest.fixture
def asker(client, clock, token_file, kit, tally):
    """Return a cache whose issuer answers what is set."""
    source = GrantSource(client, ISSUER, token_file=str(token_file), credentials=["demo"], clock=clock, tally=tally)
    cache = GrantCache(source, clock=clock, budgets=kit.BUDGETS, on_change=lambda _: None)
    client.script["issuer.test"] = lambda _: kit.ok(kit.grants_document())
    return cache


def told(client):
    return [dict(request.headers).get(HEADER) for request in client.requests]


async def test_a_question_takes_along_what_kickoffs_came_to_once(asker, client):
    await asker.refresh()
    await asker.refresh()
    assert told(client) == ["succeeded 12,SecretNotFound 340", None]
    assert json.loads(client.requests[0].body) == {"credentials": ["demo"]}


async def test_a_tally_that_was_empty_at_the_start_is_the_one_that_is_told(client, clock, token_file, kit):
    tally = Tally()
    source = GrantSource(client, ISSUER, token_file=str(token_file), credentials=["demo"], clock=clock, tally=tally)
    client.script["issuer.test"] = lambda _: kit.ok(kit.grants_document())
    tally.note("succeeded", 7)
    await source.ask(None)
    assert told(client) == ["succeeded 7"]


@pytest.mark.parametrize("answer", [DOWN, HttpResponse(503), HttpResponse(429)])
async def test_what_the_issuer_did_not_hear_is_told_again(asker, client, tally, answer):
    client.script["issuer.test"] = lambda _: answer
    with pytest.raises(DiagnosedError):
        await asker.refresh()
    assert tally.take() == LAST


async def test_a_question_that_is_broken_off_loses_nothing(asker, client, tally):
    client.script["issuer.test"] = lambda _: asyncio.sleep(10)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await asker.refresh(anew=True)
    assert tally.take() == LAST


async def test_a_refusal_was_heard(asker, client, tally):
    client.script["issuer.test"] = lambda _: HttpResponse(403)
    with pytest.raises(DiagnosedError):
        await asker.refresh()
    assert not tally


async def test_at_the_end_the_rest_is_told_and_nothing_without_a_rest(asker, client):
    await asker.tell()
    await asker.tell()
    assert told(client) == ["succeeded 12,SecretNotFound 340"]


@pytest.mark.parametrize("answer", [DOWN, HttpResponse(503)])
async def test_at_the_end_an_issuer_that_is_away_is_no_error(asker, client, answer):
    client.script["issuer.test"] = lambda _: answer
    await asker.tell()


async def test_at_the_end_a_silent_issuer_is_waited_for_half_a_second(asker, client):
    client.script["issuer.test"] = lambda _: asyncio.sleep(30)
    begun = asyncio.get_running_loop().time()
    await asker.tell()
    assert 0.4 < asyncio.get_running_loop().time() - begun < 10


def test_the_latest_are_kept_whichever_way_they_come():
    tally = Tally()
    for number in range(KEPT + 4):
        tally.note("succeeded", number)
    first = tally.take()
    assert [ms for _, ms in first] == list(range(4, KEPT + 4))
    tally.note("succeeded", 100)
    tally.give_back(first)
    assert [ms for _, ms in tally.take()] == [*range(5, KEPT + 4), 100]
    for number in range(KEPT):
        tally.note("succeeded", number)
    tally.give_back(first)
    assert [ms for _, ms in tally.take()] == list(range(KEPT))


def test_a_foreign_reason_cannot_add_a_header_or_an_entry():
    assert render([("Bad\r\nHost: x", 1), ("A,B", 2), ("", 3), ("Ünbekannt", 4)]) == "Other 1,Other 2,Other 3,Other 4"
