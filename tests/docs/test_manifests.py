"""Every manifest in the documentation: ours by the models and by a real API server, values by the chart's schema."""

import json
import subprocess

import pytest
import yaml

from wi_operator.api import names
from wi_operator.api.schema import KINDS
from wi_testkit.controlplane import binaries
from wi_testkit.controlplane.modules import HELM
from wi_testkit.documentation.fences import ROOT

CHART = ROOT / "charts" / "workload-identity-operator"
MODELS = {kind.kind: kind.spec for kind in KINDS}
IMAGE = "registry.example.com/workload-identity-operator@sha256:" + "0" * 64


@pytest.fixture(scope="module")
def objects(fences):
    """Pairs of place and object of every whole manifest that is not another product's."""
    found = []
    for fence in fences:
        if fence.language in ("yaml", "yml") and fence.mark in ("", "run", "cloud"):
            found += [(fence.place, item) for item in yaml.safe_load_all(fence.text) if item]
    return found


def test_every_yaml_is_read_and_whole_or_marked(fences, objects):
    for fence in fences:
        if fence.language in ("yaml", "yml"):
            list(yaml.safe_load_all(fence.text))
    incomplete = [place for place, item in objects if not {"apiVersion", "kind"} <= set(item)]
    assert incomplete == [], "mark a piece of a manifest with <!-- part -->, the chart's values with <!-- values -->"


def test_a_piece_is_no_whole_object(fences):
    for fence in fences:
        if fence.mark == "part":
            assert not any({"apiVersion", "kind"} <= set(item) for item in yaml.safe_load_all(fence.text)), fence.place


def test_ours_are_what_the_models_take(objects):
    ours = [(place, item) for place, item in objects if item["apiVersion"].startswith(names.GROUP)]
    assert len(ours) >= 4
    for place, item in ours:
        assert item["apiVersion"] == names.API_VERSION, place
        MODELS[item["kind"]].model_validate(item["spec"])


def test_foreign_manifests_are_not_ours(fences):
    for fence in fences:
        if fence.mark == "foreign":
            kinds = [item["apiVersion"] for item in yaml.safe_load_all(fence.text)]
            assert not any(each.startswith(names.GROUP) for each in kinds), fence.place


def test_values_pass_the_charts_schema(fences):
    found = [fence for fence in fences if fence.mark == "values"]
    assert found
    for fence in found:
        done = render(fence.text)
        assert done.returncode == 0, f"{fence.place}: {done.stderr}"
    assert render("issuer: {frob: 1}\n").returncode != 0


def render(values):
    """Run ``helm template`` with ``values``; the image is given where they have none."""
    given = yaml.safe_load(values)
    base = {"image": {"ref": IMAGE}} if not given.get("image", {}).get("ref") else {}
    text = yaml.safe_dump(given | ({"image": given.get("image", {}) | base["image"]} if base else {}))
    program = binaries.ensure(HELM) / "helm"
    command = [program, "template", "wi", CHART, "--namespace=wi-system", "--values=-"]
    return subprocess.run(command, input=text, capture_output=True, text=True, check=False)


def test_a_real_api_server_takes_every_manifest(plane, objects, counts):
    plane.run_kubectl("apply", "--server-side", f"--filename={ROOT / 'crds'}")
    plane.run_kubectl("wait", "--for=condition=Established", "--timeout=30s", f"--filename={ROOT / 'crds'}")
    namespaces = {item["metadata"].get("namespace", "default") for _, item in objects} - {"default"}
    for name in sorted(namespaces):
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
        plane.run_kubectl("apply", "--filename=-", stdin=json.dumps(namespace))
    flags = ["--dry-run=server", "--validate=strict", "--filename=-"]
    for place, item in objects:
        try:
            plane.run_kubectl("apply", *flags, stdin=json.dumps(item))
        except Exception as error:
            raise AssertionError(f"{place}: {error}") from error
    counts["manifests"] += len(objects)
    wrong = {"apiVersion": names.API_VERSION, "kind": "WorkloadIdentityConfig", "metadata": {"name": "x"}, "spec": {}}
    with pytest.raises(Exception, match="provider"):
        plane.run_kubectl("apply", *flags, stdin=json.dumps(wrong))
