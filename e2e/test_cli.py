"""`kubectl wi` through the real kubectl, against the real product: every command, sound and broken."""

import json
import os
import re
import shlex
import subprocess
import sys
import tarfile
import threading
import time
from contextlib import contextmanager

import pytest

from wi_testkit.stage.images import ROOT
from wi_testkit.world import SHOW

SCRIPTS = {"kubectl-wi": "main", "kubectl_complete-wi": "complete"}
PLANTED = "planted-in-a-pod"
JOB_SECRET = "greeting"
OF_OTHERS = {"objects", "DNS"}
"""Checks that objects of other tests, broken on purpose, may fail."""


class Plugin:
    """Runs ``kubectl wi``, found by kubectl on PATH as a user's would be."""

    def __init__(self, world, folder):
        for script, function in SCRIPTS.items():
            program = f"import sys; from wi_operator.cli.main import {function}; sys.exit({function}())"
            (folder / script).write_text(f'#!/bin/sh\nexec {sys.executable} -c {shlex.quote(program)} "$@"\n')
            (folder / script).chmod(0o755)
        self.folder = folder
        own = dict(os.environ) | dict(world.cluster.environment)
        self.environment = own | {"PATH": f"{folder}:{own['PATH']}", "PYTHONPATH": str(ROOT / "operator")}
        self.environment.pop("PYTHONDONTWRITEBYTECODE", None)

    def __call__(self, *arguments, code=0, **environment):
        done = subprocess.run(
            ["kubectl", "wi", *arguments],
            env=self.environment | environment,
            capture_output=True,
            text=True,
            timeout=150,
            stdin=subprocess.DEVNULL,
            check=False,
        )
        told = done.stdout + done.stderr
        assert code in (done.returncode, None), f"{arguments}: {done.returncode}, {told}"
        assert "Traceback" not in told
        return told if code else done.stdout

    def json(self, *arguments, code=0):
        told = self(*arguments, "-o", "json", code=code)
        return json.loads(told[: told.rindex("}" if told.startswith("{") else "]") + 1])

    def complete(self, *words):
        command = ["kubectl", "__complete", "wi", *words]
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=60, check=True)
        *names, directive = done.stdout.splitlines()
        assert directive == ":4"
        return [name.partition("\t")[0] for name in names]


@pytest.fixture(scope="module")
def wi(world, tmp_path_factory):
    return Plugin(world, tmp_path_factory.mktemp("plugin"))


@pytest.fixture(scope="module")
def stranger(world):
    """A team whose app trusts another subject."""
    stranger = world.add_team("t-cli-stranger")
    stranger.trust("organization:00000000-0000-4000-8000-000000000000")
    stranger.apply_config()
    stranger.wait_reason("wic/azure", "SubjectMismatch")
    return stranger


def test_status_is_green_for_one_and_tells_the_remedy_for_the_other(wi, team, stranger):
    team.kick("greet", {"APP_A": "secret://demo/missing"})
    shown = wi("status", "-n", team.name, code=1)
    assert re.search(r"wic/azure +True +Succeeded", shown)
    assert re.search(r"fail +SecretNotFound +pod t-cli/greet-", shown)
    team.kubectl("delete", "job", "greet")
    team.kubectl("wait", "--for=delete", "pod", "-l", "job-name=greet", "--timeout=60s")
    assert "Nothing is wrong." in wi("status", "-n", team.name)
    broken = wi.json("status", "-n", stranger.name, code=1)
    (finding,) = broken["findings"]
    assert (finding["reason"], finding["objects"]) == ("SubjectMismatch", [f"wic {stranger.name}/azure"])
    assert f"az ad app federated-credential create --id {stranger.client}" in finding["remedy"]
    assert {row["namespace"] for row in wi.json("status", "-A", code=1)["configs"]} >= {team.name, stranger.name}


def test_what_fic_prints_cures_what_test_found(wi, team, stranger, world):
    assert {each["ready"] for each in wi.json("test", "-n", team.name)} == {"True"}
    told = wi("test", "wic/azure", "-n", stranger.name, code=1)
    assert "AADSTS700213" in told
    words = shlex.split(wi("fic", "azure", "-n", stranger.name))
    assert words[:7] == ["az", "ad", "app", "federated-credential", "create", "--id", stranger.client]
    wanted = json.loads(words[words.index("--parameters") + 1])
    assert wanted == json.loads(wi("fic", "azure", "-n", stranger.name, "-o", "json"))
    (audience,) = wanted["audiences"]
    world.entra.trust(
        world.tenant,
        stranger.client,
        wanted["name"],
        issuer=wanted["issuer"],
        subject=wanted["subject"],
        audience=audience,
    )
    assert "HandshakeSucceeded" in wi("test", "wic/azure", "-n", stranger.name)
    assert "azuread_application_federated_identity_credential" in wi("fic", "azure", "-n", team.name, "-o", "terraform")


