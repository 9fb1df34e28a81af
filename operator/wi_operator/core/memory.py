"""Memory that a served process does not need: not taken, or given back. Standard library only."""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import importlib.util
import sys
import types
import warnings
from typing import Any

M_ARENA_MAX = -8
"""mallopt(3): how many arenas threads may open. Ours resolve names and read files; an arena each holds megabytes."""


def give_back() -> None:
    """Return freed memory to the system: after many objects came at once glibc would keep it (malloc_trim(3))."""
    with contextlib.suppress(OSError, AttributeError):  # another libc than glibc
        ctypes.CDLL(None).malloc_trim(0)


SHARED_LENGTH = 32
"""Characters: names of fields, reasons, times; a longer text is hardly ever said twice."""


def share(value: Any) -> Any:
    """Return JSON with its short texts shared with all others of the process: a thousand objects repeat them (4 MiB)."""
    if isinstance(value, dict):
        return {sys.intern(name): share(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [share(inner) for inner in value]
    return sys.intern(value) if type(value) is str and len(value) <= SHARED_LENGTH else value


def keep_small() -> None:
    """Call before the heavy imports: use one arena, and load of ``kubernetes`` only what is imported by its own name.

    The ``__init__`` of ``kubernetes`` imports the synchronous client too (8 MiB; kopf looks for its models and goes without
    when they are not there), that of ``kubernetes.aio`` the dynamic client and what it needs (2 MiB).
    """
    with contextlib.suppress(OSError, AttributeError):  # another libc than glibc
        ctypes.CDLL(None).mallopt(M_ARENA_MAX, 1)
    if "kubernetes" in sys.modules or not importlib.util.find_spec("kubernetes"):
        return
    for name in ("kubernetes", "kubernetes.aio"):
        _stand_in(name)
    sys.modules["kubernetes.client"] = None  # type: ignore[assignment] # an import of it is an ImportError from here on


def _stand_in(name: str) -> None:
    """Put a package in place whose modules can be imported, without running its ``__init__``."""
    found = importlib.util.find_spec(name)
    package = types.ModuleType(name)
    package.__path__ = list((found and found.submodule_search_locations) or ())
    package.__spec__ = found
    sys.modules[name] = package
    parent, _, child = name.rpartition(".")
    if parent:  # as the import system does; the library's own code says kubernetes.aio.client
        setattr(sys.modules[parent], child, package)


def import_without(name: str, hidden: str) -> None:
    """Import ``name`` while ``hidden`` cannot be imported, for an import that is tried and not needed; later it can be again.

    Does nothing when ``name`` is not installed.
    """
    before = sys.modules.get(hidden)
    sys.modules[hidden] = None  # type: ignore[assignment] # as above
    try:
        with contextlib.suppress(ImportError), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it tells that it misses the other
            importlib.import_module(name)
    finally:
        del sys.modules[hidden]
        if before is not None:
            sys.modules[hidden] = before
