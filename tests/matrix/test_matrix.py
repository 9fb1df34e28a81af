"""Every entry point of the oldest and the newest CrewAI, with six providers, built per request and at import.

A cell is *right* when the provider was called with the key of the latest rotation and no other, twice in a row, with one
reading for each kickoff. It is *not applicable* when upstream fails with the very same error without our hook.
"""

from collections import Counter
from pathlib import Path

import pytest

from wi_testkit.environments import CREWAI

DOCS = Path(__file__).resolve().parents[2] / "docs" / "kickoff.md"
PROVIDERS = ("openai", "anthropic", "azure", "gemini", "openai-compatible", "litellm")
LEAST = 50
"""Cells of one process: 28 entry points, each built in two ways."""


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize("version", CREWAI)
def test_every_kickoff_uses_the_rotated_key(matrix, version, provider):
    outcome = matrix.outcome(version, provider)
    wrong = {cell: seen for cell, seen in outcome.cells.items() if outcome.verdict(cell) == "wrong"}
    assert wrong == {}, outcome.upstream
    assert len(outcome.cells) > LEAST
    for key in ("fake-key-0001", "fake-key-0010"):
        assert key not in outcome.log


def test_the_table_in_the_documentation_is_what_was_found(matrix):
    table = render_table(matrix.outcomes())
    assert table in DOCS.read_text(), f"write this into {DOCS.name}:\n{table}"


def render_table(outcomes):
    """Return the table: per entry point and version how many of the providers and ways to build were right."""
    rows = {}
    for (version, _), outcome in outcomes.items():
        for cell in outcome.cells:
            rows.setdefault(cell.rpartition(", built ")[0], {}).setdefault(version, []).append(outcome.verdict(cell))
    lines = [f"| entry point | {' | '.join(CREWAI)} |", "| --- |" + " --- |" * len(CREWAI)]
    lines += [f"| `{entry}` | {' | '.join(describe(found[v]) for v in CREWAI)} |" for entry, found in rows.items()]
    return "\n".join(lines) + "\n"


def describe(verdicts):
    return ", ".join(f"{count} {verdict}" for verdict, count in sorted(Counter(verdicts).items(), reverse=True))
