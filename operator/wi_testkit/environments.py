"""Virtual environments of whole lock files, built into the cache: ``python -m wi_testkit.environments`` makes all."""

import hashlib
import shutil
import sys
from pathlib import Path

from wi_testkit.controlplane.cache import find_cache, hold_lock
from wi_testkit.controlplane.progress import Progress
from wi_testkit.stage.commands import run
from wi_testkit.stage.python import find_uv

REQUIREMENTS = Path(__file__).resolve().parents[2] / "requirements"
CREWAI = ("crewai-1.14.5", "crewai-1.15.30")
"""The oldest and the newest CrewAI that the runtime hook is tested with."""
CLOUD_TOOLS = "cloud-tools"
"""azure-cli and other parsers for the commands in the documentation."""
CHECKOV = "checkov"
"""The linter of manifests that the chart's tests ask."""
_KEPT = 2


def ensure_environment(name: str, progress: Progress | None = None) -> Path:
    """Return the interpreter of an environment with exactly what ``requirements/<name>.lock`` pins.

    Raises CommandError when it cannot be installed.
    """
    lock = REQUIREMENTS / f"{name}.lock"
    digest = hashlib.sha256(f"{sys.version}\0".encode() + lock.read_bytes()).hexdigest()[:12]
    folder = find_cache() / "environments" / f"{name}-{digest}"
    with hold_lock(f"environment-{name}"):
        if not (folder / "ready").exists():
            with (progress or Progress()).stage(f"environment {name}"):
                _build(folder, lock)
            _forget_old(folder, name)
    return folder / "bin" / "python"


def _build(folder: Path, lock: Path) -> None:
    # Not by one rename at the end: a virtual environment knows its own path.
    shutil.rmtree(folder, ignore_errors=True)
    run([sys.executable, "-m", "venv", "--without-pip", folder])
    run([find_uv(), "pip", "sync", "--quiet", "--require-hashes", "--python", folder / "bin" / "python", lock])
    (folder / "ready").touch()


def _forget_old(folder: Path, name: str) -> None:
    """Remove all but the newest: they are large."""
    known = sorted(folder.parent.glob(f"{name}-*"), key=lambda each: each.stat().st_mtime)
    for stale in known[:-_KEPT]:
        shutil.rmtree(stale, ignore_errors=True)


if __name__ == "__main__":
    for each in (*CREWAI, CLOUD_TOOLS, CHECKOV):
        ensure_environment(each)
