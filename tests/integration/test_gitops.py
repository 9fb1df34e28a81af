"""What examples/gitops holds is what Argo CD, Flux, the chart and the API server accept; its order is the right one."""

import json
from pathlib import Path

import pytest
import yaml
from controller_run import eventually

from wi_testkit.controlplane.errors import ControlPlaneError
from wi_testkit.definitions import GITOPS
from wi_testkit.stage.chart import DEFINITIONS, render_objects

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "examples" / "gitops"
WAVE = "argocd.argoproj.io/sync-wave"
BUNDLE = "/webhooks/0/clientConfig/caBundle"


def load(name):
    return list(yaml.safe_load_all((FOLDER / name).read_text()))


FILES = sorted(str(path.relative_to(FOLDER)) for path in FOLDER.rglob("*.yaml"))
DOCUMENTS = {(name, each["kind"], each["metadata"]["name"]): each for name in FILES for each in load(name)}
APPLICATIONS = {key[2]: each for key, each in DOCUMENTS.items() if key[1] == "Application"}
FLUX = {(key[1], key[2]): each for key, each in DOCUMENTS.items() if key[0].startswith("flux/")}


@pytest.fixture(scope="module")
def gitops(plane):
    """The plane with our definitions and those of Argo CD and Flux, and the namespaces of the examples."""
    for folder in (DEFINITIONS, GITOPS.find()):
        plane.run_kubectl("apply", "--server-side", "--force-conflicts", f"--filename={folder}")
        eventually(lambda folder=folder: are_established(plane, folder))
    for name in ("argocd", "flux-system", "wi-system", "team-a"):
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
        plane.run_kubectl("apply", "--filename=-", stdin=json.dumps(namespace))
    yield plane
    plane.run_kubectl("delete", "--ignore-not-found", "--wait=false", "wic,spcred", "--all", "--namespace=team-a")


def are_established(plane, folder):
    found = json.loads(plane.run_kubectl("get", f"--filename={folder}", "--output=json"))["items"]
    conditions = [{c["type"]: c["status"] for c in each["status"].get("conditions") or []} for each in found]
    return all(each.get("Established") == "True" for each in conditions)


def accept(plane, item):
    flags = ("--dry-run=server", "--server-side", "--force-conflicts", "--validate=strict")
    return plane.run_kubectl("apply", *flags, "--filename=-", stdin=json.dumps(item))


@pytest.mark.parametrize("key", DOCUMENTS, ids="-".join)
def test_every_document_is_accepted(gitops, key):
    assert "dry run" in accept(gitops, DOCUMENTS[key])


@pytest.mark.parametrize(
    ("key", "path", "value"),
    [
        (("argocd/root.yaml", "Application", "workload-identity"), "syncPolicy", {"automatic": {}}),
        (("flux/operator/release.yaml", "HelmRelease", "workload-identity-operator"), "upgrade", {"crds": "Never"}),
        (("flux/kustomizations.yaml", "Kustomization", "team-a"), "healthCheckExprs", [{"kind": "X"}]),
    ],
    ids=["argocd", "helm", "kustomize"],
)
def test_their_definitions_refuse_a_mistake(gitops, key, path, value):
    item = DOCUMENTS[key]
    with pytest.raises(ControlPlaneError, match=path):
        accept(gitops, item | {"spec": item["spec"] | {path: value}})


def values_of(tool):
    if tool == "argocd":
        return APPLICATIONS["workload-identity-operator"]["spec"]["source"]["helm"]["valuesObject"]
    return FLUX["HelmRelease", "workload-identity-operator"]["spec"]["values"]


@pytest.fixture(scope="module", params=["argocd", "flux"])
def rendered(request):
    return render_objects(values_of(request.param))


