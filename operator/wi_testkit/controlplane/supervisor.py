"""Process 1 of a node: arranges its mounts, starts its components in order, and reaps what they leave.

It runs in network, mount and process namespaces of its own. When it ends, however it ends, the kernel ends every
process of the node and takes its mounts and interfaces away; that is why nothing here cleans up.
"""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from wi_testkit.controlplane.errors import ControlPlaneError, NotReadyError
from wi_testkit.controlplane.processes import spawn
from wi_testkit.controlplane.readiness import answers, quote_log

GO = "go"
RUNNING = "running"
_AWAIT_SECONDS = 90.0
_POLL_SECONDS = 0.05
_KEEP = Path("/run/wi-keep")


@dataclass
class Status:
    """What the supervisor tells the outside, as a JSON file that is always whole.

    ``exits`` maps a component that ended to its exit code, negative for a signal.
    """

    path: Path
    stage: str = "arranging"
    error: str = ""
    exits: dict[str, int] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> "Status":
        """Return what stands in ``path``, an untouched status when there is nothing yet."""
        try:
            return cls(path, **json.loads(path.read_text()))
        except FileNotFoundError:
            return cls(path)

    def write(self) -> None:
        """Replace the file."""
        draft = self.path.with_suffix(".draft")
        draft.write_text(json.dumps({"stage": self.stage, "error": self.error, "exits": self.exits}))
        draft.rename(self.path)


class Supervisor:
    """Runs one node as ``spec`` says, which :mod:`wi_testkit.controlplane.layout` renders."""

    def __init__(self, spec: dict[str, Any]) -> None:
        """Read the spec; nothing is done yet."""
        self._spec = spec
        self._status = Status(Path(spec["status"]))
        self._names: dict[int, str] = {}

    def run(self) -> None:
        """Start everything, then reap for ever. Raises ControlPlaneError when a component does not come up."""
        arrange_mounts(self._spec)
        self._tell("waiting")
        # Whoever started us says so once it has written our pid down and laid the wires. Did it die first, then
        # this is the end of a file, and we end too instead of living on unknown.
        if sys.stdin.read(len(GO)) != GO:
            raise ControlPlaneError("the starter went away")
        for component in self._spec["components"]:
            for condition in component["awaits"]:
                self._await(component["name"], condition)
            self._start(component)
        self._tell(RUNNING)
        while True:
            self._reap(block=True)

    def fail(self, error: str) -> None:
        """Tell the outside why this ends."""
        self._status.error = error
        self._status.write()

    def _tell(self, stage: str) -> None:
        self._status.stage = stage
        self._status.write()

    def _start(self, component: dict[str, Any]) -> None:
        name = component["name"]
        process = spawn(
            name,
            component["command"],
            log=self._find_log(name),
            environment={**os.environ, **self._spec["environment"]},
        )
        self._names[process.pid] = name
        self._tell(f"started {name}")

    def _await(self, name: str, condition: dict[str, str]) -> None:
        deadline = time.monotonic() + _AWAIT_SECONDS
        is_met = build_check(condition)
        while not is_met():
            self._reap(block=False)
            if ended := next(iter(self._status.exits), None):
                raise NotReadyError(
                    f"{ended} ended with {self._status.exits[ended]}; {quote_log(self._find_log(ended))}"
                )
            if time.monotonic() > deadline:
                raise NotReadyError(
                    f"{name} waited {_AWAIT_SECONDS:.0f} s for {condition}; see the logs beside its own"
                )
            time.sleep(_POLL_SECONDS)

    def _reap(self, *, block: bool) -> None:
        """Collect ended children, of which most are orphans of containers."""
        try:
            pid, code = os.waitpid(-1, 0 if block else os.WNOHANG)
        except ChildProcessError:
            time.sleep(_POLL_SECONDS)
            return
        if name := self._names.pop(pid, ""):
            self._status.exits[name] = os.waitstatus_to_exitcode(code)
            self._status.write()

    def _find_log(self, name: str) -> Path:
        return Path(self._spec["logs"]) / f"{name}.log"


def build_check(condition: dict[str, str]) -> Callable[[], bool]:
    """Return a test of ``{"url", "authority"?}`` or of ``{"socket"}``."""
    if path := condition.get("socket"):
        return lambda: _accepts(path)
    authority = condition.get("authority")
    return lambda: answers(condition["url"], Path(authority) if authority else None)


def _accepts(path: str) -> bool:
    with closing(socket.socket(socket.AF_UNIX)) as probe:
        return probe.connect_ex(path) == 0


def arrange_mounts(spec: dict[str, Any]) -> None:
    """Give the node folders of its own where its programs insist on a path, and values where they would set one."""
    _mount("-t", "tmpfs", "-o", "mode=755", "tmpfs", "/run")
    kept = [(Path(path), _hold(index, path)) for index, path in enumerate(spec["keep"])]
    for path, private in spec["hide"].items():
        _mount("--bind", private, path)
        _restore(kept)
    for path, shadow in _list_shadows(spec["shadow"]):
        _mount("--bind", str(shadow), path)
    for path, value in spec["sysctls"].items():
        Path(path).write_text(value)
    # As on an ordinary host; pods that ask for mount propagation need it. Last: a shared mount cannot be hidden well.
    _mount("--make-rshared", "/")


def _hold(index: int, path: str) -> Path:
    """Keep ``path`` within reach while a folder above it may be hidden."""
    held = _KEEP / str(index)
    held.mkdir(parents=True)
    _mount("--rbind", path, str(held))
    return held


def _restore(kept: list[tuple[Path, Path]]) -> None:
    for path, held in kept:
        if not path.exists():
            path.mkdir(parents=True)
            _mount("--rbind", str(held), str(path))


def _list_shadows(values: dict[str, str]) -> Iterator[tuple[str, Path]]:
    for index, (path, value) in enumerate(values.items()):
        if Path(path).exists():
            shadow = _KEEP / f"sysctl-{index}"
            shadow.write_text(f"{value}\n")
            yield path, shadow


def _mount(*arguments: str) -> None:
    done = subprocess.run(["mount", "--no-mtab", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise ControlPlaneError(f"mount {' '.join(arguments)}: {done.stderr.strip()}")


def main(path: str) -> int:
    """Run the node whose spec stands in ``path``."""
    supervisor = Supervisor(json.loads(Path(path).read_text()))
    try:
        supervisor.run()
    except (ControlPlaneError, OSError) as error:
        supervisor.fail(str(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
