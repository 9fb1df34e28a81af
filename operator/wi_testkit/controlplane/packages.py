"""System packages of the node: asked for by name, installed when we may."""

import os
import shutil
import subprocess
from collections.abc import Iterable

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
