"""Two controllers as processes of their own: one is killed, one is cut off, one goes deaf."""

import functools
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from wi_testkit.local.api import in_parallel
from wi_testkit.local.gate import Gate
from wi_testkit.local.site import LEASE, Site, eventually, status_of_url
from wi_testkit.local.teams import create_objects, is_ready, list_objects, make_teams, path_of

TEAMS, SIZE = 10, 10
OBJECTS = TEAMS * SIZE * 2
TAKEOVER_SECONDS = 20.0
LEADERSHIP_LOST = 75


@pytest.fixture(scope="module")
def site(test_ca, entra, keyvault):
    with Site(test_ca, entra, keyvault) as running:
        yield running


@pytest.fixture(scope="module")
def teams(site):
    teams = make_teams(site, [f"lead-{number}" for number in range(TEAMS)], SIZE)
    create_objects(site, teams)
    return teams


@pytest.fixture
def gate(site):
    with Gate(site.plane.url, site.plane.authority_file, site.plane.serving_keys) as gate:
        yield gate


def change(site, items, mark):
    """Ask for a test of each: its answer is a write of the status."""
    metadata = {"annotations": {"identity.crewai.com/test-connection": mark}}
    in_parallel(functools.partial(site.api.merge, path_of(item), {"metadata": metadata}) for item in items)


def unjudged(site, mark):
    return [
        item["metadata"]["name"]
        for item in list_objects(site)
        if not is_ready(item) or item["status"]["handshake"].get("observedTestRequest") != mark
    ]


def judged(process):
    return process.find("judged")


def test_the_standby_finishes_what_a_killed_leader_began(site, teams, capsys):
    active = site.start_controller("wi-controller-0")
    active.wait_for("leading")
    standby = site.start_controller("wi-controller-1")
    eventually(lambda: all(is_ready(item) for item in list_objects(site)), "the first judgement")
    eventually(lambda: status_of_url(f"http://127.0.0.1:{standby.health_port}/readyz") == 200, "a warm standby")
    before = len(judged(active))
    with ThreadPoolExecutor(1) as pool:
        changes = pool.submit(change, site, list_objects(site), "first")
        active.wait_for("judged", count=before + 40)
        active.kill()
        changes.result()
    killed, done = active.ended, len(judged(active)) - before
    leading = standby.wait_for("leading", seconds=TAKEOVER_SECONDS)
    assert done < OBJECTS, "the leader was killed too late to prove anything"
    eventually(lambda: not unjudged(site, "first"), "the rest of the changes")
    finished = time.monotonic()
    with capsys.disabled():
        print(
            f"\n{OBJECTS} changes, leader killed after {done}: standby led after {leading.at - killed:.1f} s, "
            f"all were judged after {finished - killed:.1f} s, none lost"
        )
    assert not judged(standby) or judged(standby)[0].at > killed
    assert leading.at - killed < TAKEOVER_SECONDS
    standby.stop()
    assert site.holder() == "", "a leader that ends gives the Lease back"


def test_a_leader_whose_lease_calls_hang_ends_before_the_next_one_begins(site, teams, gate, capsys):
    items = list_objects(site)
    active = site.start_controller("wi-controller-0", server=gate.url)
    active.wait_for("everything was seen")
    standby = site.start_controller("wi-controller-1")
    eventually(lambda: status_of_url(f"http://127.0.0.1:{standby.health_port}/readyz") == 200, "a warm standby")
    # Only the Lease hangs: judging and writing go on, so that a second leader would be seen at once.
    gate.hold(lambda method, path: path.startswith(LEASE))
    hung = time.monotonic()
    number = 0
    while not judged(standby):
        number += 1
        change(site, items[number % len(items) :][:1], f"hang-{number}")
        assert time.monotonic() - hung < 3 * TAKEOVER_SECONDS, standby.tail()
        time.sleep(0.05)
    assert active.wait_end(seconds=1) == LEADERSHIP_LOST, active.tail()
    late = [line for line in judged(active) if line.at > hung]
    leading = standby.find("leading")[0]
    with capsys.disabled():
        print(
            f"\nLease calls hang: {gate.held} held, {len(late)} more writes, ended with {LEADERSHIP_LOST} after "
            f"{active.ended - hung:.1f} s; the standby led after {leading.at - hung:.1f} s"
        )
    assert late, "the hung leader wrote nothing: two leaders would not have been seen"
    assert max(line.at for line in late) < active.ended < leading.at < judged(standby)[0].at
    standby.stop()


def test_a_watch_that_falls_silent_fails_the_liveness_probe(site, teams, gate, capsys):
    period = 6.0
    deaf = site.start_controller("wi-controller-2", server=gate.url, audit_seconds=period)
    deaf.wait_for("everything was seen")
    live = f"http://127.0.0.1:{deaf.health_port}/livez"
    time.sleep(period * 1.5)
    assert status_of_url(live) == 200, "one comparison passed"
    gate.silence()
    item = list_objects(site)[0]
    change(site, [item], "unheard")
    silent = time.monotonic()
    eventually(lambda: status_of_url(live) == 503, "a failing liveness probe", seconds=3 * period)
    took = time.monotonic() - silent
    assert site.api.get(path_of(item))["status"]["handshake"]["observedTestRequest"] != "unheard"
    deaf.stop()
    gate.silence(False)
    again = site.start_controller("wi-controller-2", server=gate.url, audit_seconds=period)
    eventually(
        lambda: site.api.get(path_of(item))["status"]["handshake"]["observedTestRequest"] == "unheard",
        "the judgement after the restart",
    )
    with capsys.disabled():
        print(f"\nsilent watch: liveness failed after {took:.1f} s at a period of {period:.0f} s, cured by the restart")
    # At worst the change comes just after a listing: two waits for the watch and one period, on a busy machine.
    assert took < 2 * period
    assert status_of_url(f"http://127.0.0.1:{again.health_port}/livez") == 200
    again.stop()