def list_secrets(wi, team):
    """Ask for the names until they are there: the listing is one call to a busy emulator, and is not repeated by itself."""
    for _ in range(3):
        wi("test", "spcred/demo", "-n", team.name)
        listed = wi.json("secrets", "-n", team.name, code=None)
        if listed["secrets"]:
            break
    return wi("secrets", "-n", team.name)


def test_secrets_are_listed_by_name(wi, team):
    team.set_secret("listed-one", PLANTED)
    assert "listSecretNames is off" in wi("secrets", "demo", "-n", team.name)
    team.apply_credential(listSecretNames=True)
    team.wait_ready("spcred/demo")
    shown = list_secrets(wi, team)
    assert "secret://demo/listed-one" in shown
    assert PLANTED not in shown


def test_a_rotation_is_verified(wi, team, world):
    team.set_secret(JOB_SECRET, "planted-before")
    template = team.render_pod({"APP_A": f"secret://demo/{JOB_SECRET}"}, ["python3", "-c", SHOW])
    spec = {"template": template, "suspend": True}
    metadata = {"name": "crew", "namespace": team.name}
    world.cluster.apply([{"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": spec}])
    command = ["kubectl", "wi", "verify-rotation", "job/crew", "-n", team.name, "-o", "json"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, env=wi.environment, text=True, **pipes) as running:
        watchdog = threading.Timer(120, running.kill)
        watchdog.start()
        asked = ""
        while "press Enter" not in asked and (letter := running.stderr.read(1)):
            asked += letter
        assert f"secret://demo/{JOB_SECRET}" in asked
        team.set_secret(JOB_SECRET, "planted-after")
        told, _ = running.communicate("\n", timeout=100)
        watchdog.cancel()
    assert running.returncode == 0, told
    (variable,) = json.loads(told)["variables"]
    assert variable["changed"]
    assert variable["before"]["fingerprint"] != variable["after"]["fingerprint"]
    assert "planted" not in told + asked
    assert "wi-verify" not in team.kubectl("get", "jobs", "-o", "name")


