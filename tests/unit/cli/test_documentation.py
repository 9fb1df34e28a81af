"""What pages tell a user to type within a sentence is what the command line takes; fences are judged with the documentation."""

import re
import shlex
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from wi_operator.cli.app import app

ROOT = Path(__file__).parents[3]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")), *sorted((ROOT / "charts").rglob("*.txt"))]
INLINE = re.compile(r"`(kubectl wi [a-z][^`]*)`")


def find_commands():
    for page in PAGES:
        for command in dict.fromkeys(INLINE.findall(page.read_text())):
            yield pytest.param(command, id=f"{page.name}: {command}")


@pytest.mark.parametrize("command", list(find_commands()))
def test_a_command_of_the_documentation_is_taken(command):
    words = shlex.split(command)[2:]
    done = CliRunner().invoke(app, [*words, "--help"], prog_name="kubectl wi")
    assert done.exit_code == 0, done.output
    assert f"Usage: kubectl wi {words[0]}" in done.output


def test_an_option_that_does_not_exist_is_refused():
    for words in (["status", "--frob"], ["frob"], ["keys", "frob"]):
        assert CliRunner().invoke(app, [*words, "--help"]).exit_code == 2


def test_the_manifest_for_krew_is_one_and_is_not_published():
    file = ROOT / "deploy/krew/wi.yaml"
    manifest = yaml.safe_load(file.read_text())
    assert (manifest["kind"], manifest["metadata"]["name"]) == ("Plugin", "wi")
    assert "NOT PUBLISHED" in file.read_text()
    assert len(manifest["spec"]["shortDescription"]) <= 50
    for platform in manifest["spec"]["platforms"]:
        assert {"uri", "sha256", "bin", "selector"} <= platform.keys()
