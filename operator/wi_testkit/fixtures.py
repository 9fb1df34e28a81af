"""A pytest plugin: fixtures for tests against the control plane."""

from collections.abc import Iterator

import pytest

from wi_testkit.controlplane.plane import Plane


@pytest.fixture(scope="session")
def plane() -> Iterator[Plane]:
    """Yield a running bare plane; the first use on a machine builds it, which takes minutes."""
    with Plane() as running:
        yield running


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print the number of attacks when they were asked for: ``pytest -m attack``."""
    if config.option.markexpr != "attack":
        return
    passed, failed = (len(terminalreporter.stats.get(outcome, [])) for outcome in ("passed", "failed"))
    terminalreporter.write_line(f"attacks {passed + failed}, refused {passed}")
