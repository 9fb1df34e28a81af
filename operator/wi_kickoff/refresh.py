"""One refresh of this process: read, write the environment, rebind what still holds an earlier value.

Kickoffs that begin while another one reads wait for the next reading and share it: none is ever served by a reading that
began before it did.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable

from wi_kickoff import launch, rebinding, values
from wi_kickoff.history import History
from wi_kickoff.values import Reading

PREFETCH_SECONDS = 5.0


class _Batch:
    """A reading that has not begun, and all who wait for it."""

    def __init__(self) -> None:
        self.done = threading.Event()
        self.reading = Reading()
        self.error: BaseException | None = None


class Refresher:
    """Refreshes a process; every thread may ask."""

    def __init__(self) -> None:
        self.history = History()
        self._forget_locks()
        if hasattr(os, "register_at_fork"):
            # A thread that held a lock does not exist in the child.
            os.register_at_fork(after_in_child=self._forget_locks)

    def _forget_locks(self) -> None:
        self._entry = threading.Lock()
        self._reading = threading.Lock()
        self._next: _Batch | None = None

    def refresh(self, source: str) -> Reading:
        """Return a reading that began after this call; raises ``KickoffRefusedError``, then nothing was changed."""
        with self._entry:
            batch, leads = self._next, self._next is None
            if batch is None:
                batch = self._next = _Batch()
        if leads:
            self._lead(batch, source)
        else:
            batch.done.wait()
        if batch.error is not None:
            raise batch.error
        return batch.reading

    def _lead(self, batch: _Batch, source: str) -> None:
        try:
            with self._reading:
                with self._entry:
                    self._next = None  # who comes from now on began after this reading does
                batch.reading = values.read(source)
                self._adopt(batch.reading)
        except BaseException as error:  # noqa: BLE001 - told to all who wait
            batch.error = error
        finally:
            with self._entry:
                if self._next is batch:
                    self._next = None
            batch.done.set()

    def _adopt(self, reading: Reading) -> None:
        fresh = {os.fsdecode(name): os.fsdecode(value) for name, value in reading.values.items()}
        self.history.note(_held(fresh))  # what the launcher, or a file of the image, had set
        changed = values.apply(reading)
        self.history.note(fresh)
        if changed:
            tell(rebinding.sweep(self.history))

    def prefetch(self) -> None:
        """Read at the first import of CrewAI, so that what is built at import finds its keys; a failure is only told."""
        launched = values.launched_seconds()
        if launched is not None and launched < PREFETCH_SECONDS:
            names = values.announced_names()
            self.history.note(_held(names))
            return
        try:
            self.refresh("hook")
        except Exception as error:  # noqa: BLE001 - the next kickoff tells it, and stops
            lines = str(error).splitlines() or [type(error).__name__]
            launch.say("Workload identity warning: no values before the first kickoff: " + lines[-1])


def _held(names: Iterable[str]) -> dict[str, str]:
    return {name: os.environ[name] for name in names if name in os.environ}


def tell(warnings: list[str]) -> None:
    """Write warnings to standard error."""
    for warning in warnings:
        launch.say("Workload identity warning: " + warning)


refresher = Refresher()
"""The process's only one."""
