"""The life of a release: removal, upgrade from chart 0.1.0 and back, a first installation, and nothing that drifts.

It takes the session's installation down and ends with one of its own; the tests follow each other.
"""

import json
import re
import shlex
import threading
import time

import pytest
import yaml

from wi_testkit.loops import kickoffs_going_on
from wi_testkit.rotations import leaf_signer, rotate_authority, rotate_key, timetable, wait_for
from wi_testkit.stage import samples
from wi_testkit.stage.chart import CHART, NAMESPACE, RELEASE
from wi_testkit.stage.errors import CommandError
from wi_testkit.stage.images import ROOT
from wi_testkit.world import GROUP

OLD_CHART = ROOT / "e2e" / "charts" / "workload-identity-operator-0.1.0.tgz"
SAMPLES = [ROOT / "examples" / "gitops" / "team-a" / f"{name}.yaml" for name in ("namespace", "identity")]
DEFINITIONS = {f"customresourcedefinition.apiextensions.k8s.io/{kind}.{GROUP}" for kind in (
    "workloadidentityconfigs", "secretprovidercredentials",
)}  # fmt: skip
MANAGER = "workload-identity-operator"
OWN_OBJECTS = {
    "Secret/wi-internal-ca", "Secret/wi-issuer-tls", "Secret/wi-webhook-tls", "Secret/wi-issuer-keys",
    "ConfigMap/wi-ca-bundle", "ConfigMap/wi-issuer-state", "Lease/wi-controller",
}  # fmt: skip
# Lower than the chart allows: clouds cache key sets, and the emulator need not.
HASTY = {"issuer": {"rotation": {"publishBeforeSeconds": 5}}}


class Release:
    """Helm's release in wi-system, with the values that the session's installation had."""

    def __init__(self, world):
        self.world = world
        self.values = json.loads(self.helm("get", "values", RELEASE, "--output=json"))
        self.namespace = self._read("namespace", NAMESPACE)
        self.tls = self._read("secret", self.values["issuer"]["publicTls"]["secretName"], "-n", NAMESPACE)

    def _read(self, *what):
        found = self.world.cluster.get(*what)
        kept = {name: found["metadata"][name] for name in ("name", "namespace", "labels") if name in found["metadata"]}
        return {key: found[key] for key in ("apiVersion", "kind", "type", "data") if key in found} | {"metadata": kept}

    def helm(self, *arguments, values=None):
        stdin = None if values is None else json.dumps(values)
        return self.world.cluster.helm(*arguments, f"--namespace={NAMESPACE}", stdin=stdin, timeout=200)

    def install(self, chart, *flags, issuer=None):
        """Install as for the first time; returns the seconds that it took."""
        self.world.cluster.apply([self.namespace, self.tls])
        values = self.values | {"issuer": self.values["issuer"] | (issuer or {})}
        began = time.monotonic()
        self.helm("install", RELEASE, str(chart), "--wait", "--timeout=60s", "--values=-", *flags, values=values)
        return time.monotonic() - began

    def uninstall(self):
        """Uninstall; returns what is left of what was installed."""
        manifest = self.helm("get", "manifest", RELEASE)
        self.helm("uninstall", RELEASE, "--wait", "--timeout=60s")
        flags = ("--ignore-not-found", "--output=name", "--filename=-")
        return set(self.world.kubectl("get", *flags, stdin=manifest).split())

    def forget(self):
        """Remove what outlives a release, by the commands of the documentation; returns the seconds that they took."""
        text = (ROOT / "docs" / "lifecycle.md").read_text()
        (block,) = re.findall(r"```console\n((?:kubectl delete .*\n)+)```", text)
        began = time.monotonic()
        for line in block.splitlines():
            self.world.kubectl(*shlex.split(line)[1:], timeout=60)
        return time.monotonic() - began


@pytest.fixture(scope="module")
def release(world):
    return Release(world)


def ready_since(team):
    objects = json.loads(team.kubectl("get", "wic,spcred", "-o", "json"))["items"]
    ready = [next(c for c in each["status"]["conditions"] if c["type"] == "Ready") for each in objects]
    assert {condition["status"] for condition in ready} == {"True"}
    return [condition["lastTransitionTime"] for condition in ready]


