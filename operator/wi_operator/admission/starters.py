"""Programs of workflow engines that stand in a container's command and start its own program when its turn comes. Pure.

The launcher goes behind them. Before them it would read the secrets when the pod starts, not when the step does; and its
failure would never reach the engine, whose later steps wait for what the starter says at the end (seen with Tekton 1.6: until
the TaskRun's timeout).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

TEKTON = "/tekton/bin/entrypoint"
"""``/tekton/bin/entrypoint [flags] -entrypoint PROGRAM -- [ARGUMENT]...``, of which only the first word is ``command``."""
ARGO = ("/var/run/argo/argoexec", "emissary")
"""``/var/run/argo/argoexec emissary [flags] -- PROGRAM [ARGUMENT]...``; arguments may go on in ``args``."""
_END = "--"


class Launch(NamedTuple):
    """The ``field`` of a container and its ``words`` with the launcher put in; ``is_there`` if it stood there already."""

    field: str
    words: list[str]
    is_there: bool


def owns_message(container: Mapping[str, Any]) -> bool:
    """Tell whether the container's program may write the termination message: Tekton's starter wants it for itself."""
    return _find_tekton(container) is None


def place_launcher(container: Mapping[str, Any], launcher: Sequence[str]) -> Launch:
    """Say how to put ``launcher`` (its words end with ``--``) before the program of a container that has a command."""
    command, args = list(container["command"]), list(container.get("args") or ())
    if (found := _find_tekton(container)) is not None:
        program, end = found
        own = args[end + 1 :]
        is_there = [args[program], *own[: len(launcher) - 1]] == [*launcher]
        words = [*args[:program], launcher[0], *args[program + 1 : end + 1], *launcher[1:], args[program], *own]
        return Launch("args", words, is_there)
    start = _find_argo(command)
    is_there = command[start : start + len(launcher)] == [*launcher]
    return Launch("command", [*command[:start], *launcher, *command[start:]], is_there)


def _find_tekton(container: Mapping[str, Any]) -> tuple[int, int] | None:
    """Return where in ``args`` the program stands and where the starter's own words end."""
    args = container.get("args") or ()
    if list(container.get("command") or ()) != [TEKTON] or _END not in args:
        return None
    end = args.index(_END)
    flags = args[:end]
    program = flags.index("-entrypoint") + 1 if "-entrypoint" in flags else end
    return (program, end) if program < end else None


def _find_argo(command: Sequence[str]) -> int:
    """Return where the program stands: behind Argo's starter, else at the start."""
    if tuple(command[:2]) == ARGO and _END in command[:-1]:
        return command.index(_END) + 1
    return 0
