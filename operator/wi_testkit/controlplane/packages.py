"""System packages of the node: asked for by name, installed when we may."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterable
from pathlib import Path

from wi_testkit.controlplane.cache import find_cache, hold_lock, publish
from wi_testkit.controlplane.errors import ControlPlaneError, MissingPackagesError
from wi_testkit.controlplane.progress import Progress

_INSTALLED = "install ok installed"


def find_missing(names: Iterable[str]) -> list[str]:
    """Return those Debian packages of ``names`` that are not installed (all, where there is no dpkg)."""
    return [name for name in names if not _is_installed(name)]


def _is_installed(name: str) -> bool:
    if not shutil.which("dpkg-query"):
        return False
    query = ["dpkg-query", "--show", "--showformat=${Status}", name]
    answer = subprocess.run(query, capture_output=True, text=True, check=False)
    return answer.returncode == 0 and answer.stdout == _INSTALLED


def ensure_packages(names: Iterable[str], progress: Progress | None = None) -> None:
    """Install those packages of ``names`` that are missing, as root with apt-get.

    Raises MissingPackagesError, naming the command to run, without root or without apt-get;
    ControlPlaneError when apt-get fails.
    """
    missing = find_missing(names)
    if not missing:
        return
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        raise MissingPackagesError(
            f"system packages are missing: {' '.join(missing)}; run: sudo apt-get install {' '.join(missing)}"
        )
    with (progress or Progress()).stage(f"install packages {' '.join(missing)}"):
        # Tried first with the lists at hand: an update is slow, and needless on most machines.
        if _install(missing):
            _run_apt("update")
            if trouble := _install(missing):
                raise ControlPlaneError(f"apt-get install {' '.join(missing)} failed: {trouble}")


def _install(names: list[str]) -> str:
    return _run_apt("install", "--yes", "--no-install-recommends", *names)


def _run_apt(*arguments: str) -> str:
    """Run apt-get and return its last line of complaint, empty on success."""
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    command = ["apt-get", "--quiet", "-o", "DPkg::Lock::Timeout=120", *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else (done.stderr.strip() or f"exit code {done.returncode}").splitlines()[-1]


def unpack_package(name: str) -> Path:
    """Return the folder in the cache that holds the files of a Debian package, which is not installed: no service starts.

    What it depends on is not brought. Raises ControlPlaneError.
    """
    folder = find_cache() / name
    with hold_lock(name):
        if not folder.exists():
            with publish(folder) as draft:
                _unpack(name, draft)
    return folder


def _unpack(name: str, folder: Path) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        download = ["apt-get", "--quiet", "download", name]
        if _run(download, scratch):
            _run(["apt-get", "--quiet", "update"], scratch)
            if trouble := _run(download, scratch):
                raise ControlPlaneError(f"apt-get download {name} failed: {trouble}")
        (archive,) = Path(scratch).glob("*.deb")
        if trouble := _run(["dpkg", "--extract", str(archive), str(folder)], scratch):
            raise ControlPlaneError(f"{archive.name} cannot be unpacked: {trouble}")


def _run(command: list[str], folder: str) -> str:
    """Return the last line of complaint, empty on success."""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else (done.stderr.strip() or f"exit code {done.returncode}").splitlines()[-1]
