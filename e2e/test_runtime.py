"""What stays in a pod beside the application: small, closed, replaceable; and what runs in the application's own image."""

import json
import secrets
import threading
import time

import pytest

from wi_testkit.controlplane.progress import Progress
from wi_testkit.stage.errors import CommandError
from wi_testkit.stage.images import ensure_debian
from wi_testkit.world import fingerprint

GOAL_MIB = 26
OTHER_DEBIAN = "trixie"
SHOW_START = """
import hashlib, os, sys, signal
print("python", "%d.%d" % sys.version_info[:2])
print("value", hashlib.sha256(os.environ["APP_A"].encode()).hexdigest()[:12], os.environ["APP_URL"].startswith("x-"))
print("arguments", sys.argv[1:], "uid", os.getuid(), "cwd", os.getcwd(), "umask", oct(os.umask(0)))
print("pid", os.getpid(), "descriptors", len(os.listdir("/proc/self/fd")), signal.getsignal(signal.SIGPIPE))
"""


@pytest.fixture(scope="module")
def worker(team):
    team.set_secret("a", "planted-a")
    return team.start_worker("runtime", {"APP_A": "secret://demo/a"})


def memory_of_sidecar(world, team, pod: str) -> float:
    """Return the working set that the kubelet sees, in MiB; it is measured every few seconds."""
    deadline = time.monotonic() + 40
    node = json.loads(team.kubectl("get", "pod", pod, "-o", "json"))["spec"]["nodeName"]
    while True:
        summary = json.loads(
            world.kubectl("get", "--raw", f"/api/v1/nodes/{node}/proxy/stats/summary?only_cpu_and_memory=true")
        )
        for seen in summary["pods"]:
            if (seen["podRef"]["namespace"], seen["podRef"]["name"]) == (team.name, pod):
                for container in seen.get("containers", []):
                    used = container.get("memory", {}).get("workingSetBytes", 0)
                    if container["name"] == "wi-sidecar" and used:
                        print(f"sidecar, as the kubelet sees it: {container['memory']}")
                        return used / 2**20
        assert time.monotonic() < deadline, "the kubelet has no figures of the sidecar"
        time.sleep(2)


def test_the_kubelet_sees_a_small_sidecar(world, team, worker):
    for _ in range(5):
        worker.kick()
    used = memory_of_sidecar(world, team, worker.name)
    assert 5 < used < GOAL_MIB


def look_into(team, worker, container, path):
    return team.kubectl("exec", worker.name, "-c", container, "--", "head", "-c", "1", path)


@pytest.mark.parametrize("path", ["/proc/1/environ", "/proc/1/maps"])
def test_a_process_that_nobody_closed_can_be_looked_into(team, worker, path):
    assert look_into(team, worker, "app", path)


@pytest.mark.attack(twin="test_a_process_that_nobody_closed_can_be_looked_into")
@pytest.mark.parametrize("path", ["/proc/1/environ", "/proc/1/mem", "/proc/1/maps"])
def test_a_process_of_its_own_user_cannot_look_into_the_sidecar(team, worker, path):
    with pytest.raises(CommandError, match="Permission denied"):
        look_into(team, worker, "wi-sidecar", path)


def test_kickoffs_survive_a_sidecar_that_ends_at_any_moment(team, worker):
    told: list[str] = []
    loop = threading.Thread(target=lambda: told.append(worker.kick_for(12)))
    loop.start()
    time.sleep(3)
    team.kubectl("exec", worker.name, "-c", "wi-sidecar", "--", "sh", "-c", "kill 1")
    loop.join(90)
    count, failed = (int(part.split()[1]) for part in told[0].split(","))
    pod = json.loads(team.kubectl("get", "pod", worker.name, "-o", "json"))
    (sidecar,) = (s for s in pod["status"]["initContainerStatuses"] if s["name"] == "wi-sidecar")
    assert (sidecar["restartCount"], count > 10, failed) == (1, True, 0), told


