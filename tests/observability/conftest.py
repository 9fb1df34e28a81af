"""The running product with traffic of every kind, good and bad, and a real Prometheus that scrapes it."""

import http.client
import json
import os
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.request
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from wi_testkit.lab import GRANTS_NAME
from wi_testkit.local.process import Started
from wi_testkit.local.site import Site, eventually
from wi_testkit.local.teams import Team, create_objects, is_ready, list_objects, make_teams
from wi_testkit.prometheus import running_prometheus

ROOT = Path(__file__).parents[2]
FILES = ROOT / "charts/workload-identity-operator/files"
GROUP = "identity.crewai.com"
CONTROLLER = "wi-controller-0"


@dataclass
class Pod:
    """A sidecar as in a pod of its own: container ``good`` reads a secret that is there, ``bad`` one that is not."""

    scene: "Scene"
    name: str
    started: Started = field(init=False)

    def __post_init__(self):
        scene, team = self.scene, self.scene.good
        self.folder = Path(scene.stack.enter_context(tempfile.TemporaryDirectory(prefix="wi-")))
        lab = scene.site.lab
        lab.add_pod(team.name, self.name, "default")
        (self.folder / "token").write_text(lab.pod_token(team.name, self.name, "default"))
        entries = {name: [{"name": "SECRET", "reference": f"secret://s000/{name}"}] for name in ("good", "bad")}
        containers = {name: {"entries": entry} for name, entry in entries.items()}
        environment = {
            "WI_DECLARATION": json.dumps({"version": 1, "containers": containers}),
            "WI_GRANTS_URL": f"https://{GRANTS_NAME}:{lab.ports[1]}",
            "WI_CA_BUNDLE": (lab.folder / "ca" / "ca.crt").read_text(),
            "WI_TOKEN_FILE": str(self.folder / "token"),
            "WI_RUN_DIR": str(self.folder / "run"),
        }
        self.started = Started.start(self.name, [*scene.clouds, "sidecar"], environment, 0)
        scene.stack.callback(self.started.stop)
        self.started.wait_for("listening")

    def kick(self, container="good"):
        launcher = self.folder / "run" / container / "launch.py"
        command = [sys.executable, "-I", "-S", str(launcher), "--", "true"]
        return subprocess.run(command, capture_output=True, text=True, env={"PATH": os.environ["PATH"]}).returncode


