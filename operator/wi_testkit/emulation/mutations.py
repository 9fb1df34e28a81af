"""The mutation run: leave out one named check at a time and see which cases answer differently.

A check whose cases do not notice its absence is not tested; a case that notices the absence of another check is not
about one thing. Both are failures of the table, and ``judge`` says which.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from wi_testkit.emulation.cases import Change

# Gives the gists of all cases, by name, from an emulator without the named checks.
AskAll = Callable[[Sequence[str]], Awaitable[dict[str, tuple[Any, ...]]]]


async def run(checks: Sequence[str], ask_all: AskAll) -> list[Change]:
    """Ask all cases of an intact emulator, then once for each check of one without it."""
    intact = await ask_all(())
    changes = []
    for check in checks:
        mutant = await ask_all((check,))
        changes.append(Change(check, frozenset(name for name in intact if mutant[name] != intact[name])))
    return changes


def judge(changes: Sequence[Change], check_of_case: Mapping[str, str]) -> list[str]:
    """Return what is wrong: checks without a case, and cases that changed when they should not or did not."""
    wrong = []
    for change in changes:
        expected = {name for name, check in check_of_case.items() if check == change.check}
        if not expected:
            wrong.append(f"{change.check}: no case is about this check")
        if change.changed != expected:
            wrong.append(f"{change.check}: changed {sorted(change.changed)}, expected {sorted(expected)}")
    return wrong