def test_rollouts_of_issuer_and_webhook_lose_neither_kickoff_nor_admission(world, team, worker):
    pod = {"apiVersion": "v1", "kind": "Pod"} | team.render_pod({"APP_A": "secret://demo/a"}, ["true"])
    pod["metadata"] |= {"name": "admitted", "namespace": team.name}
    refused: list[str] = []
    ended = threading.Event()
    admitted = 0
    told: list[str] = []

    def admit():
        nonlocal admitted
        while not ended.is_set():
            try:
                team.kubectl("create", "--dry-run=server", "--filename=-", stdin=json.dumps(pod))
                admitted += 1
            except CommandError as error:
                refused.append(str(error))
            time.sleep(0.05)

    threads = [threading.Thread(target=admit), threading.Thread(target=lambda: told.append(worker.kick_for(30)))]
    for thread in threads:
        thread.start()
    deployments = ("deployment/wi-issuer", "deployment/wi-webhook")
    try:
        world.kubectl("-n", "wi-system", "rollout", "restart", *deployments)
        for deployment in deployments:
            world.kubectl("-n", "wi-system", "rollout", "status", deployment, "--timeout=120s")
        threads[1].join(90)
        time.sleep(5)  # the old pods drain until after the rollout
    finally:
        ended.set()
        threads[0].join(30)
    print(f"{told[0]}; admitted {admitted}, refused {len(refused)}")
    assert refused == []
    assert admitted > 10
    assert told[0].endswith("failed 0")


def test_resources_and_log_level_are_the_pods_choice_within_bounds(team):
    team.set_secret("a", "planted-a")
    chosen = {"identity.crewai.com/sidecar-memory-limit": "96Mi", "identity.crewai.com/sidecar-log-level": "DEBUG"}
    outcome = team.kick("sized", {"APP_A": "secret://demo/a"}, annotations=chosen)
    assert outcome.succeeded, outcome.log
    (sidecar,) = (c for c in outcome.pod["spec"]["initContainers"] if c["name"] == "wi-sidecar")
    assert sidecar["resources"]["limits"]["memory"] == "96Mi"
    assert '"level":"debug"' in outcome.sidecar_log
    pod = {"apiVersion": "v1", "kind": "Pod"}
    pod |= team.render_pod({"APP_A": "secret://demo/a"}, ["true"], annotations={next(iter(chosen)): "2Gi"})
    pod["metadata"] |= {"name": "oversized", "namespace": team.name}
    with pytest.raises(CommandError, match="InvalidSidecarOverride"):
        team.kubectl("create", "--filename=-", stdin=json.dumps(pod))


@pytest.mark.parametrize("image", ["base", OTHER_DEBIAN])
def test_the_launcher_leaves_the_process_as_the_image_and_the_pod_made_it(world, team, image):
    name = world.app_image
    if image == OTHER_DEBIAN:
        built = ensure_debian(OTHER_DEBIAN, Progress())
        world.cluster.ensure_images((built,), Progress())
        name = built.name
    value = f"planted-{secrets.token_hex(8)}"
    team.set_secret("a", value)
    command = ["python3", "-c", SHOW_START, "first", "$(NOT_SET)", "a b"]
    container = {"image": name, "workingDir": "/tmp", "securityContext": {
        "runAsUser": 4321, "allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}}  # fmt: skip
    variables = {"APP_A": "secret://demo/a", "APP_URL": "x-$(APP_A)"}
    with_ours = team.kick("start", variables, command=command, container=container)
    plain = team.kick(
        "start", {"APP_A": value, "APP_URL": f"x-{value}"}, command=command, container=container, label=False
    )
    assert (with_ours.succeeded, plain.succeeded) == (True, True), with_ours.log
    ours = [line for line in with_ours.log.splitlines() if not line.startswith("Workload identity config")]
    assert ours == plain.log.splitlines()
    assert f"value {fingerprint(value)} True" in ours
    print(image, ours[0])
