"""Any pod in, a valid pod out: pods made from the API server's own schema, through the API server and the webhook.

Each pod is sent twice by dry run: as it is without references, and labelled with them. What the webhook did not mean to
touch has to be byte-equal in the two answers. ``WI_EXPLORE=1`` draws other pods at each run.
"""

import base64
import copy
import difflib
import http.client
import json
import os
import re
import ssl
from collections import Counter

import pytest
import yaml
from hypothesis import HealthCheck, Phase, given, settings

from wi_operator.admission.injection import inject
from wi_operator.admission.settings import InjectionSettings
from wi_operator.index.store import Index
from wi_testkit.controlplane.plane import Plane
from wi_testkit.pods.finish import HEAVY, PRIORITY
from wi_testkit.pods.schema import NOT_SETTABLE, PodSchema
from wi_testkit.pods.strategy import PodStrategies

DRAWN = 2200
WANTED = 2000
COVERAGE = 0.95
LABEL = "identity.crewai.com/inject"
SETTINGS = InjectionSettings(
    "registry.test/wi@sha256:" + "0" * 64, "https://grants", "PEM", image_pull_secrets=("wi-pull",)
)
CLUSTER_OBJECTS = [
    {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "crew", "namespace": "team-a"}},
    *(
        {
            "apiVersion": "scheduling.k8s.io/v1",
            "kind": "PriorityClass",
            "metadata": {"name": name},
            "value": value,
            "preemptionPolicy": policy,
        }
        for name, (value, policy) in PRIORITY.items()
    ),
    *(
        {"apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "metadata": {"name": name}, "handler": "h", **more}
        for name, more in (("heavy", {"overhead": {"podFixed": HEAVY}}), ("light", {}))
    ),
]
LINUX = {"key": "kubernetes.io/os", "operator": "In", "values": ["linux"]}
ACCESS_VOLUME = re.compile(r"kube-api-access-[a-z0-9]{5}")
TOKEN = re.compile(r"\$\$|\$\(([^)]*)\)|\$.?")


class ApiServer:
    """Creations of pods by dry run over one connection."""

    def __init__(self, plane, folder):
        user = yaml.safe_load(plane.kubeconfig.read_text())["users"][0]["user"]
        pem = folder / "admin.pem"
        pem.write_bytes(b"".join(base64.b64decode(user[f"client-{part}-data"]) for part in ("certificate", "key")))
        context = ssl.create_default_context(cafile=str(plane.authority_file))
        context.load_cert_chain(pem)
        self._connection = http.client.HTTPSConnection(plane.url.removeprefix("https://"), context=context)

    def create(self, pod):
        path = f"/api/v1/namespaces/{pod['metadata']['namespace']}/pods?dryRun=All"
        self._connection.request("POST", path, json.dumps(pod), {"Content-Type": "application/json"})
        response = self._connection.getresponse()
        return response.status, json.loads(response.read())


@pytest.fixture(scope="module")
def plane(admission, tmp_path_factory):
    with Plane() as plane:
        cluster = admission.Cluster(plane)
        cluster.make_namespace("team-a")
        for item in CLUSTER_OBJECTS:
            cluster.must("apply", item=item)
        for name in ("policy-literals.yaml",):
            plane.run_kubectl("apply", "--filename", str(admission.templates / name))
        authority = admission.Authority()
        with admission.Webhook(tmp_path_factory.mktemp("webhook"), authority, SETTINGS) as port:
            for document in admission.configurations(port, authority):
                cluster.must("apply", item=document)
            pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x", "labels": {LABEL: "true"}}, "spec": {}}
            container = {"name": "x", "image": "x", "command": ["x"], "env": [{"name": "A", "value": "secret:///a"}]}
            pod["spec"]["containers"] = [container]
            cluster.wait_for(lambda: cluster.create(pod, "team-a")[0])
            yield plane


def containers(pod):
    return [*pod["spec"].get("initContainers", ()), *pod["spec"]["containers"]]


def moved(env):
    """Names that leave a container's env: references, and what refers to one directly or through another."""
    names = set()
    for item in env:
        text = item.get("value") or ""
        if text.startswith("secret://") or names.intersection(match.group(1) for match in TOKEN.finditer(text)):
            names.add(item["name"])
    return names


def with_references(pod):
    """The pod as a user sends it: labelled, at least one reference."""
    pod = copy.deepcopy(pod)
    pod["metadata"]["labels"][LABEL] = "true"
    if not any(moved(container["env"]) for container in containers(pod)):
        pod["spec"]["containers"][0]["env"].append({"name": "LAST", "value": "secret://demo/db"})
    return pod


def without_references(pod):
    """The same pod that nobody has to change."""
    pod = copy.deepcopy(pod)
    pod["metadata"]["labels"][LABEL] = "off"
    for container in containers(pod):
        for item in container["env"]:
            if (item.get("value") or "").startswith("secret://"):
                item["value"] = "plain"
    return pod


