"""What several tests share: kubectl as anybody, the product's listener, the chart's configuration, the lab."""

import asyncio
import base64
import json
import subprocess
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import attack_scene
import pytest
from prometheus_client import CollectorRegistry

from wi_operator.admission.metrics import AdmissionMetrics
from wi_operator.admission.server import build_app, start
from wi_operator.admission.settings import InjectionSettings
from wi_operator.core.certificate import ReloadingCertificate
from wi_operator.core.clock import SystemClock
from wi_operator.index.store import Index
from wi_testkit.controlplane.plane import Plane
from wi_testkit.lab import Lab
from wi_testkit.pki import CertificateAuthority
from wi_testkit.stage.chart import render_objects

TEMPLATES = Path(__file__).parents[2] / "charts/workload-identity-operator/templates"
PATIENCE = 20.0
SETTINGS = InjectionSettings("registry.test/wi@sha256:" + "0" * 64, "https://grants", "PEM")


class Cluster:
    """kubectl against the plane, as admin or as somebody else."""

    def __init__(self, plane: Plane):
        self.plane = plane
        self.users = {}

    def run(self, *arguments, item=None, user=None):
        command = [self.plane.kubectl, *arguments]
        if user:
            self.users.setdefault(user, self.plane.mint_kubeconfig(user))
            command.append(f"--kubeconfig={self.users[user]}")
        if item is not None:
            command.append("--filename=-")
        return subprocess.run(
            command,
            env=self.plane.environment(),
            input=None if item is None else json.dumps(item),
            capture_output=True,
            text=True,
            check=False,
        )

    def create(self, item, namespace, **arguments):
        """Ask the API server without storing anything; returns what it would store, and its warnings."""
        done = self.run(
            "create", "--dry-run=server", "--output=json", f"--namespace={namespace}", item=item, **arguments
        )
        return (json.loads(done.stdout) if done.returncode == 0 else None), done.stderr

    def make_namespace(self, name, **labels):
        metadata = {"name": name, "labels": labels}
        self.must("apply", item={"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
        # No controllers here: the ServiceAccount plugin needs the account.
        account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default", "namespace": name}}
        self.must("apply", item=account)

    @staticmethod
    def wait_for(is_true):
        """A policy is in force some moments after it was written."""
        deadline = time.monotonic() + PATIENCE
        while not is_true():
            assert time.monotonic() < deadline
            time.sleep(0.1)

    def must(self, *arguments, **keywords):
        done = self.run(*arguments, **keywords)
        assert done.returncode == 0, done.stderr
        return done.stdout


class RunningWebhook:
    """The product's listener in a thread of its own."""

    def __init__(self, folder, authority, settings=SETTINGS, index=None):
        authority.issue(["127.0.0.1"]).write(folder)
        self._folder, self._settings, self._index = folder, settings, index or Index()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)

    def __enter__(self):
        self._thread.start()
        self._runner = asyncio.run_coroutine_threadsafe(self._start(), self._loop).result(PATIENCE)
        return self._runner.addresses[0][1]

    def __exit__(self, *_):
        asyncio.run_coroutine_threadsafe(self._runner.cleanup(), self._loop).result(PATIENCE)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _start(self):
        app = build_app(
            index=self._index,
            settings=lambda: self._settings,
            is_ready=lambda: True,
            metrics=AdmissionMetrics(CollectorRegistry()),
            clock=SystemClock(),
        )
        tls = ReloadingCertificate(self._folder).server_context()
        return await start(app, host="127.0.0.1", port=0, tls=tls)


def render_configurations(port, authority):
    """The chart's objects with their Service replaced by our address, and the CA that the controller would apply."""
    documents = render_objects({"image": {"ref": "unused"}}, only=["webhook-configuration"])
    for webhook in (webhook for document in documents for webhook in document["webhooks"]):
        path = webhook["clientConfig"]["service"]["path"]
        bundle = base64.b64encode(authority.pem).decode()
        webhook["clientConfig"] = {"url": f"https://127.0.0.1:{port}{path}", "caBundle": bundle}
    return documents


@pytest.fixture(scope="session")
def admission():
    """Everything above in one place."""
    return SimpleNamespace(
        Cluster=Cluster, Webhook=RunningWebhook, configurations=render_configurations,
        Authority=CertificateAuthority, templates=TEMPLATES, settings=SETTINGS,
    )  # fmt: skip


@pytest.fixture(scope="session")
def lab(test_ca, entra):
    """The operator's processes on a bare plane; a key is published for three seconds before it signs."""
    settings = {
        "WI_ALLOWED_HOSTS": json.dumps([entra.url.removeprefix("https://")]),
        "WI_POD_RATE": "100",
        "WI_REVIEW_CACHE_SECONDS": "2",
        "WI_PUBLISH_BEFORE_SECONDS": "3",
    }
    with Lab(test_ca, settings=settings) as lab:
        yield lab


@pytest.fixture(scope="session")
def teams(lab):
    """The namespaces of the attacks."""
    attack_scene.make_teams(lab)


@pytest.fixture(scope="session")
def pod(lab, teams):
    """The honest pod's token."""
    token = lab.pod_token("team-a", "kick")
    lab.wait(lambda: lab.grant(token).document.get("grants"), "the first grant")
    return token


@pytest.fixture
def honest(lab, pod):
    """Before and after every attack the honest request succeeds: no attack has broken what it attacked."""
    attack_scene.assert_granted(lab.grant(pod))
    yield
    attack_scene.assert_granted(lab.grant(pod))
