"""Conditions move their transition time with the status only."""

from wi_operator.api.conditions import Condition, merge_conditions

EARLIER, NOW = "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"


def merged(previous_status: str, status: str, reason: str = "New"):
    previous = [{"type": "Ready", "status": previous_status, "reason": "Old", "lastTransitionTime": EARLIER}]
    return merge_conditions(previous, [Condition("Ready", status, reason, "text")], generation=2, now=NOW)[0]


def test_a_new_reason_keeps_the_transition_time():
    assert merged("False", "False")["lastTransitionTime"] == EARLIER


def test_a_new_status_moves_it():
    assert merged("True", "False")["lastTransitionTime"] == NOW


def test_the_generation_is_always_the_judged_one():
    assert merged("True", "True")["observedGeneration"] == 2


def test_a_condition_that_is_not_judged_any_more_disappears():
    previous = [{"type": "Stalled", "status": "True", "lastTransitionTime": EARLIER}]
    assert merge_conditions(previous, [], generation=1, now=NOW) == []