def stored(pod):
    """What the API server would store, without what differs at every creation."""
    pod = json.loads(ACCESS_VOLUME.sub("kube-api-access-xxxxx", json.dumps(pod)))
    for field in ("uid", "creationTimestamp", "managedFields", "generation", "resourceVersion"):
        pod["metadata"].pop(field, None)
    pod.pop("status", None)
    return pod


def expect(base, sent):
    """The injected pod without what we added, made from the answer for the pod without references."""
    base = copy.deepcopy(base)
    base["metadata"]["labels"][LABEL] = "true"
    sent_env = {container["name"]: container["env"] for container in containers(sent)}
    for container in containers(base):
        names = moved(sent_env[container["name"]])
        container["env"] = [item for item in container.get("env", ()) if item["name"] not in names]
        if not container["env"]:
            del container["env"]
    raise_resources(base["spec"])
    terms = require_linux(base["spec"])
    assert terms
    base["spec"]["imagePullSecrets"] = [*base["spec"].get("imagePullSecrets", ()), {"name": "wi-pull"}]
    return base


def raise_resources(spec):
    """The pod's own resources with the sidecar's 10m and 64Mi on top."""
    has_limits = "limits" in spec.get("resources", {})
    for group, resources in spec.get("resources", {}).items():
        if "cpu" in resources:
            text = resources["cpu"]
            millis = 10 + (int(text[:-1]) if text.endswith("m") else 1000 * int(text))
            resources["cpu"] = f"{millis}m"
        if "memory" in resources:
            text = resources["memory"]
            mebis = 64 + int(text[:-2]) * {"Mi": 1, "Gi": 1024}[text[-2:]]
            resources["memory"] = f"{mebis}Mi"
        if group == "requests" and has_limits:
            # The API server's own default where there are limits: the sum of the containers'.
            resources.setdefault("cpu", "10m")
            resources.setdefault("memory", "32Mi")


def require_linux(spec):
    required = "requiredDuringSchedulingIgnoredDuringExecution"
    affinity = spec.setdefault("affinity", {}).setdefault("nodeAffinity", {})
    terms = affinity.setdefault(required, {}).setdefault("nodeSelectorTerms", [{}])
    if terms == [{}]:
        terms[0] = {"matchExpressions": []}
    for term in terms:
        term.setdefault("matchExpressions", [])
        if LINUX not in term["matchExpressions"]:
            term["matchExpressions"].append(LINUX)
    return terms


def strip(injected, sent):
    """Take off what we add, and look at each piece on the way."""
    pod = copy.deepcopy(injected)
    spec = pod["spec"]
    targets = [container["name"] for container in containers(sent) if moved(container["env"])]
    (sidecar,) = [container for container in spec["initContainers"] if container["name"] == "wi-sidecar"]
    spec["initContainers"].remove(sidecar)
    if not spec["initContainers"]:
        del spec["initContainers"]
    assert all(mount["name"].startswith("wi-") for mount in sidecar["volumeMounts"])
    spec["volumes"] = [volume for volume in spec["volumes"] if not volume["name"].startswith("wi-")]
    for container in containers(pod):
        mounts = [mount for mount in container.get("volumeMounts", ()) if mount["name"].startswith("wi-")]
        assert [mount["mountPath"] for mount in mounts] == ["/run/wi"] * (container["name"] in targets)
        container["volumeMounts"] = [mount for mount in container.get("volumeMounts", ()) if mount not in mounts]
        if container["name"] in targets:
            at = container["command"].index("--")
            assert container["command"][: at + 1][:4] == ["python3", "-I", "-S", "/run/wi/launch.py"]
            container["command"] = container["command"][at + 1 :]
    assert pod["metadata"]["annotations"].pop("identity.crewai.com/ca-sha256")
    pod["metadata"]["annotations"].pop("identity.crewai.com/injection-warnings", None)
    return pod


def canonical(pod):
    """Text in which an absent list and an empty one are the same; everything else counts."""
    pod = copy.deepcopy(pod)
    for container in containers(pod):
        if not container.get("volumeMounts"):
            container.pop("volumeMounts", None)
    if not pod["metadata"].get("annotations"):
        pod["metadata"].pop("annotations", None)
    return json.dumps(pod, sort_keys=True)


def refused_on_purpose(pod, message):
    """What the webhook refuses by design, judged from the pod alone."""
    spec = pod["spec"]
    windows = (spec.get("os", {}).get("name"), spec.get("nodeSelector", {}).get("kubernetes.io/os"))
    is_shared = bool(spec.get("shareProcessNamespace") or spec.get("hostPID"))
    return ("WindowsPod" in message and "windows" in windows) or ("SidecarReadable" in message and is_shared)


