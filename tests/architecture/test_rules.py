"""Rules that no linter knows."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
KICKOFF = sorted((ROOT / "operator" / "wi_kickoff").rglob("*.py"))


def tracked() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout.decode()
    return [ROOT / name for name in listed.split("\0") if name and (ROOT / name).is_file()]


@pytest.mark.parametrize("path", KICKOFF, ids=lambda path: path.name)
def test_what_runs_in_applications_needs_only_the_standard_library(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            modules = [node.module or ""]
        else:
            continue
        for module in modules:
            top = module.split(".")[0]
            # launch: the name under which the launcher's two files know each other in a container's folder.
            assert top in sys.stdlib_module_names | {"wi_kickoff", "launch"}, f"{path.name} imports {module}"


def test_the_source_root_is_no_package():
    assert not (ROOT / "operator" / "__init__.py").exists()


def test_the_wheel_holds_no_test_kit():
    text = (ROOT / "pyproject.toml").read_text()
    assert 'packages = ["operator/wi_operator", "operator/wi_kickoff"]' in text


def test_the_vaults_challenge_is_verified_everywhere():
    switched_off = "verify_challenge_resource" + "=False"
    assert [path for path in tracked() if switched_off in path.read_text(errors="ignore")] == []


def test_no_file_points_at_a_package_registry():
    hosts = [
        f"//{host}" for host in ("py" + "pi.org", "files.python" + "hosted", "proxy.go" + "lang", "registry.npm" + "js")
    ]
    found = [(path, host) for path in tracked() for host in hosts if host in path.read_text(errors="ignore")]
    assert found == []
