"""Kickoffs without a break, while something is done to the installation."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from wi_testkit.world import Team, fingerprint

_VARIABLES = {"APP_A": "secret://demo/a"}
_VALUE = "planted-a"
_TURN_SECONDS = 5.0
_END_SECONDS = 150.0


class Loops(threading.Thread):
    """Kickoffs in a pod that runs on, and beside it each in a pod of its own with a grant of its own.

    One whose application saw anything but the vault's value has failed. ``told`` is what the failed ones said.
    """

    def __init__(self, team: Team) -> None:
        super().__init__(daemon=True)
        team.set_secret("a", _VALUE)
        self.team, self.worker = team, team.start_worker("loop", _VARIABLES)
        self.ended = threading.Event()
        self.kickoffs, self.failed = 0, 0
        self.told: list[str] = []
        self._jobs = threading.Thread(target=self._run_jobs, daemon=True)

    def run(self) -> None:
        """Go on until ``ended`` is set."""
        self._jobs.start()
        while not self.ended.is_set():
            said = self.worker.kick_for(_TURN_SECONDS)
            found = re.fullmatch(r"kickoffs (\d+), failed (\d+)", said.splitlines()[-1])
            self._count(int(found[1]) if found else 0, int(found[2]) if found else 1, said)
        self._jobs.join(_END_SECONDS)

    def finish(self) -> None:
        """End after the present turn; may be called twice."""
        self.ended.set()
        self.join(_END_SECONDS)

    def _run_jobs(self) -> None:
        while not self.ended.is_set():
            outcome = self.team.kick("fresh", _VARIABLES)
            is_right = outcome.succeeded and outcome.fingerprints == {"APP_A": fingerprint(_VALUE)}
            self._count(1, 0 if is_right else 1, outcome.termination_message + outcome.log)

    def _count(self, done: int, failed: int, said: str) -> None:
        self.kickoffs += done
        self.failed += failed
        if failed:
            self.told.append(said)


@contextmanager
def kickoffs_going_on(team: Team) -> Iterator[Loops]:
    """Run the loops until the block ends."""
    loops = Loops(team)
    loops.start()
    try:
        yield loops
    finally:
        loops.finish()
