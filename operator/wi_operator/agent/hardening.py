"""Keeping other processes out of the sidecar's memory, where tokens and values are."""

from __future__ import annotations

import ctypes
import os

PR_SET_DUMPABLE = 4
"""prctl(2); linux/prctl.h."""


def forbid_dumps() -> None:
    """Make the process non-dumpable; raises ``OSError``.

    No core file is written, and /proc/PID/{mem,environ,fd,…} belong to root: in a pod that shares its processes a
    container with the sidecar's user cannot read its token there, nor attach to it (proc(5), ptrace(2)).
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
