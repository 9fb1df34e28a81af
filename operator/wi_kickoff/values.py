"""Fresh values from the sidecar, and how they reach this process's environment."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from wi_kickoff import launch, trouble
from wi_kickoff.errors import REPORT, KickoffRefusedError, refuse

RUN_DIR = "/run/wi"
SOCKET_NAME = "kickoff.sock"
NOTE = "WI_KICKOFF"
"""Variable in which the launcher tells its pid and the names that it set, with ``=`` between them."""
PYTHON_PATH = b"PYTHONPATH"
ID, INFO = b"k ", b"i "


def find_folder() -> str:
    """Return the container's folder: this package lies in its ``hook``, unless it was installed into the image."""
    folder = Path(__file__).resolve().parents[2]
    return str(folder) if (folder / SOCKET_NAME).exists() else RUN_DIR


@dataclass(frozen=True, slots=True)
class Information:
    """What may be told of a variable; ``age`` in seconds, empty where the vault does not say."""

    name: str
    version: str
    age: str
    fingerprint: str
    reference: str


@dataclass(frozen=True, slots=True)
class Reading:
    """One kickoff's values, by name; ``repr`` leaves them out."""

    kickoff: str = ""
    values: Mapping[bytes, bytes] = field(default_factory=dict, repr=False)
    information: tuple[Information, ...] = ()


def read(source: str, folder: str = "") -> Reading:
    """Ask the sidecar for every declared variable; ``source`` is one of ``wire.SOURCES``.

    Its log lines go to standard error. Raises ``KickoffRefusedError``.
    """
    folder = folder or find_folder()
    try:
        request = b"wi1 kickoff " + source.encode() + b"\n"
        fields = trouble.ask_again(None, folder + "/" + SOCKET_NAME, request)
        return _understand(fields[1:-2], folder)
    except trouble.LaunchError as error:
        lines = error.lines
        if lines and lines[0].startswith("Workload identity kickoff failed"):
            raise KickoffRefusedError(lines) from None
        raise refuse(announced_names(), lines[0] if lines else "No reason was given.", _remedy(lines)) from None


def _remedy(lines: tuple[str, ...]) -> str:
    return " ".join(line.removeprefix(REPORT) for line in lines[1:]) or "look at the sidecar's log."


def _understand(fields: list[bytes], folder: str) -> Reading:
    tagged = [(each[:2], each[2:]) for each in fields]
    names = {content.partition(b"=")[0] for tag, content in tagged if tag in (b"v ", b"t ")}
    # Templates see what stands before them, as when the container started, and never an earlier kickoff's value.
    environment = {name: value for name, value in os.environb.items() if name not in names}
    left = launch.apply_fields(environment, [each for each in fields if each[:2] not in (ID, INFO)])
    trouble.refuse_references(environment, left)
    values = {name: environment[name] for name in names}
    if PYTHON_PATH in names:
        # Else the descendants of this process would lose the hook at its first kickoff.
        values[PYTHON_PATH] = os.fsencode(folder) + b"/hook:" + values[PYTHON_PATH]
    _check_size(values)
    return Reading(
        kickoff=next((launch.text(content) for tag, content in tagged if tag == ID), ""),
        values=values,
        information=tuple(_inform(content) for tag, content in tagged if tag == INFO),
    )


def _inform(content: bytes) -> Information:
    return Information(*(launch.text(part) for part in content.split(b"\t", 4)))


def _check_size(values: Mapping[bytes, bytes]) -> None:
    if any(len(name) + len(value) + 2 > trouble.MAX_STRING for name, value in values.items()):
        # The child processes of the application could not be started with it.
        raise trouble.LaunchError(*trouble.too_large(dict(values)))


def apply(reading: Reading) -> set[str]:
    """Write what changed into ``os.environ``; returns the names that did. Everything was read before the first write."""
    changed = {name: value for name, value in reading.values.items() if os.environb.get(name) != value}
    for name, value in changed.items():
        os.environb[name] = value
    return {os.fsdecode(name) for name in changed}


def as_environment(reading: Reading) -> dict[str, str]:
    """Return this process's environment with the values in it, for a child process."""
    fresh = {os.fsdecode(name): os.fsdecode(value) for name, value in reading.values.items()}
    return {**os.environ, **fresh}


def announced_names() -> tuple[str, ...]:
    """Return the names that the launcher set in this container; empty without a launcher."""
    return tuple(os.environ.get(NOTE, "").split("=")[1:])


def launched_seconds() -> float | None:
    """Return how long ago the launcher became this very process; None for a descendant, or where it cannot be known."""
    if os.environ.get(NOTE, "").partition("=")[0] != str(os.getpid()):
        return None
    try:
        # proc(5): field 22, in clock ticks since the machine started; the name in brackets may hold anything.
        started = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19]) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError):
        return None
    return time.clock_gettime(time.CLOCK_BOOTTIME) - started
