"""Fresh secrets for Python programs in an injected container; needs the standard library only.

``environment()`` gives a child process's environment, ``kickoff()`` refreshes this process; CrewAI needs neither, its
kickoffs are wrapped. The module of the launcher stands alone; nothing is imported here before it is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wi_kickoff.errors import KickoffRefusedError
    from wi_kickoff.runs import Run


def environment() -> dict[str, str]:
    """Return this process's environment with all declared variables read now; the process itself is not changed.

    For a child: ``subprocess.run(command, env=wi_kickoff.environment())``. Raises ``KickoffRefusedError`` (a
    ``RuntimeError``) that lists the variables, why, and what to do.
    """
    from wi_kickoff import values

    return values.as_environment(values.read("api"))


def kickoff() -> Run:
    """Return a context manager, for ``with`` and ``async with``, of one kickoff.

    On entry ``os.environ`` gets fresh values, and CrewAI's objects that hold earlier ones are rebound; raises
    ``KickoffRefusedError`` where they cannot be read, before the body runs. Kickoffs inside belong to this one and do not
    read again. ``id`` of what it gives is the kickoff's id in the sidecar's log.
    """
    from wi_kickoff.runs import Run

    return Run("api")


def __getattr__(name: str) -> Any:
    if name != "KickoffRefusedError":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from wi_kickoff.errors import KickoffRefusedError

    return KickoffRefusedError


__all__ = ["KickoffRefusedError", "environment", "kickoff"]
