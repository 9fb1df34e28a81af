"""Which keys are published and which one signs, from what is mounted, watched or an administrator's own."""

import logging

import pytest

from wi_operator.core.clock import FrozenClock
from wi_operator.core.secret import SecretValue
from wi_operator.federation.keys import KeySet, generate_key_set, generate_signing_key
from wi_operator.federation.timetable import KeyEntry, Timetable, first_timetable
from wi_operator.issuer.keyring import Keyring, MountedKeys, OwnKeys
from wi_operator.issuer.problems import RefusedError

CLOCK = FrozenClock()
NOW = CLOCK.now()
OLD = generate_key_set()
NEW = generate_signing_key()
BOTH = KeySet((OLD.keys[0], NEW), OLD.fingerprint_key)
KID = OLD.keys[0].kid


@pytest.fixture
def mounted(tmp_path):
    (tmp_path / "keys").mkdir()
    return MountedKeys(tmp_path / "keys", tmp_path)


@pytest.fixture
def ring(mounted):
    write(mounted, OLD, first_timetable(OLD, NOW))
    return Keyring(mounted, CLOCK)


def write(mounted, key_set=None, timetable=None):
    for file in mounted.keys_dir.iterdir():
        file.unlink()
    for name, entry in (key_set.render() if key_set else {}).items():
        (mounted.keys_dir / name).write_bytes(entry)
    if timetable:
        (mounted.state_dir / "state.json").write_text(timetable.render())


def put(mounted, timetable):
    mounted.put_state({"data": {"state.json": timetable.render()}})


def kids(ring):
    return [key.kid for key in ring.published()], ring.signing() and ring.signing().kid


def test_what_is_mounted_signs(ring):
    ring.load()
    assert kids(ring) == ([KID], KID)
    assert ring.epoch == 1
    assert ring.signing_since() == float(int(NOW))


def test_a_key_that_is_held_and_not_recorded_is_not_published(mounted, ring):
    write(mounted, BOTH)
    ring.load()
    assert kids(ring) == ([KID], KID)


@pytest.mark.attack(twin="test_a_replica_without_the_new_key_goes_on_with_the_old_one")
def test_a_key_that_is_recorded_and_not_held_neither_is(mounted, ring):
    ring.load()
    put(mounted, Timetable((KeyEntry(KID, NOW, NOW), KeyEntry("planted", NOW, NOW + 1e-9))))
    ring.load()
    assert kids(ring) == ([KID], KID)


def test_the_watched_record_wins_over_the_mounted_one(mounted, ring):
    ring.load()
    put(mounted, Timetable((), epoch=2))
    ring.load()
    assert kids(ring) == ([], None)
    assert ring.epoch == 2
    assert not ring.is_lost
    with pytest.raises(RefusedError) as refused:
        ring.require_signing()
    assert refused.value.problem.reason == "KeyMissing"


def test_a_replica_without_the_new_key_goes_on_with_the_old_one(mounted, ring):
    put(mounted, Timetable((KeyEntry(KID, 0, 0, NOW + 60), KeyEntry(NEW.kid, 0, NOW - 1))))
    ring.load()
    assert kids(ring) == ([KID], KID)
    write(mounted, BOTH)
    ring.load()
    assert kids(ring) == ([KID, NEW.kid], NEW.kid)


def test_lost_keys_are_told_and_nothing_is_signed(mounted, ring, caplog):
    write(mounted, KeySet((NEW,), OLD.fingerprint_key))
    ring.load()
    assert ring.is_lost
    assert kids(ring) == ([], None)
    assert "not in the Secret" in caplog.text
    with pytest.raises(RefusedError) as refused:
        ring.require_signing()
    assert refused.value.problem.reason == "KeyLost"


def test_an_issuer_that_starts_without_the_secret_says_that_the_key_is_lost(mounted, ring):
    write(mounted)
    ring.load()
    assert ring.is_lost


def test_unusable_files_leave_the_last_good_keys(mounted, ring, caplog):
    ring.load()
    (mounted.keys_dir / OLD.keys[0].entry).write_text("planted")
    with caplog.at_level(logging.ERROR):
        ring.load()
    assert kids(ring) == ([KID], KID)
    assert "planted" not in caplog.text
    assert "keys not loaded" in caplog.text


def test_of_own_keys_the_first_signs_and_all_are_published():
    text = "".join(key.render().decode() for key in (NEW, OLD.keys[0]))
    rings = [Keyring(OwnKeys(lambda: SecretValue(text), CLOCK), CLOCK) for _ in range(2)]
    for ring in rings:
        ring.load()
        assert kids(ring) == ([NEW.kid, KID], NEW.kid)
    assert rings[0].epoch == rings[1].epoch
    assert rings[0].fingerprint_key_of("o") == rings[1].fingerprint_key_of("o")
