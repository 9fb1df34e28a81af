"""``manifests/`` are what the chart renders, and kustomize builds of them what the chart would have rendered."""

import pytest
import yaml

from wi_testkit.controlplane.plane import Programs
from wi_testkit.controlplane.progress import Silence
from wi_testkit.stage.chart import NAMESPACE, render_objects
from wi_testkit.stage.commands import run
from wi_testkit.stage.manifests import FOLDER, OVERLAYS, check_manifests, overlay_values


def build(folder):
    kubectl = Programs.find(Silence()).locate("kubectl")
    return index(yaml.safe_load_all(run([kubectl, "kustomize", FOLDER / folder])))


def index(items):
    return {(i["kind"], i["metadata"].get("namespace"), i["metadata"]["name"]): i for i in items if i}


def test_they_are_current():
    assert check_manifests(Silence()) == 0


@pytest.mark.parametrize(
    ("folder", "name"), [("base", ""), *((f"overlays/{name}", name) for name in OVERLAYS)], ids=["base", *OVERLAYS]
)
def test_kustomize_builds_what_the_chart_renders(folder, name):
    built = build(folder)
    namespace = built.pop(("Namespace", None, NAMESPACE))
    assert namespace["metadata"]["labels"] == {"pod-security.kubernetes.io/enforce": "restricted"}
    assert built == index(render_objects(overlay_values(name)))


def test_overlays_differ_from_the_base():
    base = build("base")
    assert build("overlays/gateway").keys() - base.keys() == {("HTTPRoute", NAMESPACE, "wi-issuer")}
    assert ("Certificate", NAMESPACE, "wi-webhook") in build("overlays/cert-manager")


def test_the_example_brings_image_and_url_to_every_place():
    built = build("overlays/example")
    containers = {
        key[2]: item["spec"]["template"]["spec"]["containers"][0]
        for key, item in built.items()
        if key[0] == "Deployment"
    }
    assert set(containers) == {"wi-controller", "wi-issuer", "wi-webhook"}
    image = "registry.example.com/workload-identity-operator:0.1.0"
    for container in containers.values():
        assert container["image"] == image
        assert env(container)["WI_PUBLIC_URL"] == "https://identity.example.com"
    assert env(containers["wi-webhook"])["WI_SIDECAR_IMAGE"] == image
    assert not [key for key in built if key[0] == "ConfigMap"]


def env(container):
    return {entry["name"]: entry.get("value") for entry in container["env"]}
