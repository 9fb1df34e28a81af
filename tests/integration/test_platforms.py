"""Platforms that change every container behind the webhook's back, as managed clusters and policy engines do.

A policy of the API server stands for them: it changes the sidecar once the webhook has added it, and the webhook is then
asked again about what it finds.
"""

import ast
import json
from dataclasses import replace

import pytest

from wi_operator.cli.checks import find_remedy
from wi_operator.cli.doctor import probe_pod
from wi_testkit.controlplane.plane import Plane

LABEL = "identity.crewai.com/inject"
SIDECAR = "/spec/initContainers/0"
PLATFORMS = {
    # GKE Autopilot: smallest requests of its own; and whoever sets limits where there are none.
    "resources": ("replace", f"{SIDECAR}/resources/requests/cpu", "'50m'"),
    "limits": ("add", f"{SIDECAR}/resources/limits/cpu", "'50m'"),
    # The admission plugin AlwaysPullImages, and policies that say the same.
    "pull": ("add", f"{SIDECAR}/imagePullPolicy", "'Always'"),
    # OpenShift's security context constraints append what they require to be dropped.
    "drop": ("add", f"{SIDECAR}/securityContext/capabilities/drop/-", "'KILL'"),
    "profile": ("add", f"{SIDECAR}/securityContext/appArmorProfile", "{'type': 'RuntimeDefault'}"),
    # Webhooks of other identities give every container their variables.
    "variable": ("add", f"{SIDECAR}/env/-", "{'name': 'AZURE_CLIENT_ID', 'value': 'theirs'}"),
    # Others want all containers to end alike; nothing of it makes the sidecar another one.
    "message": ("add", f"{SIDECAR}/terminationMessagePolicy", "'FallbackToLogsOnError'"),
}
FORGERIES = {
    "variable": ("add", f"{SIDECAR}/env/-", "{'name': 'WI_GRANTS_URL', 'value': 'https://theirs.test'}"),
    # What a webhook does that was built with a library older than native sidecars: the pod would wait for ever.
    "sidecar": ("remove", f"{SIDECAR}/restartPolicy", None),
    "hook": ("add", f"{SIDECAR}/lifecycle/preStop", "{'exec': {'command': ['sh']}}"),
    "probe": ("add", f"{SIDECAR}/livenessProbe", "{'exec': {'command': ['sh']}}"),
    "capability": ("add", f"{SIDECAR}/securityContext/capabilities/add", "['NET_ADMIN']"),
    "profile": ("add", f"{SIDECAR}/securityContext/appArmorProfile", "{'type': 'Unconfined'}"),
}


@pytest.fixture(scope="module")
def cluster(admission, tmp_path_factory):
    with Plane() as plane:
        cluster = admission.Cluster(plane)
        cluster.make_namespace("team-a")
        authority = admission.Authority()
        settings = replace(admission.settings, image_pull_policy="IfNotPresent")
        with admission.Webhook(tmp_path_factory.mktemp("webhook"), authority, settings) as port:
            for document in admission.configurations(port, authority):
                cluster.must("apply", item=document)
            cluster.wait_for(lambda: send(cluster)[0])
            yield cluster


def send(cluster, **annotations):
    container = {"name": "app", "image": "x", "command": ["x"], "env": [{"name": "A", "value": "secret:///a"}]}
    metadata = {"name": "x", "labels": {LABEL: "true"}, "annotations": annotations}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"containers": [container]}}
    return cluster.create(pod, "team-a")