def test_the_values_are_the_charts_and_what_they_render_is_accepted(gitops, rendered):
    (issuer,) = (each for each in rendered if (each["kind"], each["metadata"]["name"]) == ("Deployment", "wi-issuer"))
    assert not any(each["kind"] == "CustomResourceDefinition" for each in rendered)
    assert "https://identity.example.com" in json.dumps(issuer)
    assert "registry.example.com/workload-identity-operator@sha256:" in json.dumps(issuer)
    assert accept(gitops, {"apiVersion": "v1", "kind": "List", "items": rendered}).count("dry run") == len(rendered)


def test_both_tools_leave_every_ca_bundle_alone(rendered):
    """The pointer and the jq path name the one webhook that each configuration has."""
    webhooks = {each["kind"]: each for each in rendered if each["kind"].endswith("WebhookConfiguration")}
    assert {each["metadata"]["name"] for each in webhooks.values()} == {"wi-webhook"}
    assert {len(each["webhooks"]) for each in webhooks.values()} == {1}
    ignored = APPLICATIONS["workload-identity-operator"]["spec"]["ignoreDifferences"]
    assert {each["kind"]: (each["name"], each["jqPathExpressions"]) for each in ignored} == {
        kind: ("wi-webhook", [".webhooks[]?.clientConfig.caBundle"]) for kind in webhooks
    }
    assert (
        "RespectIgnoreDifferences=true"
        in APPLICATIONS["workload-identity-operator"]["spec"]["syncPolicy"]["syncOptions"]
    )
    (rule,) = FLUX["HelmRelease", "workload-identity-operator"]["spec"]["driftDetection"]["ignore"]
    assert rule == {"paths": [BUNDLE], "target": {"group": "admissionregistration.k8s.io", "name": "wi-webhook"}}


def wave(item):
    return int(item["metadata"].get("annotations", {}).get(WAVE, 0))


def test_definitions_come_before_the_operator_and_that_before_the_teams():
    assert wave(APPLICATIONS["workload-identity-crds"]) < wave(APPLICATIONS["workload-identity-operator"])
    assert wave(APPLICATIONS["workload-identity-operator"]) < wave(APPLICATIONS["team-a"])
    kinds = ["Namespace", "WorkloadIdentityConfig", "SecretProviderCredential", "CronJob"]
    waves = {key[1]: wave(each) for key, each in DOCUMENTS.items() if key[0].startswith("team-a/")}
    assert sorted(waves, key=waves.__getitem__) == kinds
    assert len(set(waves.values())) == len(kinds)
    assert APPLICATIONS["workload-identity-crds"]["spec"]["syncPolicy"]["automated"]["prune"] is False


def test_every_path_that_is_followed_is_there():
    paths = [each["spec"]["source"]["path"] for each in APPLICATIONS.values()]
    paths += [each["spec"]["path"] for (kind, _), each in FLUX.items() if kind == "Kustomization"]
    paths.append(FLUX["HelmRelease", "workload-identity-operator"]["spec"]["chart"]["spec"]["chart"])
    assert len(paths) == 8
    assert all(any((ROOT / path).glob("*.yaml")) for path in paths)


def test_an_object_that_nobody_looked_at_shows_it_and_who_applied_it_does_not_own_that(gitops):
    """kstatus, and with it Flux, would call an object without any status current."""
    for item in load("team-a/identity.yaml"):
        gitops.run_kubectl("apply", "--server-side", "--field-manager=gitops", "--filename=-", stdin=json.dumps(item))
        read = ("get", item["kind"].lower(), item["metadata"]["name"], "--namespace=team-a", "--show-managed-fields")
        stored = json.loads(gitops.run_kubectl(*read, "--output=json"))
        assert stored["status"] == {"observedGeneration": -1}
        (owned,) = stored["metadata"]["managedFields"]
        assert owned["manager"] == "gitops"
        assert "f:status" not in owned["fieldsV1"]
        diff = ("diff", "--server-side", "--field-manager=gitops", "--filename=-")
        assert gitops.run_kubectl(*diff, stdin=json.dumps(item)) == ""
