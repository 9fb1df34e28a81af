"""Pacing: one tenant or vault that hangs or throttles costs the others nothing."""

import pytest

from wi_operator.reconcile.lanes import REST_LIMIT, SLOW_SECONDS, WIDTH, Lanes

INF = float("inf")


@pytest.fixture
def lanes():
    return Lanes(16)


def test_a_lane_has_few_places_and_the_next_waits_for_one(lanes):
    for number in range(WIDTH):
        assert lanes.enter(f"a{number}", ["tenant-a"], 0.0) is None
    assert lanes.enter("late", ["tenant-a"], 0.0) == INF
    assert lanes.enter("other", ["tenant-b"], 0.0) is None
    assert lanes.leave(["tenant-a"], lasted=0.1) == ["late"]
    assert lanes.enter("late", ["tenant-a"], 0.1) is None


def test_a_key_that_waits_twice_is_called_once(lanes):
    for number in range(WIDTH):
        lanes.enter(f"a{number}", ["tenant-a"], 0.0)
    for _ in range(2):
        assert lanes.enter("late", ["tenant-a"], 0.0) == INF
    assert lanes.leave(["tenant-a"], lasted=0.1) == ["late"]
    assert lanes.leave(["tenant-a"], lasted=0.1) == []


def test_a_slow_lane_has_one_place_until_it_is_quick_again(lanes):
    for number in range(WIDTH):
        lanes.enter(f"a{number}", ["tenant-a"], 0.0)
    for _ in range(WIDTH):
        lanes.leave(["tenant-a"], lasted=SLOW_SECONDS)
    assert lanes.enter("one", ["tenant-a"], 9.0) is None
    assert lanes.enter("two", ["tenant-a"], 9.0) == INF
    assert lanes.leave(["tenant-a"], lasted=0.1) == ["two"]
    assert lanes.enter("two", ["tenant-a"], 9.1) is None
    assert lanes.enter("three", ["tenant-a"], 9.1) is None


def test_slow_lanes_together_have_a_part_of_the_places(lanes):
    names = [f"tenant-{number}" for number in range(12)]
    for name in names:
        lanes.enter(name, [name], 0.0)
        lanes.leave([name], lasted=SLOW_SECONDS)
    started = [name for name in names if lanes.enter(name, [name], 9.0) is None]
    assert len(started) == 8
    assert lanes.enter("healthy", ["tenant-new"], 9.0) is None
    assert lanes.leave([started[0]], lasted=SLOW_SECONDS) != []


def test_a_check_in_two_lanes_needs_a_place_in_both(lanes):
    for number in range(WIDTH):
        lanes.enter(f"a{number}", ["vault-a"], 0.0)
    assert lanes.enter("both", ["vault-a", "tenant-b"], 0.0) == INF
    for number in range(WIDTH):
        assert lanes.enter(f"b{number}", ["tenant-b"], 0.0) is None, "what only waits holds no place"


def test_a_throttled_lane_rests_as_long_as_it_says(lanes):
    lanes.rest("tenant-a", 100.0, 30.0, 600.0)
    lanes.rest("tenant-a", 100.5, 90.0, 600.0)
    assert lanes.enter("a", ["tenant-a"], 101.0) == 130.0
    assert lanes.enter("a", ["tenant-a"], 130.0) is None
    lanes.rest("tenant-a", 131.0, 10.0**6, 600.0)
    assert lanes.enter("b", ["tenant-a"], 132.0) == 731.0


def test_without_a_word_the_rest_doubles_until_an_answer_comes(lanes):
    now, rests = 0.0, []
    for _ in range(7):
        lanes.rest("vault-a", now, None, 600.0)
        again = lanes.enter("a", ["vault-a"], now)
        rests.append(again - now)
        now = again
    assert rests == [1, 2, 4, 8, 16, 16, REST_LIMIT]
    lanes.recover("vault-a")
    lanes.rest("vault-a", now, None, 600.0)
    assert lanes.enter("a", ["vault-a"], now) - now == 1


def test_lanes_of_the_past_are_forgotten(lanes):
    for number in range(1000):
        lanes.enter("a", [f"vault-{number}"], 0.0)
        lanes.leave([f"vault-{number}"], lasted=0.1)
    assert not lanes._lanes
