"""Entry of ``kubectl-wi`` and of ``kubectl_complete-wi``; nothing is imported before it is needed."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shlex
import sys

MISSING = "kubectl wi needs typer and rich: pip install 'workload-identity-operator[cli]'"
PROGRAM = "kubectl wi"
NO_FILES = 4
"""Cobra's ShellCompDirectiveNoFileComp: what we name is all there is."""


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns its exit code."""
    if not _is_complete():
        print(MISSING, file=sys.stderr)
        return 3
    _prepare()
    from wi_operator.cli.app import app

    try:
        app(sys.argv[1:] if arguments is None else arguments, prog_name=PROGRAM)
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else 1
    return 0


def complete() -> int:
    """Answer kubectl: the words behind ``wi``, the last one to be completed; a line a name, then Cobra's directive."""
    if _is_complete():
        _prepare()
        from typer.completion import completion_init  # type: ignore[attr-defined] # in its module of that name

        from wi_operator.cli.app import app

        completion_init()
        *words, last = sys.argv[1:] or [""]
        # Typer's protocol of fish is that of Cobra: a name, a tab and its help on each line.
        os.environ |= {  # noqa: TID251 - Typer takes the question from there
            "_KUBECTL_WI_COMPLETE": "complete_fish",
            "_TYPER_COMPLETE_FISH_ACTION": "get-args",
            "_TYPER_COMPLETE_ARGS": f"{shlex.join(['wi', *words])} {shlex.quote(last) if last else ''}",
        }
        with contextlib.suppress(SystemExit):
            app([], prog_name="kubectl-wi")
    print(f":{NO_FILES}")
    return 0


def _is_complete() -> bool:
    return all(importlib.util.find_spec(name) for name in ("typer", "rich"))


def _prepare() -> None:
    from wi_operator.core.memory import keep_small

    keep_small()
    import logging

    logging.getLogger().addHandler(logging.NullHandler())
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")


if __name__ == "__main__":
    sys.exit(main())
