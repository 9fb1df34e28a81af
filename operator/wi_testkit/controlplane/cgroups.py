"""The control group below which a node's pods live, in every hierarchy of cgroup v1 and in v2."""

import contextlib
import os
import time
from dataclasses import dataclass
from pathlib import Path

from wi_testkit.controlplane.errors import ControlPlaneError

_MOUNTS = Path("/proc/self/mounts")
_V2_CONTROLLERS = ("cpuset", "cpu", "io", "memory", "pids", "hugetlb")
_REMOVE_SECONDS = 10.0


@dataclass(frozen=True)
class Hierarchy:
    """One mounted hierarchy."""

    folder: Path
    is_v2: bool


def find_hierarchies() -> list[Hierarchy]:
    """Return every hierarchy that is mounted here: several with v1, one with v2, both kinds when mixed."""
    fields = [line.split() for line in _MOUNTS.read_text().splitlines()]
    return [Hierarchy(Path(mount[1]), mount[2] == "cgroup2") for mount in fields if mount[2] in {"cgroup", "cgroup2"}]


@dataclass(frozen=True)
class ControlGroup:
    """The group ``/<name>`` of every hierarchy."""

    name: str

    @property
    def path(self) -> str:
        """Return its path as the kubelet's ``cgroupRoot`` wants it."""
        return f"/{self.name}"

    def create(self) -> None:
        """Make the group; raises ControlPlaneError where control groups cannot be written."""
        hierarchies = find_hierarchies()
        if not hierarchies:
            raise ControlPlaneError("no cgroup hierarchy is mounted; a node needs /sys/fs/cgroup")
        for hierarchy in hierarchies:
            try:
                self._create_in(hierarchy)
            except OSError as error:
                raise ControlPlaneError(f"cannot make a control group in {hierarchy.folder}: {error}") from error

    def remove(self) -> None:
        """Remove the group and those below it; raises ControlPlaneError when processes stay in it for 10 s."""
        deadline = time.monotonic() + _REMOVE_SECONDS
        while left := [folder for folder in self._list_folders() if not _remove_tree(folder)]:
            if time.monotonic() > deadline:
                raise ControlPlaneError(f"control group {left[0]} is still busy")
            time.sleep(0.05)

    def _list_folders(self) -> list[Path]:
        folders = [hierarchy.folder / self.name for hierarchy in find_hierarchies()]
        return [folder for folder in folders if folder.exists()]

    def _create_in(self, hierarchy: Hierarchy) -> None:
        group = hierarchy.folder / self.name
        if hierarchy.is_v2:
            _delegate(hierarchy.folder)
        group.mkdir(exist_ok=True)
        if hierarchy.is_v2:
            _delegate(group)
        # A v1 cpuset is born empty, and no process can enter it.
        elif (group / "cpuset.cpus").exists():
            for name in ("cpuset.cpus", "cpuset.mems"):
                (group / name).write_text((hierarchy.folder / name).read_text())


def _delegate(group: Path) -> None:
    """Hand the controllers on to the groups below, each for itself: one that cannot must not cost the others."""
    available = (group / "cgroup.controllers").read_text().split()
    for controller in _V2_CONTROLLERS:
        if controller in available:
            with contextlib.suppress(OSError):
                (group / "cgroup.subtree_control").write_text(f"+{controller}")


def _remove_tree(folder: Path) -> bool:
    for parent, _, _ in os.walk(folder, topdown=False):
        with contextlib.suppress(OSError):
            Path(parent).rmdir()
    return not folder.exists()