def compare(found, wanted):
    """Assert byte equality, showing the lines that differ."""
    texts = [canonical(pod) for pod in (wanted, found)]
    if texts[0] != texts[1]:
        pair = [json.dumps(json.loads(text), indent=1).splitlines() for text in texts]
        pytest.fail("\n".join(difflib.unified_diff(*pair, "wanted", "found", n=6)))


def check_injected(api, base, sent, injected):
    compare(strip(injected, sent), expect(base, sent))
    assert "secret://" not in json.dumps(
        [container.get("env") for container in containers(injected) if container["name"] != "wi-sidecar"]
    )
    verdict = inject(injected, namespace="team-a", index=Index(), settings=SETTINGS)
    assert (verdict.problems, list(verdict.operations)) == ((), [])
    status, again = api.create(injected)
    assert status == 201, again["message"]
    compare(stored(again), injected)


def check_class(base, injected):
    before, after = (pod["status"]["qosClass"] for pod in (base, injected))
    assert after == ("Burstable" if before == "BestEffort" else before)


FIXED = {"limits": {"cpu": "1", "memory": "64Mi"}}


@pytest.mark.parametrize(
    ("app", "more", "before"),
    [
        pytest.param({"resources": FIXED}, {}, "Guaranteed", id="limits"),
        pytest.param(
            {"resources": {"limits": {"cpu": "0.5", "memory": "1Gi"}, "requests": {"cpu": "500m", "memory": "1024Mi"}}},
            {}, "Guaranteed", id="equal-but-for-the-spelling"),
        pytest.param(
            {"resources": FIXED},
            {"initContainers": [{"name": "first", "image": "x", "env": [], "resources": FIXED},
                                {"name": "beside", "image": "x", "env": [], "resources": FIXED, "restartPolicy": "Always"}]},
            "Guaranteed", id="init-containers"),
        pytest.param({}, {"resources": FIXED}, "Guaranteed", id="as-a-whole"),
        pytest.param({"resources": FIXED}, {"initContainers": [{"name": "free", "image": "x", "env": []}]}, "Burstable",
                     id="one-is-free"),
        pytest.param({"resources": {"limits": {"cpu": "1"}}}, {}, "Burstable", id="cpu-only"),
        pytest.param({"resources": FIXED | {"requests": {"cpu": "100m"}}}, {}, "Burstable", id="less-requested"),
        pytest.param({}, {}, "BestEffort", id="nothing"),
    ],
)  # fmt: skip
def test_the_pod_keeps_its_class(plane, tmp_path, app, more, before):
    container = {"name": "app", "image": "x", "command": ["x"], "env": [{"name": "A", "value": "secret:///a"}], **app}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x", "namespace": "team-a", "labels": {}}}
    pod["spec"] = {"containers": [container], **more}
    api = ApiServer(plane, tmp_path)
    (_, base), (status, injected) = api.create(without_references(pod)), api.create(with_references(pod))
    assert status == 201, injected["message"]
    assert base["status"]["qosClass"] == before
    check_class(base, injected)
    sidecar = injected["spec"]["initContainers"][-1]
    assert (sidecar["name"], sidecar["resources"].get("limits", {}).get("cpu")) == (
        "wi-sidecar", "200m" if before == "Guaranteed" and not more.get("resources") else None,
    )  # fmt: skip
    status, again = api.create(stored(injected))
    assert status == 201, again["message"]
    compare(stored(again), stored(injected))


def test_any_pod_is_injected_and_nothing_else_is_touched(plane, tmp_path):
    schema = PodSchema(json.loads(plane.run_kubectl("get", "--raw", "/openapi/v3/api/v1")))
    api, used, counts = ApiServer(plane, tmp_path), set(), Counter()

    @settings(
        max_examples=DRAWN, deadline=None, database=None, derandomize=not os.environ.get("WI_EXPLORE"),
        phases=[Phase.generate, Phase.shrink] if os.environ.get("WI_EXPLORE") else [Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(PodStrategies(schema).pods())
    def run(pod):
        status, base = api.create(without_references(pod))
        if status != 201:
            counts["not a pod"] += 1
            return
        sent = with_references(pod)
        status, answer = api.create(sent)
        if status == 422 and refused_on_purpose(sent, answer["message"]):
            counts["refused on purpose"] += 1
            return
        assert status == 201, answer["message"]
        counts["accepted"] += 1
        used.update(schema.used(answer))
        check_class(base, answer)
        check_injected(api, stored(base), sent, stored(answer))

    run()
    fields = schema.fields()
    uncovered = sorted(".".join(field) for field in fields - used)
    share = len(fields & used) / len(fields)
    print(
        f"{dict(counts)}; {len(fields & used)} of {len(fields)} fields ({share:.1%}); uncovered: {', '.join(uncovered)}"
    )
    print("not settable: " + ", ".join(f"{'.'.join(field)} ({why})" for field, why in NOT_SETTABLE.items()))
    assert counts["accepted"] >= WANTED
    assert share >= COVERAGE
