"""The timetable of signing keys and its next steps."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wi_operator.federation import rotation
from wi_operator.federation.keys import KeysError, generate_key_set
from wi_operator.federation.rotation import RotationSettings
from wi_operator.federation.timetable import KeyEntry, Timetable, first_timetable

NOW = 1_795_000_000.7
KEY_SET = generate_key_set()
SETTINGS = RotationSettings(every=1000.0, publish_before=30.0, retire_after=60.0)


@pytest.mark.parametrize(
    "text", ["", "[]", "{", '{"keys":[],"epoch":"1"}', '{"keys":[{}],"epoch":1}', '{"keys":[{"kid":"a"}],"epoch":1}']
)
def test_a_bad_state_is_refused(text):
    with pytest.raises(KeysError, match=r"state\.json"):
        Timetable.parse(text)


def test_the_first_key_signs_at_once():
    state = Timetable.parse(first_timetable(KEY_SET, NOW).render())
    kid = KEY_SET.keys[0].kid
    assert (state.published(NOW), state.signers(NOW), state.epoch) == ((kid,), (kid,), 1)
    assert state.signers(NOW - 10) == ()


def test_a_rotation_acts_on_the_clock():
    state = Timetable(
        (KeyEntry("old", 0, 0, retire_after=300), KeyEntry("new", 100, 200)), epoch=2, observed_rotate="x"
    )
    assert Timetable.parse(state.render()) == state
    moments = (0, 99, 100, 199, 200, 299, 300)
    assert [(state.published(now), state.signers(now)) for now in moments] == [
        (("old",), ("old",)),
        (("old",), ("old",)),
        (("old", "new"), ("old",)),
        (("old", "new"), ("old",)),
        (("old", "new"), ("new", "old")),
        (("old", "new"), ("new", "old")),
        (("new",), ("new",)),
    ]


def test_a_key_that_was_not_seen_in_public_never_signs():
    state = rotation.publish(Timetable((KeyEntry("old", 0, 0),)), "new", 100, "asked")
    assert state.published(10**9) == ("old", "new")
    assert state.signers(10**9) == ("old",)
    assert not rotation.needs_key(state, 10**9, SETTINGS, "asked again")


def test_a_request_that_is_taken_away_after_it_was_followed_asks_for_nothing():
    state = Timetable((KeyEntry("old", 0, 0),), observed_rotate="1")
    assert not rotation.needs_key(state, 10, SETTINGS, "")
    assert not rotation.needs_key(state, 10, SETTINGS, "1")
    assert rotation.needs_key(state, 10, SETTINGS, "2")


def test_a_whole_rotation():
    state = Timetable((KeyEntry("old", 0, 0),))
    assert not rotation.needs_key(state, 999, SETTINGS, "")
    assert rotation.needs_key(state, 1000, SETTINGS, "")
    assert rotation.needs_key(state, 5, SETTINGS, "asked")
    state = rotation.publish(state, "new", 1000, "asked")
    assert rotation.find_unverified(state) == KeyEntry("new", 1000)
    state = rotation.arm(state, "new", 1010, SETTINGS)
    assert state.find("new") == KeyEntry("new", 1000, 1040)
    assert state.find("old") == KeyEntry("old", 0, 0, 1100)
    assert not rotation.needs_key(state, 1050, SETTINGS, "asked")
    assert rotation.drop_retired(state, 1099) is state
    assert rotation.drop_retired(state, 1100).published(1100) == ("new",)


def test_a_tainted_key_is_gone_at_once_and_its_predecessor_goes_on():
    state = rotation.arm(rotation.publish(Timetable((KeyEntry("old", 0, 0),)), "new", 10, ""), "new", 20, SETTINGS)
    tainted = rotation.taint(state, "new")
    assert (tainted.published(200), tainted.signers(200), tainted.epoch) == (("old",), ("old",), 2)
    assert rotation.taint(state, "unknown") is state


def test_with_the_only_key_tainted_the_next_signs_as_soon_as_it_is_seen():
    state = rotation.taint(Timetable((KeyEntry("only", 0, 0),)), "only")
    assert state.signers(10) == ()
    assert rotation.needs_key(state, 10, SETTINGS, "")
    state = rotation.arm(rotation.publish(state, "next", 10, ""), "next", 12, SETTINGS)
    assert state.signers(12) == ("next",)


def test_a_recorded_key_that_is_not_held_is_lost():
    state = Timetable((KeyEntry("old", 0, 0), KeyEntry("new", 1)))
    assert rotation.find_lost(state, ["old", "new", "more"]) == ()
    assert rotation.find_lost(state, ["new"]) == ("old",)


@given(st.lists(st.tuples(st.sampled_from(["wait", "ask", "see", "taint", "look"]), st.integers(0, 400)), max_size=60))
def test_no_sequence_of_events_lets_an_unpublished_key_sign_or_leaves_tokens_without_their_key(events):
    """A token lives as long as ``retire_after``: its key is published until then, unless it was tainted."""
    state, now, names = Timetable((KeyEntry("k0", 0, 0),)), 0.0, (f"k{n}" for n in itertools.count(1))
    minted, tainted = [], set()
    for what, number in events:
        now += number if what == "wait" else 1
        pending = rotation.find_unverified(state)
        if what == "ask" and rotation.needs_key(state, now, SETTINGS, str(number)):
            state = rotation.publish(state, next(names), now, str(number))
        elif what == "see" and pending:
            state = rotation.arm(state, pending.kid, now, SETTINGS)
        elif what == "taint" and state.entries:
            kid = state.entries[number % len(state.entries)].kid
            tainted.add(kid)
            state = rotation.taint(state, kid)
        state = rotation.drop_retired(state, now)
        assert set(state.signers(now)) <= set(state.published(now))
        assert tainted.isdisjoint(state.published(now))
        minted += [(kid, now) for kid in state.signers(now)[:1]]
        alive = {kid for kid, moment in minted if now < moment + SETTINGS.retire_after and kid not in tainted}
        assert alive <= set(state.published(now))
