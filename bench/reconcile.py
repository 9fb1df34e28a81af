"""What reconciling a thousand objects costs: real processes, real API server, real handshakes with the emulated clouds.

    python bench/reconcile.py [RUNS]

500 WorkloadIdentityConfigs and 500 SecretProviderCredentials in 50 tenants and 50 vaults exist when the controller starts.
Measured from its start: until all are Ready, with the CPU time that the emulators took meanwhile; status writes as the API
server counts them; memory; then the same with a controller that finds nothing to change. The controller has one core for
itself, the emulators the other; API server, etcd and issuer run on both.
"""

from __future__ import annotations

import contextlib
import os
import statistics
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass

from wi_testkit.entra.server import running_entra
from wi_testkit.keyvault.server import running_keyvault
from wi_testkit.local.process import Started
from wi_testkit.local.site import Site
from wi_testkit.local.teams import (
    ALL_CONFIGS,
    ALL_CREDENTIALS,
    Team,
    count_status_writes,
    create_objects,
    delete_objects,
    is_ready,
    list_objects,
    make_teams,
)
from wi_testkit.pki import CertificateAuthority

TEAMS, SIZE = 50, 10
OBJECTS = TEAMS * SIZE * 2
READY_SECONDS, RESTART_SECONDS, MEMORY_MIB = 8.0, 3.0, 110.0
TOLERANCE = 1.3
CONTROLLER_CORE, EMULATOR_CORE = 0, 1
SEEN = "everything was seen"
PATIENCE = 120.0


@dataclass(frozen=True)
class Figures:
    """One run."""

    ready: float
    emulators: float
    controller: float
    writes: float
    conflicts: float
    memory: float
    restart: float
    restart_writes: float
    restart_memory: float

    @property
    def own(self) -> float:
        return self.ready - self.emulators


@contextlib.contextmanager
def pinned(core: int) -> Iterator[None]:
    """Let what is started in the block run on one core."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core} & before or before)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


class ReadyWatch:
    """Counts the objects that are Ready, as a watch shows it."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.ready: dict[str, float] = {}
        self.changed = threading.Condition()
        self.stop = threading.Event()

    def start(self) -> ReadyWatch:
        for path in (ALL_CONFIGS, ALL_CREDENTIALS):
            version = self.site.api.get(path)["metadata"]["resourceVersion"]
            threading.Thread(target=self._follow, args=(path, version), daemon=True).start()
        return self

    def _follow(self, path: str, version: str) -> None:
        for event in self.site.api.watch(path, version, self.stop):
            if event["type"] == "MODIFIED" and is_ready(event["object"]):
                with self.changed:
                    self.ready.setdefault(event["object"]["metadata"]["uid"], time.monotonic())
                    self.changed.notify_all()

    def wait(self) -> float:
        with self.changed:
            self.changed.wait_for(lambda: len(self.ready) >= OBJECTS, PATIENCE)
        self.stop.set()
        if len(self.ready) < OBJECTS:
            raise SystemExit(f"only {len(self.ready)} of {OBJECTS} objects became Ready")
        return max(self.ready.values())


def emulator_seconds(site: Site) -> float:
    return site.entra.cpu_seconds() + site.keyvault.cpu_seconds()


def settle(site: Site, controller: Started, expected: float) -> None:
    """Give a second write, if there is one, the time to happen."""
    time.sleep(1.5)
    if not controller.is_running:
        raise SystemExit(f"the controller ended: {controller.tail()}")
    if len([item for item in list_objects(site) if is_ready(item)]) != expected:
        raise SystemExit("an object is not Ready any more")


def measure(site: Site, teams: list[Team]) -> Figures:
    create_objects(site, teams)
    site.forget_lease()
    writes, conflicts, emulators = (
        count_status_writes(site),
        count_status_writes(site, code="409"),
        emulator_seconds(site),
    )
    watch = ReadyWatch(site).start()
    controller = site.start_controller("bench", core=CONTROLLER_CORE)
    ready = watch.wait() - controller.began
    emulators, cpu = emulator_seconds(site) - emulators, controller.cpu_seconds
    settle(site, controller, OBJECTS)
    memory = controller.peak_mib
    writes, conflicts = count_status_writes(site) - writes, count_status_writes(site, code="409") - conflicts
    controller.stop()
    before = count_status_writes(site)
    again = site.start_controller("bench", core=CONTROLLER_CORE)
    restart = again.wait_for(SEEN, seconds=PATIENCE).at - again.began
    settle(site, again, OBJECTS)
    figures = Figures(
        ready, emulators, cpu, writes, conflicts, memory, restart, count_status_writes(site) - before, again.peak_mib
    )
    again.stop()
    delete_objects(site, teams)
    return figures


def show(name: str, values: list[float], unit: str, goal: float | None = None) -> float:
    ordered = sorted(values)
    middle = statistics.median(ordered)
    wanted = "" if goal is None else f"  goal {goal:g}"
    print(f"{name:44} min {ordered[0]:8.2f}  median {middle:8.2f}  max {ordered[-1]:8.2f} {unit}{wanted}")
    return middle


def judge(figures: list[Figures]) -> int:
    print(f"{OBJECTS} objects, {TEAMS} tenants, {TEAMS} vaults, {len(figures)} runs")
    show("all Ready after the controller's start", [f.ready for f in figures], "s")
    show("  CPU of the emulators meanwhile", [f.emulators for f in figures], "s")
    show("  CPU of the controller meanwhile", [f.controller for f in figures], "s")
    own = show("  all Ready, less the emulators' CPU", [f.own for f in figures], "s", READY_SECONDS)
    writes = [f.writes / OBJECTS for f in figures]
    show("status writes per object", writes, "", 1)
    show("  of them refused by a newer version", [f.conflicts for f in figures], "", 0)
    memory = show("peak memory of the controller", [f.memory for f in figures], "MiB", MEMORY_MIB)
    restart = show("restart, nothing to change: all seen", [f.restart for f in figures], "s", RESTART_SECONDS)
    rewritten = [f.restart_writes for f in figures]
    show("  status writes after the restart", rewritten, "", 0)
    show("  peak memory", [f.restart_memory for f in figures], "MiB", MEMORY_MIB)
    slow = own > READY_SECONDS * TOLERANCE or restart > RESTART_SECONDS * TOLERANCE or memory > MEMORY_MIB * TOLERANCE
    return 1 if slow or any(each != 1 for each in writes) or any(rewritten) else 0


def main() -> int:
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    authority = CertificateAuthority()
    with contextlib.ExitStack() as stack:
        with pinned(EMULATOR_CORE):
            entra = stack.enter_context(running_entra(authority))
            keyvault = stack.enter_context(running_keyvault(authority, entra.url))
        site = stack.enter_context(Site(authority, entra, keyvault))
        teams = make_teams(site, [f"team-{number:02}" for number in range(TEAMS)], SIZE)
        return judge([measure(site, teams) for _ in range(runs)])


if __name__ == "__main__":
    sys.exit(main())
