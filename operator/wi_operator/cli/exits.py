"""The exit codes of ``kubectl wi``; the reference in ``docs/cli.md`` is made from them."""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    """How a command ended."""

    OK = 0
    BAD = 1
    USAGE = 2
    CANNOT = 3
    NO_VERDICT = 4
    FAULT = 70
    INTERRUPTED = 130


MEANINGS = {
    Exit.OK: "all is well, or what was asked for is done",
    Exit.BAD: "something is wrong with what was looked at: an object is not Ready, a check failed, a value did not arrive",
    Exit.USAGE: "the command line cannot be used",
    Exit.CANNOT: "the cluster could not be asked: unreachable, forbidden, nothing installed, no such object",
    Exit.NO_VERDICT: "there was no verdict in time",
    Exit.FAULT: "a fault of kubectl wi itself; `--debug` shows where",
    Exit.INTERRUPTED: "interrupted by Ctrl-C",
}
