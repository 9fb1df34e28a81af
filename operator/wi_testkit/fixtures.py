"""A pytest plugin: fixtures for tests against the control plane."""

from collections.abc import Iterator

import pytest

from wi_testkit.controlplane.plane import Plane


@pytest.fixture(scope="session")
def plane() -> Iterator[Plane]:
    """Yield a running bare plane; the first use on a machine builds it, which takes minutes."""
    with Plane() as running:
        yield running
