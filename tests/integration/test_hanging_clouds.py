"""A tenant and a vault that hang cost the objects on others nothing."""

import threading
import time

import pytest

from wi_testkit.emulation import acts
from wi_testkit.local.site import Site, SiteError, eventually
from wi_testkit.local.teams import (
    ALL_CONFIGS,
    ALL_CREDENTIALS,
    create_objects,
    delete_objects,
    is_ready,
    list_objects,
    make_teams,
)

OTHERS, SIZE = 10, 10
COUNT = OTHERS * SIZE * 2
HANGING = 50
RATIO = 1.3
PAIRS = 3


@pytest.fixture(scope="module")
def site(test_ca, entra, keyvault):
    with Site(test_ca, entra, keyvault) as running:
        yield running


class ReadyTimes:
    """Seconds from creation to Ready of every object that a watch shows, by namespace and kind."""

    def __init__(self, site):
        self.site, self.times, self.created = site, {}, {}
        self.stop = threading.Event()
        for path in (ALL_CONFIGS, ALL_CREDENTIALS):
            version = site.api.get(path)["metadata"]["resourceVersion"]
            threading.Thread(target=self._follow, args=(path, version), daemon=True).start()

    def _follow(self, path, version):
        for event in self.site.api.watch(path, version, self.stop):
            item = event["object"]
            key = item["metadata"]["uid"]
            if event["type"] == "ADDED":
                self.created[key] = time.monotonic()
            elif event["type"] == "MODIFIED" and is_ready(item) and key not in self.times:
                self.times[key] = item["metadata"]["namespace"], time.monotonic() - self.created[key]

    def of(self, teams):
        names = {team.name for team in teams}
        return sorted(seconds for namespace, seconds in list(self.times.values()) if namespace in names)


def measure(site, everybody, others):
    """Return the 99th percentile of the others' time-to-Ready."""
    watch = ReadyTimes(site)
    create_objects(site, everybody)
    try:
        eventually(lambda: len(watch.of(others)) == COUNT, "Ready", seconds=120)
        times = watch.of(others)
    except SiteError:
        raise AssertionError(f"only {len(watch.of(others))} of {COUNT} objects became Ready") from None
    finally:
        watch.stop.set()
        delete_objects(site, everybody)
        eventually(lambda: not list_objects(site), "the deletion")
    return times[int(len(times) * 0.99) - 1]


def test_what_hangs_costs_the_others_nothing(site, entra, keyvault, capsys):
    others = make_teams(site, [f"quick-{number}" for number in range(OTHERS)], SIZE)
    # Its configs hang at the login, so that its credentials never come to a vault: the vault has a team of its own.
    tenant, vault = make_teams(site, ["hang-tenant", "hang-vault"], HANGING // 2)
    controller = site.start_controller("wi-controller-0")
    controller.wait_for("everything was seen")
    pairs = []
    while len(pairs) < PAIRS and not any(hung <= RATIO * free for free, hung in pairs):
        free = measure(site, [tenant, vault, *others], others)
        entra.fault(acts.hang(), tenant=tenant.tenant)
        keyvault.fault(acts.hang(), vault=vault.vault)
        try:
            pairs.append((free, measure(site, [tenant, vault, *others], others)))
            assert [fault["fired"] > 3 for cloud in (entra, keyvault) for fault in cloud.faults()] == [True, True]
        finally:
            entra.heal()
            keyvault.heal()
    with capsys.disabled():
        for free, hung in pairs:
            print(f"\np99 time-to-Ready of {COUNT} objects: {free:.2f} s, beside 100 that hang {hung:.2f} s", end="")
        print(f"; best ratio {min(hung / free for free, hung in pairs):.2f} (goal {RATIO} at most)")
    assert any(hung <= RATIO * free for free, hung in pairs)
    controller.stop()
