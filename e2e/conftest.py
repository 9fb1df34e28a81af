"""The cluster, the product and the emulators, once for all end-to-end tests.

CLUSTER=embedded (default) makes a node of its own (``WI_E2E_NODE``, by default e2e) and removes it; ``current`` and
``kind`` use what is there.
"""

import os

import pytest

from wi_testkit.controlplane.progress import Progress
from wi_testkit.stage import clusters
from wi_testkit.stage.install import ISSUER_URL, Stage
from wi_testkit.world import World

NAME = os.environ.get("WI_E2E_NODE", "e2e")


def pytest_collection_modifyitems(items):
    """Run last what takes the installation down; the demo leaves nothing at its end."""
    items.sort(key=lambda item: ("test_demo" in item.nodeid, "test_lifecycle" in item.nodeid))


@pytest.fixture(scope="session")
def world(request):
    progress = Progress()
    kind = os.environ.get("CLUSTER", "embedded")
    keep = bool(os.environ.get("WI_KEEP_CLUSTER"))
    if kind == "embedded" and not keep:
        clusters.remove_cluster(kind, NAME, progress)  # what an aborted run left
    with request.config.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
        stage = Stage(clusters.open_cluster(kind, NAME, progress), progress)
        stage.install()
    yield World(stage.cluster, stage.entra, stage.keyvault, issuer_url=ISSUER_URL, app_image=stage.images.base.name)
    if kind == "embedded" and not keep:
        clusters.remove_cluster(kind, NAME, progress)


@pytest.fixture(scope="module")
def team(world, request):
    """A team that is set up: config and credential are Ready."""
    name = request.module.__name__.rsplit(".", 1)[-1].removeprefix("test_").replace("_", "-")
    team = world.add_team(f"t-{name}"[:20].rstrip("-"))
    team.set_up()
    return team
