"""The persistent cache: where it is, one lock per concern, and folders that appear whole or not at all."""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

DRAFT_PREFIX = ".draft-"


def find_cache() -> Path:
    """Return the cache folder: ``WI_CACHE``, else a folder of ours below ``XDG_CACHE_HOME`` or ``~/.cache``."""
    if chosen := os.environ.get("WI_CACHE"):
        return Path(chosen).absolute()
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base).absolute() / "workload-identity-operator"


@contextmanager
def hold_lock(name: str) -> Iterator[None]:
    """Hold the cache-wide lock ``name``; waits for another holder, and ends with the process even on ``kill -9``."""
    path = find_cache() / "locks" / f"{name}.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    # Not inheritable (PEP 446): a child that outlives us must not keep the lock.
    with path.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


@contextmanager
def publish(folder: Path) -> Iterator[Path]:
    """Yield a draft folder that becomes ``folder`` by one rename when the block succeeds.

    The caller holds the lock of ``folder``, so drafts found there belong to builds that were killed.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    prefix = f"{DRAFT_PREFIX}{folder.name}-"
    for stale in folder.parent.glob(f"{prefix}*"):
        shutil.rmtree(stale, ignore_errors=True)
    draft = Path(tempfile.mkdtemp(prefix=prefix, dir=folder.parent))
    draft.chmod(0o755)
    try:
        yield draft
        draft.rename(folder)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise
