"""Memory that a served process does not need: not taken, or given back. Standard library only."""

from __future__ import annotations

import contextlib
import ctypes
import importlib.util
import sys
import types

M_ARENA_MAX = -8
"""mallopt(3): how many arenas threads may open. Ours resolve names and read files; an arena each holds megabytes."""


def give_back() -> None:
    """Return freed memory to the system: after many objects came at once glibc would keep it (malloc_trim(3))."""
    with contextlib.suppress(OSError, AttributeError):  # another libc than glibc
        ctypes.CDLL(None).malloc_trim(0)


def keep_small() -> None:
    """Call before the heavy imports: use one arena, and load ``kubernetes.aio`` without the synchronous client beside it (8 MiB).

    The package's ``__init__`` imports both; kopf looks for the synchronous models and goes without when they are not there.
    """
    with contextlib.suppress(OSError, AttributeError):  # another libc than glibc
        ctypes.CDLL(None).mallopt(M_ARENA_MAX, 1)
    found = importlib.util.find_spec("kubernetes")
    if found is None or "kubernetes" in sys.modules:
        return
    package = types.ModuleType("kubernetes")
    package.__path__ = list(found.submodule_search_locations or ())
    package.__spec__ = found
    sys.modules["kubernetes"] = package
    sys.modules["kubernetes.client"] = None  # type: ignore[assignment] # an import of it is an ImportError from here on
