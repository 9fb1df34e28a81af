"""Between two kickoffs: a person, or a command of theirs, rotates."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence

from wi_operator.cli.complaints import Complaint
from wi_operator.cli.exits import Exit


def await_rotation(references: Sequence[str], command: str) -> bool:
    """Run the command, or wait for Enter; returns true. Raises ``Complaint`` when the command fails or nobody answers."""
    if command:
        print(f"rotating with: {command}", file=sys.stderr)
        # The user's own shell line, on the user's own machine; its output is no result of ours.
        done = subprocess.run(command, shell=True, stdout=sys.stderr, check=False)  # noqa: S602
        if done.returncode:
            raise Complaint(f"--rotate-with ended with {done.returncode}: there was no second kickoff.", Exit.BAD)
        return True
    print(
        f"Now rotate what {', '.join(references) or 'the Job'} reads, then press Enter. ",
        end="",
        file=sys.stderr,
        flush=True,
    )
    if not sys.stdin.readline():
        raise Complaint(
            "Nobody can press Enter here: add --rotate-with COMMAND, or --yes to compare without one.", Exit.USAGE
        )
    return True
