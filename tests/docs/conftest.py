"""The fences of all pages, read once, and what the parsers say of their commands."""

import pytest

from wi_testkit.documentation.cloud import judge
from wi_testkit.documentation.fences import read_all

COUNTS = {"run": 0, "parsed": 0, "manifests": 0}


@pytest.fixture(scope="session")
def fences():
    return read_all()


@pytest.fixture(scope="session")
def verdicts(fences):
    """Place of a fence → what its parser says of it, for commands and Bicep."""
    cases = {fence.place: ("shell", fence.text) for fence in fences if fence.is_command}
    cases |= {fence.place: ("bicep", fence.text) for fence in fences if fence.language == "bicep"}
    return judge(cases)


@pytest.fixture(scope="session")
def counts():
    return COUNTS


def pytest_terminal_summary(terminalreporter):
    told = COUNTS
    if any(told.values()):
        terminalreporter.write_line(
            f"commands {told['run']} run, {told['parsed']} parsed, {told['manifests']} manifests"
        )