def impose(cluster, name, operation, path, value):
    """Write the policy; returns once it is in force."""
    is_asked = f"'platform' in object.metadata.annotations && object.metadata.annotations['platform'] == '{name}'"
    has_sidecar = "has(object.spec.initContainers) && object.spec.initContainers.exists(c, c.name == 'wi-sidecar')"
    once = "!('platform-did' in object.metadata.annotations)"
    did = "JSONPatch{op: 'add', path: '/metadata/annotations/platform-did', value: 'yes'}"
    # Asked in the first round, too, in which there is no sidecar: a policy that was not asked then is not asked again.
    what = f"op: '{operation}', path: '{path}'" + (f", value: {value}" if value else "")
    patch = f"{has_sidecar} && {once} ? [{did}, JSONPatch{{{what}}}] : []"
    api = {"apiVersion": "admissionregistration.k8s.io/v1"}
    rules = [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}]
    policy = {
        "kind": "MutatingAdmissionPolicy",
        "metadata": {"name": name},
        "spec": {
            "matchConstraints": {"resourceRules": rules},
            "matchConditions": [{"name": "asked", "expression": f"has(object.metadata.annotations) && {is_asked}"}],
            "reinvocationPolicy": "IfNeeded",
            "failurePolicy": "Fail",
            "mutations": [{"patchType": "JSONPatch", "jsonPatch": {"expression": patch}}],
        },
    }
    binding = {"kind": "MutatingAdmissionPolicyBinding", "metadata": {"name": name}, "spec": {"policyName": name}}
    for item in (policy, binding):
        cluster.must("apply", item=api | item)
    cluster.wait_for(lambda: is_in_force(cluster, name))


def find(pod, path):
    for step in path.strip("/").split("/"):
        pod = pod[-1] if step == "-" else pod[int(step)] if isinstance(pod, list) else pod[step]
    return pod


def is_in_force(cluster, name):
    """Tell whether the policy changed the pod, or the pod was refused for it."""
    pod, _ = send(cluster, platform=name)
    return pod is None or "platform-did" in pod["metadata"]["annotations"]


@pytest.mark.parametrize("change", PLATFORMS)
def test_what_a_platform_changes_on_the_sidecar_stays_and_the_pod_is_accepted(cluster, change):
    operation, path, value = PLATFORMS[change]
    name = f"platform-{change}"
    impose(cluster, name, operation, path, value)
    pod, said = send(cluster, platform=name)
    assert pod, said
    assert find(pod, path) == ast.literal_eval(value)


@pytest.mark.attack(twin="test_what_a_platform_changes_on_the_sidecar_stays_and_the_pod_is_accepted")
@pytest.mark.parametrize("change", FORGERIES)
def test_a_change_that_makes_the_sidecar_another_one_is_refused(cluster, change):
    name = f"forgery-{change}"
    impose(cluster, name, *FORGERIES[change])
    pod, said = send(cluster, platform=name)
    assert pod is None
    assert "ForeignSidecar" in said


def limit(**amounts):
    return "LimitRange", {"limits": [{"type": "Container", **amounts}]}


NAMESPACES = {
    "least": limit(min={"memory": "100Mi"}),
    "most": limit(max={"memory": "48Mi"}),
    "ratio": limit(maxLimitRequestRatio={"memory": "1"}),
    "pod": ("LimitRange", {"limits": [{"type": "Pod", "max": {"memory": "64Mi"}}]}),
    "unnamed": ("ResourceQuota", {"hard": {"limits.cpu": "1"}}),
    "full": ("ResourceQuota", {"hard": {"limits.memory": "70Mi"}}),
}


@pytest.mark.parametrize("name", NAMESPACES)
def test_doctor_knows_a_namespace_whose_limits_the_sidecar_does_not_fit(cluster, name):
    kind, spec = NAMESPACES[name]
    cluster.make_namespace(f"tight-{name}")
    item = {"apiVersion": "v1", "kind": kind, "metadata": {"name": "tight", "namespace": f"tight-{name}"}, "spec": spec}
    cluster.must("create", item=item)
    if kind == "ResourceQuota":  # there is no controller to count
        status = json.dumps({"status": {"hard": spec["hard"], "used": dict.fromkeys(spec["hard"], "0")}})
        in_place = ("tight", f"--namespace=tight-{name}", "--subresource=status", "--type=merge")
        cluster.must("patch", "resourcequota", *in_place, f"--patch={status}")
    cluster.wait_for(lambda: not cluster.create(probe_pod(), f"tight-{name}")[0])
    _, said = cluster.create(probe_pod(), f"tight-{name}")
    assert "sidecar.resources" in find_remedy(said, 2), said


def test_another_refusal_is_no_matter_of_limits(cluster):
    pod = probe_pod()
    pod["spec"]["containers"][0]["env"][0]["value"] = "secret://"
    _, said = cluster.create(pod, "team-a")
    assert "MalformedReference" in said
    assert "sidecar.resources" not in find_remedy(said, 2)
