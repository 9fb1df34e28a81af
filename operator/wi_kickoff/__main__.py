"""The command line: ``python -m wi_kickoff exec -- CMD`` and ``python -m wi_kickoff check``."""

from __future__ import annotations

import argparse
import os
import signal
import sys

from wi_kickoff import launch, trouble, values
from wi_kickoff.errors import KickoffRefusedError


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit code, 78 when the secrets cannot be read."""
    parser = argparse.ArgumentParser(prog="python -m wi_kickoff", description="Secrets of this container, read now.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    run = commands.add_parser("exec", help="replace this process by a command with fresh secrets in its environment")
    run.add_argument("words", nargs=argparse.REMAINDER, metavar="-- CMD [ARGUMENT]...", help="the command")
    commands.add_parser("check", help="show what a kickoff would inject: versions and fingerprints, no values")
    options = parser.parse_args(arguments)
    try:
        return check() if options.command == "check" else execute(options.words)
    except KickoffRefusedError as error:
        print(error, file=sys.stderr)
        return launch.EXIT_CODE


def execute(words: list[str]) -> int:
    """Replace this process by the command; returns 126 or 127 when it cannot be run, 2 without a command."""
    command = words[1:] if words[:1] == ["--"] else words
    if not command:
        print("usage: python -m wi_kickoff exec -- CMD [ARGUMENT]...", file=sys.stderr)
        return 2
    environment = {**os.environb, **values.read("api").values}
    # The interpreter ignores it from its start on, and what is ignored would survive exec.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    try:
        os.execvpe(command[0], command, environment)
    except OSError as error:
        missing = isinstance(error, FileNotFoundError | NotADirectoryError)
        return _explain(command[0], environment, None if missing else error)


def _explain(name: str, environment: dict[bytes, bytes], problem: OSError | None) -> int:
    try:
        trouble.refuse_command(name, environment, problem)
    except trouble.LaunchError as error:
        print(error, file=sys.stderr)
        return error.code
    return launch.EXIT_CODE


def check() -> int:
    """Print one screen: what would be injected, and whether the runtime hook is in place."""
    reading = values.read("check")
    rows = [("VARIABLE", "REFERENCE", "VERSION", "AGE", "FINGERPRINT")]
    rows += [(i.name, i.reference, i.version[:8] or "-", i.age or "-", i.fingerprint) for i in reading.information]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    print(f"\nkickoff        {reading.kickoff}")
    print(f"runtime hook   {_describe_hook()}")
    print(f"crewai         {_describe_crewai()}")
    return 0


def _describe_hook() -> str:
    if any(type(finder).__name__ == "KickoffFinder" for finder in sys.meta_path):
        return "active"
    return (
        "not active: the pod's annotation switched it off, python runs with -I, -E or -S, or another sitecustomize comes "
        "first on PYTHONPATH and does not run the next"
    )


def _describe_crewai() -> str:
    from importlib import metadata

    try:
        return metadata.version("crewai")
    except metadata.PackageNotFoundError:
        return "not installed"


if __name__ == "__main__":
    sys.exit(main())
