"""Token buckets."""

import pytest

from wi_operator.core.clock import FrozenClock
from wi_operator.issuer import limits
from wi_operator.issuer.limits import Limit


def test_a_burst_is_allowed_and_then_the_rate():
    clock = FrozenClock()
    limit = Limit(2.0, clock)
    assert [limit.take("a") for _ in range(10)] == [0.0] * 10
    assert limit.take("a") == 0.5
    assert limit.take("b") == 0.0
    clock.advance(0.5)
    assert limit.take("a") == 0.0
    assert limit.take("a") == 0.5
    clock.advance(3600)
    assert [limit.take("a") for _ in range(10)] == [0.0] * 10
    assert limit.take("a") > 0


def test_a_slow_rate_still_allows_one():
    limit = Limit(0.1, FrozenClock())
    assert limit.take("a") == 0.0
    assert limit.take("a") == pytest.approx(10.0)


def test_the_number_of_keys_is_bounded(monkeypatch):
    monkeypatch.setattr(limits, "KEYS", 3)
    limit = Limit(0.2, FrozenClock())
    for key in "abc":
        limit.take(key)
    assert limit.take("a") > 0
    limit.take("d")
    assert limit.take("b") == 0.0, "the one that was quiet for longest is forgotten"