def test_after_an_uninstall_pods_go_on_and_nothing_blocks(world, release, team):
    team.set_secret("a", "planted-a")
    worker = team.start_worker("stays", {"APP_A": "secret://demo/a"})
    worker.kick()
    going = world.add_team("t-going")
    going.set_up()

    assert release.uninstall() == DEFINITIONS
    done, failed = map(int, re.findall(r"\d+", worker.kick_for(8).splitlines()[-1]))
    assert (done > 2, failed) == (True, 0)
    began = time.monotonic()
    world.kubectl("delete", "namespace", going.name, "--timeout=20s")
    assert time.monotonic() - began < 15
    # Nothing is lost, and nothing that is gone stands in the way of a change.
    assert len(ready_since(team)) == 2
    team.apply_credential(allowedServiceAccounts=["default"])

    assert release.forget() < 40
    assert not world.cluster.get("namespace", NAMESPACE)
    assert not DEFINITIONS & set(world.kubectl("get", "crd", "-o", "name").split())


def test_an_upgrade_from_0_1_0_and_the_way_back_lose_no_kickoff(release, team):
    release.install(OLD_CHART)
    team.set_up()
    with kickoffs_going_on(team) as loops:
        since = ready_since(team)
        flags = ("--reset-then-reuse-values", "--take-ownership", "--wait", "--timeout=90s")
        release.helm("upgrade", RELEASE, str(CHART), *flags)
        upgraded, so_far = versions(team.world), loops.kickoffs
        release.helm("rollback", RELEASE, "1", "--wait", "--timeout=90s")
        assert (upgraded, versions(team.world)) == ({chart_version()}, {"0.1.0"})
    print(f"\nkickoffs {so_far} + {loops.kickoffs - so_far}, failed {loops.failed}")
    assert loops.failed == 0, loops.told
    assert so_far > 10
    assert loops.kickoffs - so_far > 10
    assert ready_since(team) == since
    assert "APP_A" in loops.worker.kick()
    assert release.uninstall() == set()
    assert set(team.world.kubectl("get", "crd", "-o", "name").split()) >= DEFINITIONS
    release.forget()


def versions(world):
    pods = json.loads(world.kubectl("-n", NAMESPACE, "get", "pods", "-o", "json"))["items"]
    alive = [pod for pod in pods if "deletionTimestamp" not in pod["metadata"]]
    assert len(alive) == 6
    return {pod["metadata"]["labels"]["app.kubernetes.io/version"] for pod in alive}


def chart_version():
    return yaml.safe_load((CHART / "Chart.yaml").read_text())["appVersion"]


def test_a_first_installation_says_what_it_lacks_and_then_works(world, release, team):
    skip = "--skip-schema-validation"
    seconds = release.install(CHART, skip, issuer={"url": ""} | HASTY["issuer"])
    print(f"\nhelm install --wait: {seconds:.0f} s")
    samples.set_up_cloud(world)
    for path in SAMPLES:
        world.kubectl("apply", f"--filename={path}")
    team.apply_config()
    ready = team.wait_reason("wic/azure", "IssuerUrlMissing")
    assert "Set the chart's value `issuer.url` to the https URL" in ready["message"]

    flags = ("--reset-then-reuse-values", "--wait", "--timeout=90s", skip)
    release.helm("upgrade", RELEASE, str(CHART), f"--set=issuer.url={world.issuer_url}", *flags)
    began = time.monotonic()
    samples.await_ready(world.cluster)
    print(f"Ready {time.monotonic() - began:.0f} s after the upgrade")


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("issuer.url=http://identity.example.com", r"issuer[./]url.*https"),
        ("issuer.grantSeconds=8000", "issuer.rotation.retireAfterSeconds must be at least issuer.grantSeconds"),
    ],
)
def test_a_wrong_value_is_refused_and_named(release, value, said):
    values = release.values
    with pytest.raises(CommandError, match=said):
        release.helm("upgrade", RELEASE, str(CHART), f"--set={value}", "--values=-", "--dry-run=client", values=values)


