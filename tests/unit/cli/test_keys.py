"""The timetable in words, and what is asked for by annotations."""

import asyncio

import pytest
from cli_cases import KID, NOW, FakeClient

from wi_operator.cli import keys
from wi_operator.cli.complaints import Complaint
from wi_operator.cli.exits import Exit
from wi_operator.cli.output import draw
from wi_operator.federation.timetable import KeyEntry, Timetable

HOUR = 3600.0
OLD = KeyEntry("old-key", NOW - 90 * 24 * HOUR, NOW - 89 * 24 * HOUR, NOW + HOUR)
NEW = KeyEntry(KID, NOW - 25 * HOUR, NOW - HOUR)
NEXT = KeyEntry("next-key", NOW - HOUR)
SOON = KeyEntry("soon-key", NOW - HOUR, NOW + 23 * HOUR)


def states(*entries, held=None):
    return [row.state for row in keys.rows(Timetable(entries), held, NOW)]


def test_each_state_has_its_words(golden):
    assert states(OLD, NEW) == ["published, signs no more", "signs"]
    assert states(NEW, NEXT) == ["signs", "published, waits to be seen in public"]
    assert states(NEW, SOON) == ["signs", "published, signs in 23h"]
    golden("keys", draw(keys.render(keys.rows(Timetable((OLD, NEW, NEXT)), None, NOW)), width=160))


def test_a_key_that_the_secret_lacks_is_lost():
    assert states(NEW, held=["another"]) == ["lost"]
    assert states(NEW, held=[KID]) == ["signs"]


def test_no_second_rotation_while_one_is_under_way():
    keys.check_rotation(Timetable((NEW,)), NOW)
    keys.check_rotation(Timetable(()), NOW)
    for entry in (NEXT, SOON):
        with pytest.raises(Complaint, match=f"Key {entry.kid} is on its way"):
            keys.check_rotation(Timetable((NEW, entry)), NOW)


def test_a_key_is_named_by_its_beginning():
    timetable = Timetable((OLD, NEW, NEXT))
    assert keys.find(timetable, KID[:5]) == KID
    twins = Timetable((NEW, KeyEntry(KID[:5] + "-twin", NOW)))
    with pytest.raises(Complaint, match="begins the ids of 2 keys"):
        keys.find(twins, KID[:5])
    for kid, told in (("", "0 keys"), ("zzz", "0 keys; there are: old-key")):
        with pytest.raises(Complaint, match=told) as refused:
            keys.find(timetable, kid)
        assert refused.value.code is Exit.USAGE


def test_requests_are_annotations_of_the_secret():
    client = FakeClient({})
    asyncio.run(keys.ask(client, taint=KID))
    body = {"metadata": {"annotations": {"identity.crewai.com/taint": KID}}}
    assert client.calls == [("PATCH", "/api/v1/namespaces/wi-system/secrets/wi-issuer-keys", body)]


def test_it_waits_for_the_controller(monkeypatch):
    monkeypatch.setattr(keys, "LOOK_SECONDS", 0.01)
    state = {"data": {"state.json": Timetable((NEW,), observed_rotate="1").render()}}
    client = FakeClient({keys.STATE: state})
    assert asyncio.run(keys.wait(client, lambda found: found.observed_rotate == "1", seconds=1)).find(KID)
    with pytest.raises(Complaint, match="did not follow") as told:
        asyncio.run(keys.wait(client, lambda found: found.observed_rotate == "2", seconds=0.05))
    assert told.value.code is Exit.NO_VERDICT


def test_without_a_record_it_says_whose_keys_there_are():
    with pytest.raises(Complaint, match=r"issuer\.ownKeys"):
        asyncio.run(keys.read_timetable(FakeClient({})))
