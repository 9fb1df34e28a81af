"""A long quiet run: intervals divided by 60, nothing changes, and so nothing may be written and no memory may grow.

    MINUTES=15 python bench/soak.py

100 objects, each checked every 10 s with real handshakes. After a warm-up of a fifth more: status writes as the API
server counts them (goal 0), and the growth of the controller's memory over the run (goal 2 MiB at most).
"""

from __future__ import annotations

import contextlib
import os
import statistics
import sys
import time

from wi_testkit.entra.server import running_entra
from wi_testkit.keyvault.server import running_keyvault
from wi_testkit.local.process import Started
from wi_testkit.local.site import Site, eventually
from wi_testkit.local.teams import count_status_writes, create_objects, is_ready, list_objects, make_teams
from wi_testkit.pki import CertificateAuthority

TEAMS, SIZE = 10, 5
OBJECTS = TEAMS * SIZE * 2
RECHECK_SECONDS = 10
GROWTH_MIB = 2.0
SAMPLE_SECONDS = 5.0


def watch_memory(controller: Started, seconds: float) -> list[tuple[float, float]]:
    """Return (seconds, MiB) pairs."""
    began, samples = time.monotonic(), []
    while (now := time.monotonic() - began) < seconds:
        samples.append((now, controller.rss_mib))
        time.sleep(SAMPLE_SECONDS)
    return samples


def count_minted(site: Site) -> int:
    """Return how many assertions the issuer's audit tells of: one for each check of a config."""
    return site.lab.log("issuer-0").count('"assertion minted"')


def slope(samples: list[tuple[float, float]]) -> float:
    """Return MiB per second by least squares."""
    return statistics.linear_regression([at for at, _ in samples], [mib for _, mib in samples]).slope


def run(site: Site, seconds: float) -> int:
    create_objects(site, make_teams(site, [f"soak-{number}" for number in range(TEAMS)], SIZE))
    controller = site.start_controller("wi-controller-soak", recheck_seconds=RECHECK_SECONDS)
    eventually(lambda: sum(map(is_ready, list_objects(site))) == OBJECTS, "all objects Ready", seconds=120)
    time.sleep(seconds / 5)
    minted = count_minted(site)
    versions = {item["metadata"]["uid"]: item["metadata"]["resourceVersion"] for item in list_objects(site)}
    writes = count_status_writes(site)
    samples = watch_memory(controller, seconds)
    writes = count_status_writes(site) - writes
    changed = [i for i in list_objects(site) if versions[i["metadata"]["uid"]] != i["metadata"]["resourceVersion"]]
    lasted = samples[-1][0]
    growth = slope(samples) * lasted
    print(f"{OBJECTS} objects, rechecked every {RECHECK_SECONDS} s, {lasted / 60:.1f} min after the warm-up")
    print(f"status writes: {writes:.0f}, objects that changed: {len(changed)} (goal 0)")
    memory = [mib for _, mib in samples]
    print(
        f"memory: {memory[0]:.1f} MiB at first, {max(memory):.1f} at most, {memory[-1]:.1f} at last; "
        f"growth over the run {growth:+.2f} MiB (goal at most {GROWTH_MIB})"
    )
    cycles = (count_minted(site) - minted) / (OBJECTS / 2)
    print(f"{cycles:.0f} checks of every object; {controller.cpu_seconds:.0f} s CPU of the controller in all")
    return 1 if writes or changed or growth > GROWTH_MIB else 0


def main() -> int:
    minutes = float(os.environ.get("MINUTES") or 15)
    authority = CertificateAuthority()
    with contextlib.ExitStack() as stack:
        entra = stack.enter_context(running_entra(authority))
        keyvault = stack.enter_context(running_keyvault(authority, entra.url))
        site = stack.enter_context(Site(authority, entra, keyvault))
        return run(site, minutes * 60)


if __name__ == "__main__":
    sys.exit(main())
