"""The one error that this package raises."""

from __future__ import annotations

from collections.abc import Iterable

REPORT = "What to do: "


class KickoffRefusedError(RuntimeError):
    """A kickoff was not started, because its secrets could not be read or used.

    The text lists the variables, why, and what to do; ``lines`` are its lines. It never quotes a value.
    """

    def __init__(self, lines: Iterable[str]) -> None:
        self.lines = tuple(lines)
        super().__init__("\n".join(self.lines))


def refuse(names: Iterable[str], why: str, remedy: str) -> KickoffRefusedError:
    """Return the error of a kickoff that failed before the sidecar could judge it."""
    listed = ", ".join(names) or "any secret variable"
    return KickoffRefusedError((f"Workload identity kickoff failed: {listed}: no fresh value.", why, REPORT + remedy))
