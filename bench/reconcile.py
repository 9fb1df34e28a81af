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
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass

from figures import Figures

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
CONTROLLER_CORE, EMULATOR_CORE = 0, 1
SEEN = "everything was seen"
PATIENCE = 300.0


@dataclass(frozen=True)
class Run:
    """One run."""

    ready: float
    emulators: float
    controller: float
    writes: float
    conflicts: float
    memory: float
    peak: float
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


def measure(site: Site, teams: list[Team]) -> Run:
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
    memory, peak = controller.resident_mib, controller.peak_mib
    writes, conflicts = count_status_writes(site) - writes, count_status_writes(site, code="409") - conflicts
    controller.stop()
    before = count_status_writes(site)
    again = site.start_controller("bench", core=CONTROLLER_CORE)
    restart = again.wait_for(SEEN, seconds=PATIENCE).at - again.began
    settle(site, again, OBJECTS)
    run = Run(
        ready, emulators, cpu, writes, conflicts, memory, peak, restart, count_status_writes(site) - before,
        again.resident_mib,
    )  # fmt: skip
    again.stop()
    delete_objects(site, teams)
    return run


def judge(runs: list[Run]) -> int:
    figures = Figures()
    print(f"reconcile: {OBJECTS} objects, {TEAMS} tenants, {TEAMS} vaults")
    figures.tell("start to all Ready", [run.ready for run in runs], "s")
    figures.tell("CPU of the emulators meanwhile", [run.emulators for run in runs], "s")
    figures.tell("CPU of the controller meanwhile", [run.controller for run in runs], "s")
    figures.tell("all Ready, less the emulators' CPU", [run.own for run in runs], "s", most=READY_SECONDS)
    figures.tell("memory of the controller", [run.memory for run in runs], "MiB", most=MEMORY_MIB)
    figures.tell("its peak", [run.peak for run in runs], "MiB")
    figures.tell("restart, nothing to change: all seen", [run.restart for run in runs], "s", most=RESTART_SECONDS)
    figures.tell("memory after the restart", [run.restart_memory for run in runs], "MiB", most=MEMORY_MIB)
    exact = True
    for name, values, wanted in (
        ("status writes per object", [run.writes / OBJECTS for run in runs], 1),
        ("of them refused: a newer version", [run.conflicts for run in runs], 0),
        ("status writes after the restart", [run.restart_writes for run in runs], 0),
    ):
        figures.tell(name, values)
        if any(value != wanted for value in values):
            print(f"  {name}: exactly {wanted} in every run is wanted")
            exact = False
    return figures.close() or int(not exact)


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