def test_wi_system_enforces_pod_security_restricted(world):
    labels = world.cluster.get("namespace", NAMESPACE)["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"
    with pytest.raises(CommandError, match=r'violates PodSecurity "restricted'):
        world.kubectl("-n", NAMESPACE, "run", "careless", "--image=careless", "--dry-run=server")


def test_nothing_drifts_and_the_operator_owns_status_and_ca_bundle_only(world, release):
    authority = threading.Thread(target=rotate_authority, args=(world,))
    authority.start()
    rotate_key(world)
    authority.join()
    for _ in range(3):
        check_again(world)
    assert len(timetable(world)) == 2
    manifest = release.helm("get", "manifest", RELEASE)
    bundles = [webhook["clientConfig"]["caBundle"] for webhook in webhooks(world)]
    assert len(set(bundles)) == 1
    assert len(leaf_signer(world)[1]) == 2
    for server_side in ((), ("--server-side", "--force-conflicts")):
        assert world.kubectl("diff", *server_side, "--filename=-", stdin=manifest) == ""
        for path in SAMPLES:
            assert world.kubectl("diff", *server_side, f"--filename={path}") == ""
    check_owners(list_everything(world))


def check_again(world):
    value = str(time.time())
    for what in ("wic/azure", "spcred/demo"):
        world.kubectl("-n", samples.NAMESPACE, "annotate", "--overwrite", what, f"{GROUP}/test-connection={value}")

    def is_echoed(what):
        handshake = world.cluster.get(what, "-n", samples.NAMESPACE)["status"]["handshake"]
        return handshake["observedTestRequest"] == value

    wait_for(lambda: is_echoed("wic/azure") and is_echoed("spcred/demo"), "the test is echoed")
    samples.await_ready(world.cluster)


def webhooks(world):
    kinds = "mutatingwebhookconfigurations,validatingwebhookconfigurations"
    found = json.loads(world.kubectl("get", kinds, "--selector=app.kubernetes.io/part-of=" + MANAGER, "-o", "json"))
    return [webhook for each in found["items"] for webhook in each["webhooks"]]


def list_everything(world):
    kinds = world.kubectl("api-resources", "--verbs=list", "--output=name").split()
    kinds = [kind for kind in kinds if kind not in ("events", "events.events.k8s.io")]
    flags = ("--all-namespaces", "--show-managed-fields", "--output=json")
    return json.loads(world.kubectl("get", ",".join(kinds), *flags))["items"]


def name_of(item):
    return f"{item['kind']}/{item['metadata']['name']}"


def fields_of(tree, path=()):
    """Yield the paths of leaves; a list's item is one step."""
    for name, below in tree.items():
        if below:
            yield from fields_of(below, (*path, name))
        else:
            yield (*path, name)


def check_owners(items):
    """The operator's processes are the managers of what only the controller writes; they own little elsewhere."""
    entries = [(item, entry) for item in items for entry in item["metadata"].get("managedFields", [])]
    ours = {e["manager"] for item, e in entries if name_of(item) in OWN_OBJECTS and "kubectl" not in e["manager"]}
    assert MANAGER in ours
    assert not {manager for manager in ours if manager.startswith(("helm", "kube"))}
    elsewhere = [
        (item, entry) for item, entry in entries if entry["manager"] in ours and name_of(item) not in OWN_OBJECTS
    ]
    kinds = {item["kind"] for item, _ in elsewhere}
    configurations = {"MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"}
    assert kinds == {"WorkloadIdentityConfig", "SecretProviderCredential"} | configurations
    for item, entry in elsewhere:
        assert entry["manager"] == MANAGER
        owned = set(fields_of(entry["fieldsV1"]))
        if item["kind"] in configurations:
            # The list's key is owned with what it leads to.
            assert {path[-1] for path in owned} == {".", "f:name", "f:caBundle"}, name_of(item)
            assert {path[0] for path in owned} == {"f:webhooks"}
        else:
            assert entry["subresource"] == "status"
            assert {path[0] for path in owned} == {"f:status"}, name_of(item)