def diagnose(wi, team):
    """Return the checks by name; objects of other tests may not be Ready, and that is their affair."""
    done = subprocess.run(
        ["kubectl", "wi", "doctor", "-n", team.name, "-o", "json"],
        env=wi.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    listed = {check["name"]: check for check in json.loads(done.stdout)}
    assert done.returncode == int(any(check["level"] == "fail" for check in listed.values()))
    return listed


@contextmanager
def no_webhook(world):
    system = ("-n", "wi-system")
    world.kubectl(*system, "scale", "deployment/wi-webhook", "--replicas=0")
    world.kubectl(*system, "wait", "--for=delete", "pod", "-l", "app.kubernetes.io/component=webhook", "--timeout=60s")
    try:
        yield
    finally:
        world.kubectl(*system, "scale", "deployment/wi-webhook", "--replicas=2")
        world.kubectl(*system, "rollout", "status", "deployment/wi-webhook", "--timeout=90s")


@contextmanager
def edited_policy(world):
    def set_actions(*actions):
        patch = json.dumps({"spec": {"validationActions": actions}})
        world.kubectl("patch", "validatingadmissionpolicybinding", "wi-literals", "--type=merge", "--patch", patch)

    set_actions("Warn")
    try:
        yield
    finally:
        set_actions("Deny")


def test_doctor_is_green_on_a_sound_cluster_and_red_with_the_remedy_on_a_broken_one(wi, team, world):
    sound = diagnose(wi, team)
    assert {name for name, check in sound.items() if check["level"] != "ok"} <= OF_OTHERS, sound
    assert "was injected" in sound["webhook serving"]["message"]
    with edited_policy(world), no_webhook(world):
        broken = diagnose(wi, team)
    assert {name for name, check in broken.items() if check["level"] != "ok"} - OF_OTHERS == {
        "operator", "policies", "webhook serving",
    }  # fmt: skip
    assert broken["policies"]["message"] == "binding wi-literals was modified."
    assert "Install the chart again" in broken["policies"]["remedy"]
    for name in ("operator", "webhook serving"):
        assert "kubectl -n wi-system scale deploy/wi-webhook --replicas=2" in broken[name]["remedy"]
    deadline = time.monotonic() + 30
    while diagnose(wi, team)["webhook serving"]["level"] != "ok":
        assert time.monotonic() < deadline


def test_a_support_bundle_holds_no_value_of_a_pod(wi, team, tmp_path):
    team.set_secret("value", "planted-in-the-vault")
    plain = team.render_pod({"APP_PLAIN": PLANTED}, ["python3", "-c", f"print('{PLANTED}')"])
    plain |= {"apiVersion": "v1", "kind": "Pod"}
    plain["metadata"]["name"] = "planted"
    team.kubectl("apply", "--filename=-", stdin=json.dumps(plain))
    team.kick("valued", {"APP_A": "secret://demo/value", "APP_PLAIN": PLANTED})
    target = tmp_path / "support.tar.gz"
    subprocess.run(
        ["kubectl", "wi", "doctor", "-n", team.name, "--bundle", target],
        env=wi.environment,
        check=False,
        capture_output=True,
    )
    with tarfile.open(target) as archive:
        texts = {each.name: archive.extractfile(each).read().decode() for each in archive}
    assert {"APP_PLAIN", "planted"} <= set(re.findall(r'"name": "([\w-]+)"', texts["wi-support/injected-pods.json"]))
    assert any(name.startswith("wi-support/logs/wi-system-wi-controller") for name in texts)
    for value in (PLANTED, "planted-in-the-vault"):
        assert [name for name, text in texts.items() if value in text] == []


def states(wi):
    return {row["kid"]: row["state"] for row in wi.json("keys", "list")}


def test_keys_are_listed_rotated_and_tainted(wi):
    before = states(wi)
    assert list(before.values()).count("signs") == 1
    fresh = wi("keys", "rotate").split()[1]
    assert states(wi).keys() == {*before, fresh}
    assert "is on its way already" in wi("keys", "rotate", code=1)
    assert "add --yes" in wi("keys", "taint", fresh[:12], code=2)
    assert fresh in states(wi)
    wi("keys", "taint", fresh[:12], "--yes")
    assert states(wi).keys() == before.keys()


def test_the_public_documents_are_exported(wi, world, tmp_path):
    wi("issuer", "export", str(tmp_path))
    discovery = json.loads((tmp_path / ".well-known/openid-configuration").read_text())
    keys = json.loads((tmp_path / "oauth2/jwks").read_text())["keys"]
    assert discovery["issuer"] == world.issuer_url
    assert {key["kid"] for key in keys} >= {kid for kid, state in states(wi).items() if state == "signs"}


def test_names_are_completed_by_kubectl_itself(wi, team):
    assert {"status", "test", "verify-rotation", "doctor", "keys"} <= set(wi.complete(""))
    assert wi.complete("test", "-n", team.name, "wic/") == ["wic/azure"]
    assert wi.complete("fic", "-n", team.name, "a") == ["azure"]
    assert set(wi.complete("status", "-n", "t-cli")) >= {team.name}
    assert wi.complete("explain", "SubjectM") == ["SubjectMismatch"]


def test_who_may_little_is_told_so_in_a_sentence(wi, team, world, tmp_path):
    metadata = {"name": "viewer", "namespace": team.name}
    binding = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": metadata,
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"},
        "subjects": [{"kind": "ServiceAccount", "name": "viewer", "namespace": team.name}],
    }
    world.cluster.apply([{"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata}, binding])
    config = json.loads(team.kubectl("config", "view", "--minify", "--flatten", "-o", "json"))
    config["users"][0]["user"] = {"token": team.kubectl("create", "token", "viewer").strip()}
    file = tmp_path / "kubeconfig"
    file.write_text(json.dumps(config))
    own = ("--kubeconfig", str(file), "-n", team.name)
    assert "wi-issuer ?" in wi("status", *own)
    assert "You may not do that" in wi("keys", "list", "--kubeconfig", str(file), code=3)
    assert "You may not do that" in wi("test", "wic/azure", *own, code=3)
    config["clusters"][0]["cluster"]["server"] = "https://127.0.0.1:1"
    file.write_text(json.dumps(config))
    assert "The API server did not answer" in wi("status", *own, code=3)
