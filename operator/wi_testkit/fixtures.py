"""A pytest plugin: fixtures for tests against the control plane."""

from collections.abc import Iterator

import pytest

from wi_testkit.controlplane.plane import Plane


@pytest.fixture(scope="session")
def plane() -> Iterator[Plane]:
    """Yield a running bare plane; the first use on a machine builds it, which takes minutes."""
    with Plane() as running:
        yield running


PAIRS = pytest.StashKey[dict[str, str]]()
"""Of each attack that was selected the test that succeeds: the same, without the evil."""


def _name_of(item: pytest.Item) -> str:
    return f"{item.location[0]}::{getattr(item, 'originalname', item.name)}"


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark the twins of attacks as ``twin``, so that ``-m "attack or twin"`` runs both."""
    pairs = config.stash.setdefault(PAIRS, {})
    for item in items:
        if attack := item.get_closest_marker("attack"):
            pairs[_name_of(item)] = f"{item.location[0]}::{attack.kwargs['twin']}"
    twins = set(pairs.values())
    for item in items:
        if _name_of(item) in twins:
            item.add_marker("twin")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print the number and the pairs of attacks when they were asked for: ``pytest -m attack``, or ``"attack or twin"``."""
    if "attack" not in config.option.markexpr:
        return
    pairs = config.stash.get(PAIRS, {})
    for attack, twin in sorted(pairs.items()):
        terminalreporter.write_line(f"{attack}  |  {twin.partition('::')[2]}")
    outcomes = {"attack": [0, 0], "twin": [0, 0]}
    for outcome in ("passed", "failed"):
        for report in terminalreporter.stats.get(outcome, []):
            for kind, counts in outcomes.items():
                counts[0] += kind in report.keywords
                counts[1] += kind in report.keywords and outcome == "passed"
    (attacks, refused), (twins, granted) = outcomes.values()
    terminalreporter.write_line(
        f"attacks {attacks}, refused {refused}; twins {twins}, successful {granted}; pairs {len(pairs)}"
    )
