"""What the documentation tells to type into a cluster is typed, page by page; the cloud is emulated."""

import os
import subprocess

import pytest

from wi_testkit.documentation import walk
from wi_testkit.documentation.cloud import judge
from wi_testkit.documentation.fences import ROOT, find_pages, read_fences
from wi_testkit.stage import samples
from wi_testkit.stage.install import Stage

PAGES = {
    str(page.relative_to(ROOT)): fences
    for page in find_pages()
    if any(map(walk.is_for_cluster, fences := list(read_fences(page))))
}
ORDER = ["docs/azure-guide.md", *sorted(set(PAGES) - {"docs/azure-guide.md"})]
"""The guide makes the objects that other pages look at."""


@pytest.fixture(scope="module")
def verdicts():
    commands = [fence for fences in PAGES.values() for fence in fences if fence.is_command]
    return judge({fence.place: ("shell", fence.text) for fence in commands})


@pytest.fixture(scope="module", autouse=True)
def cloud(world):
    """What the guide's steps in Azure make; removes the guide's namespace at the end."""
    samples.set_up_cloud(Stage(world.cluster))
    yield
    samples.remove(world.cluster)


def render_environment(world, folder):
    given = dict(os.environ) | dict(world.cluster.environment)
    return given | {"PATH": f"{folder}:{given['PATH']}", "PYTHONPATH": str(ROOT / "operator")}


@pytest.mark.parametrize("page", ORDER)
def test_the_page_runs(world, page, verdicts, tmp_path):
    walk.write_programs(tmp_path)
    script = walk.write_script(PAGES[page], verdicts, {"python:3.13-slim": world.app_image})
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=tmp_path,
        env=render_environment(world, tmp_path),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout[-3000:]}\n{done.stderr[-2000:]}"
    print(f"{page}: {walk.count_commands(PAGES[page], verdicts)} commands run in the cluster")
    if page == ORDER[0]:
        assert "rotated: fingerprint " in done.stdout
