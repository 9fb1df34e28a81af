"""A real CrewAI crew in a Deployment that never restarts: a rotated key is the one that the provider sees next."""

import hashlib
import json
import secrets
import time

import pytest

from wi_testkit.controlplane.progress import Progress
from wi_testkit.stage.errors import CommandError
from wi_testkit.stage.images import ROOT, ensure_crew_image

LLM = (ROOT / "operator" / "wi_testkit" / "kickoff" / "llm.py").read_text()
SECONDS = 180
GET = "import sys, urllib.request; print(urllib.request.urlopen(sys.argv[1], timeout=60).read().decode())"


def fingerprint(value):
    return hashlib.sha256(value.encode()).hexdigest()[:12]


class Worker:
    """The Deployment, beside it an endpoint in place of the LLM's provider."""

    def __init__(self, team, image):
        self.team = team
        team.set_secret("openai-key", self.rotate())
        self._start_endpoint()
        environment = {
            "OPENAI_API_KEY": "secret://demo/openai-key",
            "OPENAI_BASE_URL": f"http://llm.{team.name}.svc:8080/v1",
        }
        command = ["python3", "-m", "uvicorn", "--host", "0.0.0.0", "--port", "8000", "uvicorn_app:app"]
        ready = {"tcpSocket": {"port": 8000}, "periodSeconds": 1, "failureThreshold": SECONDS}
        pod = team.render_pod(environment, command, container={"image": image, "startupProbe": ready})
        pod["spec"]["restartPolicy"] = "Always"
        self._create("crew", pod)
        team.kubectl("rollout", "status", "deployment/crew", f"--timeout={SECONDS}s", timeout=SECONDS + 20)

    def rotate(self):
        self.value = f"planted-{secrets.token_hex(8)}-not-a-real-key"
        return self.value

    def _start_endpoint(self):
        pod = self.team.render_pod({}, ["python3", "-c", LLM, "8080"], label=False)
        pod["spec"]["restartPolicy"] = "Always"
        self._create("llm", pod)
        service = {"selector": {"app": "llm"}, "ports": [{"port": 8080}]}
        self._apply("v1", "Service", "llm", service)
        self.team.kubectl("rollout", "status", "deployment/llm", "--timeout=90s")

    def _create(self, name, pod):
        pod["metadata"]["labels"]["app"] = name
        selector = {"matchLabels": {"app": name}}
        self._apply("apps/v1", "Deployment", name, {"replicas": 1, "selector": selector, "template": pod})

    def _apply(self, version, kind, name, spec):
        metadata = {"name": name, "namespace": self.team.name}
        self.team.world.cluster.apply([{"apiVersion": version, "kind": kind, "metadata": metadata, "spec": spec}])

    def get(self, url):
        """Ask over HTTP from the endpoint's pod; the worker's own is left alone."""
        return self.team.kubectl("exec", "deploy/llm", "--", "python3", "-c", GET, url, timeout=90).strip()

    def kick(self):
        address = self.team.kubectl("get", "pods", "-l", "app=crew", "-o", "jsonpath={.items[0].status.podIP}")
        return self.get(f"http://{address}:8000/").split()

    def keys(self):
        return json.loads(self.get("http://127.0.0.1:8080/_keys"))

    def log(self, container="app"):
        return self.team.kubectl("logs", "deploy/crew", "-c", container)


@pytest.fixture(scope="module")
def worker(team):
    image = ensure_crew_image(Progress())
    team.world.cluster.ensure_images([image], Progress())
    return Worker(team, image.name)


def test_the_next_kickoff_of_a_running_worker_uses_the_rotated_key(worker):
    first_pid, first = worker.kick()
    assert first == f"fingerprint=sha256:{fingerprint(worker.value)}"
    worker.team.set_secret("openai-key", worker.rotate())
    second_pid, second = worker.kick()
    assert (second_pid, second) == (first_pid, f"fingerprint=sha256:{fingerprint(worker.value)}")
    assert first != second
    assert worker.keys()[-1] == fingerprint(worker.value)
    assert f"fingerprint=sha256:{worker.keys()[0]}" == first


def test_its_log_and_the_sidecars_tell_of_one_kickoff_under_one_id(worker):
    worker.team.set_secret("openai-key", worker.rotate())
    worker.kick()
    line = f"Workload identity config '{worker.team.name}/azure' (azure): 1 secret(s) resolved kickoff="
    told = [each.removeprefix(line) for each in worker.log().splitlines() if each.startswith(line)]
    records = [json.loads(each) for each in worker.log("wi-sidecar").splitlines() if each.startswith("{")]
    records = {each["kickoff"]: each for each in records if "secrets" in each}
    last = records[told[-1]]
    assert last["source"] == "hook"
    (secret,) = last["secrets"]
    assert secret["rotation_lag"] < 60
    assert {"version", "age", "fingerprint", "ms"} <= set(secret)
    assert worker.value not in worker.log() + worker.log("wi-sidecar")


def test_the_images_own_path_still_holds(worker):
    """The image has ENV PYTHONPATH=/app:/opt/crew; the server found its module, and CrewAI, there."""
    shown = worker.team.kubectl("exec", "deploy/crew", "-c", "app", "--", "cat", "/proc/1/environ")
    path = next(each for each in shown.split("\0") if each.startswith("PYTHONPATH="))
    assert path == "PYTHONPATH=/run/wi/hook:/app:/opt/crew"


def test_a_changed_credential_reaches_the_next_kickoff_and_a_deleted_one_fails_it(worker):
    team = worker.team
    other = f"{team.vault}-b"
    team.world.keyvault.add_vault(other, team.world.tenant)
    team.world.keyvault.assign(other, team.principal, "Key Vault Secrets User")
    team.set_secret("openai-key", worker.rotate(), vault=other)
    pid, _ = worker.kick()
    team.apply_credential(vault=other)
    assert wait_for_kick(worker, lambda told: told[1].endswith(fingerprint(worker.value)))[0] == pid
    requests = len(worker.keys())
    team.kubectl("delete", "spcred/demo")
    wait_for_kick(worker, lambda told: told == ["refused"])
    after = len(worker.keys())
    assert kick_or_refusal(worker) == ["refused"]
    assert len(worker.keys()) == after >= requests
    assert "CredentialNotFound" in worker.log()
    team.apply_credential()


def kick_or_refusal(worker):
    try:
        return worker.kick()
    except CommandError as error:
        if "500" not in str(error):
            raise
        return ["refused"]


def wait_for_kick(worker, condition):
    """Kick off until the change arrived in the issuer's index."""
    deadline = time.monotonic() + 60
    while not condition(told := kick_or_refusal(worker)):
        assert time.monotonic() < deadline, told
        time.sleep(1)
    return told
