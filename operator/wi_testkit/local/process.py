"""One process of the product: its log as it comes, its memory, and its end."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

SOURCE_ROOT = Path(__file__).resolve().parents[2]
STOP_SECONDS = 30.0
MIB = 1024 * 1024


class ProcessError(RuntimeError):
    """A process ended, or did not say in time what was waited for."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a JSON log and when it came, on the monotonic clock."""

    at: float
    entry: Mapping[str, Any]

    @property
    def message(self) -> str:
        """The text without its fields."""
        return str(self.entry.get("message", ""))


@dataclass(slots=True)
class Started:
    """A running process; ``lines`` grows while it runs."""

    name: str
    process: subprocess.Popen[str]
    began: float
    health_port: int
    lines: list[Line] = field(default_factory=list)
    ended: float | None = None
    _more: threading.Condition = field(default_factory=threading.Condition)

    @classmethod
    def start(cls, name: str, arguments: Sequence[str], environment: Mapping[str, str], health_port: int) -> Started:
        """Start ``python -m wi_testkit.local.start`` with ``arguments`` and read its log from now on."""
        # Killed by the kernel with the thread that started it: nothing is left behind by a test that is killed.
        leash = ["setpriv", "--pdeathsig", "KILL", "--"] if shutil.which("setpriv") else []
        began = time.monotonic()
        process = subprocess.Popen(
            [*leash, sys.executable, "-m", "wi_testkit.local.start", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            env={"PYTHONPATH": str(SOURCE_ROOT), "PATH": os.environ.get("PATH", os.defpath), **environment},
        )
        started = cls(name, process, began, health_port)
        threading.Thread(target=started._read, daemon=True).start()
        return started

    def _read(self) -> None:
        for text in self.process.stderr or ():
            try:
                entry = json.loads(text)
            except ValueError:
                entry = {"message": text.rstrip(), "level": "text"}
            with self._more:
                self.lines.append(Line(time.monotonic(), entry))
                self._more.notify_all()
        self.process.wait()
        with self._more:
            self.ended = time.monotonic()
            self._more.notify_all()

    def find(self, message: str) -> list[Line]:
        """Return the lines with exactly this message so far."""
        return [line for line in list(self.lines) if line.message == message]

    def wait_for(self, message: str, *, seconds: float = 60.0, count: int = 1) -> Line:
        """Return the ``count``-th line with this message; raises ``ProcessError`` when it does not come."""
        self._wait(lambda: len(self.find(message)) >= count or self.ended is not None, seconds)
        found = self.find(message)
        if len(found) < count:
            raise ProcessError(f"{self.name} did not log {message!r} {count} times; it says: {self.tail()}")
        return found[count - 1]

    def wait_end(self, *, seconds: float = 60.0) -> int:
        """Return the exit code; raises ``ProcessError`` when it goes on running."""
        self._wait(lambda: self.ended is not None, seconds)
        if self.ended is None:
            raise ProcessError(f"{self.name} is still running; it says: {self.tail()}")
        return self.process.wait()

    def _wait(self, fact: Callable[[], bool], seconds: float) -> None:
        with self._more:
            self._more.wait_for(fact, seconds)

    def tail(self) -> str:
        """Return the last lines, for a message."""
        return "\n".join(json.dumps(line.entry) for line in self.lines[-12:])

    @property
    def is_running(self) -> bool:
        """True until it has ended."""
        return self.process.poll() is None

    @property
    def rss_mib(self) -> float:
        """Resident memory now."""
        return self._status("VmRSS")

    @property
    def resident_mib(self) -> float:
        """Resident memory now."""
        return self._status("VmRSS")

    @property
    def peak_mib(self) -> float:
        """The most resident memory so far."""
        return self._status("VmHWM")

    def _status(self, name: str) -> float:
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith(f"{name}:"):
                return int(line.split()[1]) * 1024 / MIB
        raise ProcessError(f"{self.name} has no {name}: it has ended")

    @property
    def cpu_seconds(self) -> float:
        """User and system time so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def kill(self) -> None:
        """End it as the kernel's memory killer would: at once, with nothing cleaned up."""
        self.process.send_signal(signal.SIGKILL)
        self.wait_end()

    def stop(self) -> None:
        """End it as the kubelet would."""
        if self.is_running:
            self.process.terminate()
            try:
                self.wait_end(seconds=STOP_SECONDS)
            except ProcessError:
                self.process.kill()
                self.process.wait()
                raise
