"""Who is calling is what the token review proves, and nothing less."""

import asyncio
import base64
import json

import pytest

from wi_operator.core.clock import FrozenClock
from wi_operator.core.secret import SecretValue
from wi_operator.issuer.callers import CallerReviews, judge_review
from wi_operator.issuer.problems import RefusedError

GOOD = {
    "authenticated": True,
    "audiences": ["wi-issuer"],
    "user": {
        "username": "system:serviceaccount:team-a:worker",
        "extra": {
            "authentication.kubernetes.io/pod-name": ["kick-1"],
            "authentication.kubernetes.io/pod-uid": ["pod-uid"],
        },
    },
}


def without_pod(status):
    return status | {"user": {"username": status["user"]["username"], "extra": {}}}


def test_a_pod_bound_token_names_its_pod():
    caller = judge_review(GOOD, "wi-issuer")
    assert (caller.namespace, caller.account, caller.pod) == ("team-a", "worker", "kick-1")


@pytest.mark.parametrize(
    "status",
    [
        GOOD | {"authenticated": False},
        GOOD | {"audiences": ["wi-issuer-controller"]},
        GOOD | {"audiences": None},
        without_pod(GOOD),
        GOOD | {"user": GOOD["user"] | {"username": "system:node:node1"}},
        GOOD | {"user": GOOD["user"] | {"username": "system:serviceaccount:team-a"}},
        GOOD | {"user": GOOD["user"] | {"username": "admin"}},
        {},
    ],
)
def test_anything_less_is_rejected(status):
    with pytest.raises(RefusedError) as refused:
        judge_review(status, "wi-issuer")
    assert refused.value.problem.status == 401


class CountingClient:
    """Answers every review with ``status``."""

    def __init__(self, status, *, seconds: float = 0) -> None:
        self.status, self.calls, self.seconds = status, 0, seconds

    async def create(self, path, body, **query):
        del path, query
        self.calls += 1
        await asyncio.sleep(self.seconds)
        return {"status": self.status, "spec": body["spec"]}


def token(expires_at: float, audiences=("wi-issuer", "wi-issuer-controller")) -> SecretValue:
    payload = base64.urlsafe_b64encode(json.dumps({"exp": expires_at, "aud": audiences}).encode()).decode().rstrip("=")
    return SecretValue(f"h.{payload}.s")


async def test_a_review_is_remembered_for_less_than_a_minute():
    clock = FrozenClock()
    client = CountingClient(GOOD)
    reviews = CallerReviews(client, clock)
    subject = token(clock.now() + 3600)
    for advance, calls in ((0, 1), (44, 1), (2, 2)):
        clock.advance(advance)
        await reviews.review(subject, "wi-issuer")
        assert client.calls == calls


async def test_a_review_is_never_remembered_past_the_tokens_end():
    clock = FrozenClock()
    client = CountingClient(GOOD)
    reviews = CallerReviews(client, clock)
    subject = token(clock.now() + 10)
    await reviews.review(subject, "wi-issuer")
    clock.advance(11)
    client.status = {"authenticated": False}
    with pytest.raises(RefusedError):
        await reviews.review(subject, "wi-issuer")
    assert reviews.outcomes == {"accepted": 1, "rejected": 1, "unavailable": 0}


async def test_a_review_for_one_audience_does_not_serve_another():
    client = CountingClient(GOOD)
    reviews = CallerReviews(client, FrozenClock())
    await reviews.review(token(2e9), "wi-issuer")
    with pytest.raises(RefusedError):
        await reviews.review(token(2e9), "wi-issuer-controller")


async def test_many_at_once_with_one_token_are_one_question():
    client = CountingClient(GOOD, seconds=0.02)
    reviews = CallerReviews(client, FrozenClock())
    subject = token(2e9)
    impatient = asyncio.create_task(reviews.review(subject, "wi-issuer"))
    others = [asyncio.create_task(reviews.review(subject, "wi-issuer")) for _ in range(20)]
    await asyncio.sleep(0)
    impatient.cancel()
    assert {caller.pod for caller in await asyncio.gather(*others)} == {"kick-1"}
    assert client.calls == 1


@pytest.mark.attack(twin="test_many_at_once_with_one_token_are_one_question")
async def test_a_flood_of_invented_tokens_does_not_reach_the_api_server():
    client = CountingClient({"authenticated": False})
    clock = FrozenClock()
    reviews = CallerReviews(client, clock, rate=4.0)

    async def reason(subject) -> str:
        with pytest.raises(RefusedError) as refused:
            await reviews.review(subject, "wi-issuer")
        return refused.value.problem.reason

    for garbage in (SecretValue("x"), SecretValue("a.b.c"), token(2e9, ["other"])):
        assert await reason(garbage) == "TokenRejected"
    assert client.calls == 0
    first = token(2e9)
    assert [await reason(first) for _ in range(5)] == ["TokenRejected"] * 5
    assert client.calls == 1
    reasons = [await reason(token(2e9 + number)) for number in range(1, 40)]
    assert client.calls == 20
    assert reasons[-1] == "TooManyRequests"
    clock.advance(5)
    client.status = GOOD
    assert (await reviews.review(token(3e9), "wi-issuer")).pod == "kick-1"
