"""What the issuer's metrics say."""

from types import SimpleNamespace

from prometheus_client import CollectorRegistry, generate_latest

from wi_operator.core.clock import FrozenClock
from wi_operator.issuer.metrics import RequestMetrics, StateMetrics


def test_answers_are_counted_by_door_and_outcome():
    registry = CollectorRegistry()
    metrics = RequestMetrics(registry)
    for door, outcome in (("grants", "answered"), ("grants", "answered"), ("grants", "TokenRejected")):
        metrics.count(door, outcome, 0.25)
    text = generate_latest(registry).decode()
    assert 'wi_issuer_answers_total{door="grants",outcome="answered"} 2.0' in text
    assert 'wi_issuer_answers_total{door="grants",outcome="TokenRejected"} 1.0' in text
    assert 'wi_issuer_answer_duration_seconds_sum{door="grants"} 0.75' in text


def read_state(*, since, lost=False, fault="", disputed=()):
    clock, registry = FrozenClock(), CollectorRegistry()
    keyring = SimpleNamespace(
        signing_since=lambda: since and clock.now() - since, published=lambda: ["one", "two"], is_lost=lost
    )
    organizations = SimpleNamespace(fault=fault, disputed=disputed)
    registry.register(StateMetrics(keyring, organizations, SimpleNamespace(outcomes={"accepted": 7}), clock))
    lines = (line.split() for line in generate_latest(registry).decode().splitlines() if not line.startswith("#"))
    return {name.removeprefix("wi_").removeprefix("issuer_"): float(value) for name, value in lines}


def test_the_state_is_told_at_the_moment_of_the_scrape():
    assert read_state(since=90.0) == {
        "signing_key_age_seconds": 90.0,
        "published_keys": 2.0,
        "key_lost": 0.0,
        "organization_policy_in_force": 1.0,
        "organizations_disputed": 0.0,
        'token_reviews_total{outcome="accepted"}': 7.0,
    }
    bad = read_state(since=None, lost=True, fault="the policy is missing", disputed=("team-a",))
    assert (bad["signing_key_age_seconds"], bad["key_lost"]) == (0.0, 1.0)
    assert (bad["organization_policy_in_force"], bad["organizations_disputed"]) == (0.0, 1.0)
