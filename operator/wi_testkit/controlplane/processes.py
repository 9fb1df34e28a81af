"""Starts background processes, and ends them by recorded identity only: a pid together with its start time."""

import contextlib
import json
import os
import select
import shutil
import signal
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from wi_testkit.controlplane.errors import ControlPlaneError

_PROC = Path("/proc")


@dataclass(frozen=True)
class Process:
    """A process that cannot be mistaken for a later one with the same pid.

    ``started`` is its start time in clock ticks since boot, from ``/proc/<pid>/stat``.
    """

    name: str
    pid: int
    started: int

    @property
    def is_alive(self) -> bool:
        """Tell whether it still runs; a zombie does not."""
        return _read_start(self.pid) == self.started


def identify(name: str, pid: int) -> Process:
    """Return the process that has ``pid`` now; one that has just ended is given back as not alive."""
    return Process(name, pid, _read_start(pid) or 0)


def _read_start(pid: int) -> int | None:
    fields = _read_stat(pid)
    return None if not fields or fields[0] in {"Z", "X"} else int(fields[19])


def _read_stat(pid: int) -> list[str]:
    """Return the fields of ``/proc/<pid>/stat`` from the state on: what stands before may hold blanks."""
    try:
        return (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def find_children(parent: int) -> list[int]:
    """Return the pids whose parent is ``parent``."""
    pids = [int(entry.name) for entry in _PROC.iterdir() if entry.name.isdigit()]
    return [pid for pid in pids if (fields := _read_stat(pid)) and int(fields[1]) == parent]


def spawn(
    name: str,
    command: Sequence[str | Path],
    *,
    log: Path,
    environment: Mapping[str, str] | None = None,
    leashed: bool = False,
    stdin: int | None = None,
) -> Process:
    """Start ``command`` in a session of its own, with its output appended to ``log``.

    A ``leashed`` process is killed by the kernel when the *thread* that started it ends. Raises ControlPlaneError
    when the program does not exist.
    """
    leash = ["setpriv", "--pdeathsig", "KILL", "--"] if leashed and shutil.which("setpriv") else []
    argv = [str(part) for part in (*leash, *command)]
    program = shutil.which(argv[0])
    if program is None or shutil.which(str(command[0])) is None:
        raise ControlPlaneError(f"{name}: there is no program {command[0]}")
    log.parent.mkdir(parents=True, exist_ok=True)
    source = (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0)
    actions = [
        source if stdin is None else (os.POSIX_SPAWN_DUP2, stdin, 0),
        (os.POSIX_SPAWN_OPEN, 1, str(log), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600),
        (os.POSIX_SPAWN_DUP2, 1, 2),
        # What the caller inherited, a lock of flock(1) for example, must not be held for as long as a node lives.
        *((os.POSIX_SPAWN_CLOSE, descriptor) for descriptor in _list_inherited()),
    ]
    # Not Popen: an object that outlives nothing and warns, when collected, about daemons that are meant to stay.
    pid = os.posix_spawn(program, argv, dict(environment or os.environ), file_actions=actions, setsid=True)
    return identify(name, pid)


def _list_inherited() -> list[int]:
    """Return the descriptors beyond the standard three that a child would get."""
    found = []
    for descriptor in map(int, os.listdir("/proc/self/fd")):
        with contextlib.suppress(OSError):  # that of the listing itself is closed by now
            if descriptor > 2 and os.get_inheritable(descriptor):
                found.append(descriptor)
    return found


def terminate(process: Process, *, grace: float) -> None:
    """End ``process``: SIGTERM, and SIGKILL after ``grace`` seconds (at once when 0); returns when it is gone."""
    with contextlib.suppress(ProcessLookupError):
        handle = os.pidfd_open(process.pid)
        try:
            # Checked behind the open handle: from here on the pid cannot be recycled under our hands.
            if process.is_alive:
                _signal_until_gone(handle, grace)
        finally:
            os.close(handle)
    with contextlib.suppress(ChildProcessError):
        os.waitpid(process.pid, os.WNOHANG)


def _signal_until_gone(handle: int, grace: float) -> None:
    if grace:
        signal.pidfd_send_signal(handle, signal.SIGTERM)
        if _wait(handle, grace):
            return
    signal.pidfd_send_signal(handle, signal.SIGKILL)
    _wait(handle, None)


def _wait(handle: int, seconds: float | None) -> bool:
    poll = select.poll()
    poll.register(handle, select.POLLIN)
    return bool(poll.poll(None if seconds is None else seconds * 1000))


@dataclass(frozen=True)
class Register:
    """The processes of one plane or node, recorded in a folder so that a later run can end them."""

    folder: Path

    def record(self, process: Process) -> None:
        """Write ``process`` down; the file appears whole."""
        self.folder.mkdir(parents=True, exist_ok=True)
        draft = self.folder / f".{process.name}"
        draft.write_text(json.dumps(asdict(process)))
        draft.rename(self.folder / f"{process.name}.json")

    def load(self) -> list[Process]:
        """Return what was recorded, newest last."""
        files = sorted(self.folder.glob("*.json"), key=lambda path: path.stat().st_mtime_ns)
        return [Process(**json.loads(path.read_text())) for path in files]

    def find(self, name: str) -> Process | None:
        """Return the recorded process called ``name``."""
        return next((process for process in self.load() if process.name == name), None)

    def terminate_all(self, *, grace: float) -> None:
        """End every recorded process, the newest first, and forget it."""
        for process in reversed(self.load()):
            terminate(process, grace=grace)
            (self.folder / f"{process.name}.json").unlink(missing_ok=True)