@dataclass
class Scene:
    """The processes and their ports."""

    site: Site
    stack: ExitStack
    controller: Started = field(init=False)
    good: Team = field(init=False)
    ports: dict = field(init=False)

    @property
    def clouds(self):
        pairs = (("entra", self.site.entra.url), ("vault", self.site.keyvault.url))
        return [f"--{cloud}={urlsplit(url).port}" for cloud, url in pairs]

    def start(self):
        self.controller = self.site.start_controller(CONTROLLER, audit_seconds=3)
        self.controller.wait_for("leading")
        self.webhook_port, webhook = self.site.lab.start_webhook()
        self.ports = {"controller": self.controller.health_port, "issuer": self.site.lab.ports[2], "webhook": webhook}
        self.good, bad = make_teams(self.site, ["watched", "astray"], 1)
        site = self.site
        # One that the cloud does not trust: its config fails, and its credential's vault is in another tenant.
        wrong = {"issuer": site.lab.url, "subject": "organization:another", "audience": "api://AzureADTokenExchange"}
        site.entra.trust(bad.tenant, bad.client, "team", **wrong)
        site.lab.apply(
            {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default", "namespace": "watched"}}
        )
        self.principal = site.entra.add_application(self.good.tenant, self.good.client)
        site.keyvault.assign(self.good.vault, self.principal, "Key Vault Secrets User")
        site.keyvault.set_secret(self.good.vault, "good", "fake-value")
        create_objects(site, [self.good, bad])
        site.api.merge(
            f"/apis/{GROUP}/v1alpha1/namespaces/astray/secretprovidercredentials/s000",
            {"spec": {"azureKeyVault": {"vaultUrl": "https://no-such-vault.vault.azure.net"}}},
        )
        eventually(self._is_judged, "the judgement")
        return self

    def _is_judged(self):
        found = {item["metadata"]["namespace"]: [] for item in list_objects(self.site)}
        for item in list_objects(self.site):
            conditions = (item.get("status") or {}).get("conditions") or []
            found[item["metadata"]["namespace"]].append((is_ready(item), bool(conditions)))
        return all(ready for ready, _ in found["watched"]) and all(judged for _, judged in found["astray"])

    def check_again(self, mark):
        """Ask for a test of everything, and wait for the answers."""
        for item in list_objects(self.site):
            metadata = item["metadata"]
            plural = (
                "workloadidentityconfigs" if item["kind"] == "WorkloadIdentityConfig" else "secretprovidercredentials"
            )
            path = f"/apis/{GROUP}/v1alpha1/namespaces/{metadata['namespace']}/{plural}/{metadata['name']}"
            self.site.api.merge(path, {"metadata": {"annotations": {f"{GROUP}/test-connection": mark}}})

        def are_answered():
            statuses = [item.get("status") or {} for item in list_objects(self.site)]
            return all((status.get("handshake") or {}).get("observedTestRequest") == mark for status in statuses)

        eventually(are_answered, "the asked tests")

    def review(self, path="/v1/mutate", value="secret://s000/good", **changes):
        """Let the webhook judge a pod with one secret; returns its answer."""
        container = {"name": "app", "image": "i", "command": ["true"], "env": [{"name": "SECRET", "value": value}]}
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "p", "namespace": "watched", "labels": {f"{GROUP}/inject": "true"}},
            "spec": {"containers": [{**container, **changes}]},
        }
        request = {
            "uid": "u", "kind": {"group": "", "version": "v1", "kind": "Pod"}, "namespace": "watched", "name": "p",
            "resource": {"group": "", "version": "v1", "resource": "pods"}, "operation": "CREATE", "object": pod,
        }  # fmt: skip
        review = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}
        context = ssl.create_default_context(cafile=str(self.site.lab.folder / "ca" / "ca.crt"))
        context.check_hostname = False
        connection = http.client.HTTPSConnection("127.0.0.1", self.webhook_port, timeout=10, context=context)
        connection.request("POST", path, json.dumps(review), {"Content-Type": "application/json"})
        answer = json.load(connection.getresponse())
        connection.close()
        return answer["response"]

    def scrape(self, process):
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(f"http://127.0.0.1:{self.ports[process]}/metrics", timeout=10) as response:
            return response.read().decode()


def make_traffic(scene, pod, mark):
    scene.check_again(mark)
    assert [pod.kick("good"), pod.kick("bad"), pod.kick("good")] == [0, 78, 0]
    assert scene.review()["allowed"]
    assert not scene.review(value="secret://s000/good", command=None)["allowed"]
    scene.review("/v1/validate")
    for path in ("/.well-known/openid-configuration", "/oauth2/jwks"):
        scene.site.lab.fetch(path)
    assert scene.site.lab.grant("not-a-token").status == 401
    assert scene.site.lab.grant(scene.site.lab.pod_token("watched", pod.name, "default"), "nothing").status == 200


@pytest.fixture(scope="session")
def scene(test_ca, entra, keyvault):
    with ExitStack() as stack:
        site = stack.enter_context(Site(test_ca, entra, keyvault))
        yield Scene(site, stack).start()


@pytest.fixture(scope="session")
def make_pod(scene):
    return lambda name: Pod(scene, name)


@pytest.fixture(scope="session")
def pod(scene):
    return Pod(scene, "pod-0")


@pytest.fixture(scope="session")
def prometheus(scene, pod):
    """Traffic before the first scrape, so that every series exists, and again after it, so that every one moves."""
    make_traffic(scene, pod, "first")
    with running_prometheus(scene.ports, [FILES / "alerts.yaml"]) as server:
        time.sleep(1.5)
        make_traffic(scene, pod, "second")
        time.sleep(2.5)
        yield server
