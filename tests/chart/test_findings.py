"""Two linters of others: every finding is explained in findings.yaml, and nothing is explained that is not found."""

import functools
import json
import subprocess
from pathlib import Path

import pytest
import yaml
from chart_cases import BASE, CASES

from wi_testkit.controlplane import binaries
from wi_testkit.controlplane.modules import KUBE_SCORE
from wi_testkit.environments import CHECKOV, ensure_environment
from wi_testkit.stage.chart import render_chart
from wi_testkit.stage.install import merge

EXPLAINED = yaml.safe_load((Path(__file__).parent / "findings.yaml").read_text())
PASSED = 10
LINTED = ("ingress", "network-policy", "monitoring")
"""What is looked at together, as far as there are such cases."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with the richest rendering, and a pod that nobody should run."""
    folder = tmp_path_factory.mktemp("rendered")
    values = functools.reduce(merge, (CASES[name] for name in LINTED if name in CASES), BASE)
    (folder / "chart.yaml").write_text(render_chart(values))
    container = {"name": "bad", "image": "bad:latest", "securityContext": {"privileged": True}}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "bad"}, "spec": {"containers": [container]}}
    (folder / "bad.yaml").write_text(yaml.safe_dump(pod))
    return folder


def score(file):
    program = binaries.find_program(KUBE_SCORE, "kube-score")
    command = [program, "score", "--output-format=json", "--kubernetes-version=v1.36", file]
    objects = json.loads(subprocess.run(command, capture_output=True, text=True, check=False).stdout)
    checks = [(check, each) for each in objects for check in each["checks"]]
    assert len(checks) > 10
    return {check["check"]["id"] for check, _ in checks if check["grade"] < PASSED and not check["skipped"]}


def check(file):
    program = ensure_environment(CHECKOV).parent / "checkov"
    flags = ["--framework=kubernetes", "--compact", "--quiet", "--output=json", "--skip-download"]
    done = subprocess.run(
        [program, f"--file={file}", *flags], cwd=file.parent, capture_output=True, text=True, check=False
    )
    report = json.loads(done.stdout)
    assert report["summary"]["parsing_errors"] == 0
    assert report["summary"]["passed"] > 10
    return {finding["check_id"] for finding in report["results"]["failed_checks"]}


@pytest.mark.parametrize(("tool", "look"), [("kube-score", score), ("checkov", check)])
def test_every_finding_is_explained(folder, tool, look):
    assert look(folder / "chart.yaml") == set(EXPLAINED[tool])
    assert all(len(reason.split()) > 6 for reason in EXPLAINED[tool].values())


@pytest.mark.parametrize(("look", "finding"), [(score, "container-security-context-privileged"), (check, "CKV_K8S_16")])
def test_the_tools_do_find_what_is_wrong(folder, look, finding):
    assert finding in look(folder / "bad.yaml")
