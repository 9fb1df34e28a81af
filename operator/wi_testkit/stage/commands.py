"""Running programs: output back, complaints as one error."""

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from wi_testkit.stage.errors import CommandError

_ERROR_LINES = 6


def run(
    command: Sequence[str | Path],
    *,
    environment: Mapping[str, str] | None = None,
    stdin: str | None = None,
    timeout: float | None = None,
    folder: Path | None = None,
) -> str:
    """Return the standard output of ``command``; raises CommandError with its last words when it fails.

    ``timeout`` is in seconds.
    """
    shown = " ".join([Path(command[0]).name, *map(str, command[1:4])])
    try:
        done = subprocess.run(
            list(map(str, command)),
            env=environment,
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            text=True,
            timeout=timeout,
            cwd=folder,
            check=False,
        )
    except FileNotFoundError:
        raise CommandError(shown, "there is no such program") from None
    except subprocess.TimeoutExpired:
        raise CommandError(shown, f"gave no answer within {timeout:.0f} s") from None
    if done.returncode:
        words = (done.stderr.strip() or done.stdout.strip()).splitlines()[-_ERROR_LINES:]
        raise CommandError(shown, "\n  ".join(words) or f"exit code {done.returncode}")
    return done.stdout


def works(command: Sequence[str]) -> bool:
    """Tell whether the program exists and ends with 0."""
    try:
        run(command, timeout=15)
    except CommandError:
        return False
    return True
