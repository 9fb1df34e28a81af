"""Injection in real pods: every shape of workload, hostile namespaces, and everything that goes wrong on the way."""

import contextlib
import json
import os
import re
import secrets
import threading
import time

import pytest

from wi_testkit.controlplane import binaries
from wi_testkit.controlplane.images import Image
from wi_testkit.controlplane.modules import CONTAINERD
from wi_testkit.controlplane.node import BUSYBOX, Node
from wi_testkit.controlplane.packages import ensure_packages
from wi_testkit.controlplane.progress import Silence
from wi_testkit.stage.commands import run
from wi_testkit.stage.errors import CommandError
from wi_testkit.stage.install import CHART, NAMESPACE, RELEASE
from wi_testkit.world import SHOW, fingerprint

PLAIN_IMAGE = "localhost/wi-plain:1"
SHOW_AND_STAY = SHOW + "\nimport time\ntime.sleep(3600)"
RESTRICTED = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
REFERENCE = {"APP_A": "secret://demo/a"}


def planted() -> str:
    return f"planted-{secrets.token_hex(12)}-not-a-real-secret"


def read(team, *what) -> dict:
    return json.loads(team.kubectl("get", *what, "-o", "json"))


def wait_until(is_true, what, *, seconds=60.0):
    deadline = time.monotonic() + seconds
    while not (found := is_true()):
        assert time.monotonic() < deadline, what() if callable(what) else what
        time.sleep(0.3)
    return found


def create(team, pod, name, *flags):
    pod |= {"apiVersion": "v1", "kind": "Pod"}
    pod["metadata"] |= {"name": name, "namespace": team.name}
    return team.kubectl("create", "--filename=-", *flags, stdin=json.dumps(pod))


def upgrade(world, *values):
    """Install the chart again as an administrator does."""
    flags = [f"--namespace={NAMESPACE}", "--reuse-values", *(f"--set={value}" for value in values)]
    world.cluster.helm("upgrade", RELEASE, str(CHART), *flags)


def wait_rolled_out(world, deployment):
    world.kubectl("-n", NAMESPACE, "rollout", "status", f"deployment/{deployment}", "--timeout=120s")


@pytest.fixture(scope="module", autouse=True)
def cron(team):
    """A CronJob that the last test looks at: the other tests run while its minute passes."""
    value = planted()
    team.set_secret("cron", value)
    template = team.render_pod({"APP_CRON": "secret://demo/cron"}, ["python3", "-c", SHOW])
    spec = {"schedule": "* * * * *", "jobTemplate": {"spec": {"backoffLimit": 0, "template": template}}}
    metadata = {"name": "every-minute", "namespace": team.name}
    item = {"apiVersion": "batch/v1", "kind": "CronJob", "metadata": metadata, "spec": spec}
    team.kubectl("apply", "--filename=-", stdin=json.dumps(item))
    yield value
    team.kubectl("delete", "cronjob", "every-minute", "--ignore-not-found")


@pytest.fixture(scope="module")
def plain_image(world, tmp_path_factory):
    """An image without python3: one static busybox, which shows a fingerprint when it is started without a command."""
    ensure_packages(("busybox-static",), Silence())
    show = 'for n in A B; do eval v=\\$APP_$n; printf %s "$v" | sha256sum | cut -c1-12 | sed "s/^/APP_$n /"; done'
    links = dict.fromkeys(("/bin/sh", "/bin/sha256sum", "/bin/cut", "/bin/sed", "/bin/sleep"), "/bin/busybox")
    image = Image(PLAIN_IMAGE, ["/bin/sh", "-c", show], {"/bin/busybox": BUSYBOX}, links)
    if not world.cluster.has_image(PLAIN_IMAGE):
        world.cluster.load_archive(image.write(tmp_path_factory.mktemp("image") / "plain.tar"))
    return PLAIN_IMAGE


@pytest.fixture(scope="module")
def open_team(world):
    """A team whose namespace allows privileged pods."""
    team = world.add_team("t-open")
    team.kubectl("label", "namespace", team.name, "pod-security.kubernetes.io/enforce=privileged", "--overwrite")
    team.set_up()
    return team


def without_command(team, variables, image, **more):
    pod = team.render_pod(variables, [], container={"image": image}, **more)
    del pod["spec"]["containers"][0]["command"]
    return pod


def run_job(team, name, template):
    team.kubectl("delete", "job", name, "--ignore-not-found", "--wait", "--cascade=foreground")
    job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name, "namespace": team.name}}
    job["spec"] = {"backoffLimit": 0, "template": template}
    team.kubectl("create", "--filename=-", stdin=json.dumps(job))

    def ended():
        conditions = read(team, "job", name).get("status", {}).get("conditions", [])
        return {c["type"] for c in conditions if c["status"] == "True"} & {"Complete", "Failed"}

    wait_until(ended, team.describe, seconds=90)
    return read(team, "pods", f"--selector=job-name={name}")["items"][0]


def test_a_deployment_with_two_containers_and_a_native_sidecar_gets_each_its_own(team):
    values = {name: planted() for name in ("web", "worker", "proxy")}
    for name, value in values.items():
        team.set_secret(name, value)
    template = team.render_pod({"APP_WEB": "secret://demo/web"}, ["python3", "-c", SHOW_AND_STAY])
    first = template["spec"]["containers"][0]
    worker = {**first, "name": "worker", "env": [{"name": "APP_WORKER", "value": "secret://demo/worker"}]}
    proxy = {
        **first,
        "name": "proxy",
        "env": [{"name": "APP_PROXY", "value": "secret:///proxy"}],
        "restartPolicy": "Always",
    }
    template["spec"] |= {"containers": [first, worker], "initContainers": [proxy], "restartPolicy": "Always"}
    template["metadata"]["labels"]["app"] = "two"
    team.apply_credential("main", default=True)
    team.kubectl("delete", "deployment", "two", "--ignore-not-found", "--cascade=foreground")
    spec = {"replicas": 2, "selector": {"matchLabels": {"app": "two"}}, "template": template}
    item = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "two", "namespace": team.name},
        "spec": spec,
    }
    team.kubectl("apply", "--filename=-", stdin=json.dumps(item))
    try:
        team.kubectl("rollout", "status", "deployment/two", "--timeout=90s")
        pods = read(team, "pods", "--selector=app=two")["items"]
        assert len(pods) == 2
        for pod in pods:
            assert [c["name"] for c in pod["spec"]["initContainers"]] == ["wi-sidecar", "proxy"]
            for container, variable in (("app", "APP_WEB"), ("worker", "APP_WORKER"), ("proxy", "APP_PROXY")):
                value = values[variable.removeprefix("APP_").lower()]

                def shown(pod=pod, container=container):
                    return team.kubectl("logs", pod["metadata"]["name"], "-c", container)

                log = wait_until(lambda shown=shown: "APP_" in (text := shown()) and text, "no output", seconds=20)
                lines = [line for line in log.splitlines() if line.startswith("APP_")]
                assert lines == [f"{variable} {fingerprint(value)}"]
    finally:
        team.kubectl("delete", "deployment", "two", "--wait=false")
        team.kubectl("delete", "spcred", "main")


def test_a_pod_of_any_user_with_a_pythonpath_and_no_api_token(team):
    value = planted()
    team.set_secret("a", value)
    program = (
        SHOW + "\nimport os, sys\nprint('path', '/from/the/image' in sys.path, os.getuid(), os.environ['PYTHONPATH'])"
    )
    outcome = team.kick(
        "shape", REFERENCE | {"PYTHONPATH": "/from/the/image"}, command=["python3", "-c", program],
        automountServiceAccountToken=False,
        container={"securityContext": RESTRICTED | {"runAsUser": 54321, "readOnlyRootFilesystem": True}},
    )  # fmt: skip
    assert outcome.fingerprints == {"APP_A": fingerprint(value)}
    path = re.search(r"path True 54321 (\S+)", outcome.log)
    assert path
    assert path[1].split(":")[-1] == "/from/the/image"


def test_limits_and_quotas_that_do_not_know_the_sidecar(world):
    """A LimitRange's default of 16Mi would kill the sidecar; a quota refuses containers that name no limits."""
    team = world.add_team("t-limits")
    default = {"memory": "16Mi", "cpu": "200m"}
    limits = [{"type": "Container", "default": default, "defaultRequest": {"memory": "16Mi", "cpu": "10m"}}]
    hard = {"requests.cpu": "1", "requests.memory": "256Mi", "limits.cpu": "1", "limits.memory": "512Mi", "pods": "2"}
    for kind, spec in (("LimitRange", {"limits": limits}), ("ResourceQuota", {"hard": hard})):
        item = {"apiVersion": "v1", "kind": kind, "metadata": {"name": "x", "namespace": team.name}, "spec": spec}
        team.kubectl("apply", "--filename=-", stdin=json.dumps(item))
    team.set_up()
    value = planted()
    team.set_secret("a", value)
    outcome = team.kick("limited", REFERENCE, container={"resources": {"limits": {"memory": "64Mi"}}})
    assert outcome.fingerprints == {"APP_A": fingerprint(value)}
    sidecar = next(c for c in outcome.pod["spec"]["initContainers"] if c["name"] == "wi-sidecar")
    assert sidecar["resources"]["limits"]["memory"] != "16Mi"
    status = next(s for s in outcome.pod["status"]["initContainerStatuses"] if s["name"] == "wi-sidecar")
    assert status["restartCount"] == 0


def test_a_guaranteed_pod_stays_it_beside_the_sidecar(team):
    value = planted()
    team.set_secret("a", value)
    fixed = {"resources": {"limits": {"cpu": "200m", "memory": "64Mi"}}}
    first = {
        "name": "first",
        "image": team.world.app_image,
        "command": ["true"],
        "securityContext": RESTRICTED,
        **fixed,
    }
    outcome = team.kick("fixed", REFERENCE, container=fixed, initContainers=[first])
    assert outcome.fingerprints == {"APP_A": fingerprint(value)}
    assert outcome.pod["status"]["qosClass"] == "Guaranteed"
    (status,) = (each for each in outcome.pod["status"]["initContainerStatuses"] if each["name"] == "wi-sidecar")
    assert status["restartCount"] == 0


def test_a_copy_to_debug_in_has_the_secrets_through_the_launcher(team):
    value = planted()
    team.set_secret("a", value)
    team.start_worker("debugged", REFERENCE)
    copy = (
        "--copy-to=copy",
        "--container=app",
        "--share-processes=false",
        "--profile=restricted",
        "--",
        "sleep",
        "3600",
    )
    team.kubectl("debug", "debugged", *copy)
    team.kubectl("wait", "--for=condition=Ready", "pod/copy", "--timeout=60s")
    show = ["python3", "-c", "import os; print(os.environ.get('APP_A'))"]
    within = ("exec", "copy", "-c", "app", "--")
    assert team.kubectl(*within, *show).strip() == "None"
    assert team.kubectl(*within, "python3", "-I", "-S", "/run/wi/launch.py", "--", *show).strip() == value


# A mesh's two halves without a mesh: one takes every route away, the other gives them back a while after it started.
MESH = """
import ctypes, fcntl, socket, struct, sys, time
ADD, DELETE = 0x890B, 0x890C  # SIOCADDRT, SIOCDELRT; struct rtentry of linux/route.h
def routes():
    for line in open('/proc/net/route').read().splitlines()[1:]:
        yield line.split()
def address(text):
    return struct.pack('<HH4s8x', socket.AF_INET, 0, struct.pack('<I', int(text, 16)))
def change(call, row):
    name = ctypes.create_string_buffer(row[0].encode())
    entry = struct.pack('L16s16s16sHhLPhPLLH', 0, address(row[1]), address(row[2]), address(row[7]),
                        int(row[3], 16), 0, 0, 0, 0, ctypes.addressof(name), 0, 0, 0)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        fcntl.ioctl(s, call, entry)
if sys.argv[1] == 'block':
    rows = list(routes())
    open('/mesh/routes', 'w').write('\\n'.join(' '.join(row) for row in rows))
    for row in rows:
        change(DELETE, row)
    print('blocked', len(rows), len(list(routes())), flush=True)
else:
    time.sleep(4)
    # A gateway is reached by a route without one.
    for row in sorted((line.split() for line in open('/mesh/routes')), key=lambda row: row[2] != '0' * 8):
        change(ADD, row)
    print('opened', len(list(routes())), flush=True)
    time.sleep(3600)
"""


def test_a_mesh_that_opens_the_network_late(open_team, world):
    team = open_team
    value = planted()
    team.set_secret("a", value)
    root = {"runAsUser": 0, "runAsNonRoot": False, "capabilities": {"add": ["NET_ADMIN"]}}
    half = {
        "image": world.app_image,
        "imagePullPolicy": "IfNotPresent",
        "securityContext": root,
        "volumeMounts": [{"name": "mesh", "mountPath": "/mesh"}],
    }
    init = {**half, "name": "mesh-init", "command": ["python3", "-c", MESH, "block"]}
    proxy = {**half, "name": "mesh-proxy", "command": ["python3", "-c", MESH, "open"], "restartPolicy": "Always"}
    outcome = team.kick(
        "meshed", REFERENCE, initContainers=[init, proxy], volumes=[{"name": "mesh", "emptyDir": {}}]
    )  # fmt: skip
    name = outcome.pod["metadata"]["name"]
    assert [c["name"] for c in outcome.pod["spec"]["initContainers"]] == ["mesh-init", "mesh-proxy", "wi-sidecar"]
    blocked = team.kubectl("logs", name, "-c", "mesh-init").split()
    assert int(blocked[1]) > 0
    assert blocked[2] == "0"
    assert outcome.fingerprints == {"APP_A": fingerprint(value)}, outcome.log


def test_the_hosts_network_and_a_shared_process_namespace(open_team):
    team = open_team
    value = planted()
    team.set_secret("a", value)
    for fields in ({"hostNetwork": True, "dnsPolicy": "ClusterFirstWithHostNet"}, {"shareProcessNamespace": True}):
        assert team.kick("host", REFERENCE, **fields).fingerprints == {"APP_A": fingerprint(value)}
    with pytest.raises(CommandError, match="HostNetworkWithoutClusterDns"):
        create(team, team.render_pod(REFERENCE, ["true"], hostNetwork=True), "no-dns")
    as_root = team.render_pod(REFERENCE, ["true"], shareProcessNamespace=True, securityContext={})
    with pytest.raises(CommandError, match="SidecarReadable"):
        create(team, as_root, "readable")


def kill_sidecar(team, pod):
    """End the sidecar hard, from the node where it is ours; else ask it to end."""
    if os.environ.get("CLUSTER", "embedded") != "embedded":
        program = "import os, signal; os.kill(1, signal.SIGTERM)"
        team.kubectl("exec", pod, "-c", "wi-sidecar", "--", "python3", "-c", program)
        return
    statuses = read(team, "pod", pod)["status"]["initContainerStatuses"]
    container = next(s for s in statuses if s["name"] == "wi-sidecar")["containerID"].rpartition("/")[2]
    node = Node(os.environ.get("WI_E2E_NODE", "e2e"))
    ctr = str(binaries.locate(CONTAINERD) / "ctr")
    run([*node.enter(), ctr, "--namespace=k8s.io", "tasks", "kill", "--signal=SIGKILL", container])


def test_a_sidecar_that_is_killed_costs_no_kickoff_of_the_running_application(team):
    team.set_secret("a", planted())
    worker = team.start_worker("killed", REFERENCE)
    told: list[str] = []
    loop = threading.Thread(target=lambda: told.append(worker.kick_for(10)))
    loop.start()
    time.sleep(3)
    kill_sidecar(team, worker.name)
    loop.join(90)
    count, failed = (int(part.split()[1]) for part in told[0].split(","))
    assert (count > 10, failed) == (True, 0)
    statuses = read(team, "pod", worker.name)["status"]
    assert [s["restartCount"] for s in statuses["initContainerStatuses"] if s["name"] == "wi-sidecar"] == [1]
    assert [s["restartCount"] for s in statuses["containerStatuses"]] == [0]
    team.kubectl("delete", "pod", worker.name, "--wait=false")


FAILS_ONCE = "test -f /run/wi/app/tried || { touch /run/wi/app/tried; exit 1; }; exec wi-operator sidecar"


def test_a_sidecar_that_ends_before_it_listens_is_started_again_and_the_application_follows(team):
    """Here a kubelet can lose a sidecar's startup probe, and the application waits for ever: ours has a hook instead."""
    value = planted()
    team.set_secret("a", value)
    probe = {"startupProbe": {"exec": {"command": ["true"]}, "periodSeconds": 1}}
    pod = team.render_pod(REFERENCE, ["python3", "-c", SHOW], container=probe)
    injected = json.loads(create(team, pod, "fails-once", "--dry-run=server", "--output=json"))
    sidecar = next(c for c in injected["spec"]["initContainers"] if c["name"] == "wi-sidecar")
    del sidecar["args"]
    sidecar["command"] = ["sh", "-c", FAILS_ONCE]
    # Without the label the webhook does not look at it again; it would refuse this sidecar.
    create(team, {"metadata": {}, "spec": injected["spec"]}, "fails-once")
    wait_until(lambda: read(team, "pod", "fails-once")["status"]["phase"] == "Succeeded", team.describe)
    assert f"APP_A {fingerprint(value)}" in team.kubectl("logs", "fails-once", "-c", "app")
    statuses = read(team, "pod", "fails-once")["status"]["initContainerStatuses"]
    assert [s["restartCount"] for s in statuses if s["name"] == "wi-sidecar"] == [1]
    team.kubectl("delete", "pod", "fails-once", "--wait=false")


def test_a_credential_that_is_fixed_after_a_failed_kickoff_works_at_the_next_try(team):
    value = planted()
    team.set_secret("a", value)
    template = team.render_pod({"APP_A": "secret://late/a"}, ["python3", "-c", SHOW], restartPolicy="OnFailure")
    job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "late", "namespace": team.name}}
    job["spec"] = {"backoffLimit": 6, "template": template}
    team.kubectl("delete", "job/late", "spcred/late", "--ignore-not-found", "--cascade=foreground")
    team.kubectl("create", "--filename=-", stdin=json.dumps(job))

    def app():
        pods = read(team, "pods", "--selector=job-name=late")["items"]
        return next(iter(pods[0]["status"].get("containerStatuses", ())), {}) if pods else {}

    def failed():
        states = [app().get(key, {}).get("terminated", {}) for key in ("state", "lastState")]
        return next((state for state in states if state.get("exitCode") == 78), None)

    assert "CredentialNotFound" in wait_until(failed, team.describe)["message"]
    team.apply_credential("late")
    wait_until(lambda: read(team, "job", "late")["status"].get("succeeded"), team.describe, seconds=90)
    assert f"APP_A {fingerprint(value)}" in team.kubectl("logs", "job/late", "-c", "app")
    assert app()["restartCount"] >= 1


def test_an_image_without_python_says_so(team, plain_image):
    """What a user sees: the container is not started, and the kubelet names the missing program."""
    pod = run_job(team, "no-python", team.render_pod(REFERENCE, ["/bin/sh"], container={"image": plain_image}))
    ended = pod["status"]["containerStatuses"][0]["state"]["terminated"]
    assert (ended["exitCode"], ended["reason"]) == (128, "StartError")
    assert '"python3": executable file not found' in ended["message"]
    guide = (CHART.parents[1] / "docs" / "injection.md").read_text()
    assert "StartError" in guide
    assert "executable file not found" in guide


def test_envfile_is_refused_where_the_chart_does_not_allow_it(team, plain_image):
    annotations = {"identity.crewai.com/delivery": "envfile"}
    with pytest.raises(CommandError, match=r"EnvfileNotAllowed.*injection\.envfile\.enabled"):
        create(team, without_command(team, REFERENCE, plain_image, annotations=annotations), "not-allowed")


@pytest.fixture(scope="module")
def envfile(world):
    upgrade(world, "injection.envfile.enabled=true")
    wait_rolled_out(world, "wi-webhook")
    yield {"identity.crewai.com/delivery": "envfile"}
    upgrade(world, "injection.envfile.enabled=false")
    wait_rolled_out(world, "wi-webhook")


def test_envfile_serves_an_image_without_python_and_without_command(team, plain_image, envfile):
    value = f'{planted()}\n second $(line) "quoted" \\ # ü'
    team.set_secret("a", value)
    variables = REFERENCE | {"APP_B": "x:$(APP_A)"}
    pod = run_job(team, "envfile", without_command(team, variables, plain_image, annotations=envfile))
    name = pod["metadata"]["name"]
    assert [c["name"] for c in pod["spec"]["initContainers"]] == ["wi-sidecar", "wi-env"]
    assert pod["status"]["phase"] == "Succeeded"
    log = team.kubectl("logs", name, "-c", "app").splitlines()
    assert log == [f"APP_A {fingerprint(value)}", f"APP_B {fingerprint(f'x:{value}')}"]
    told = team.kubectl("logs", name, "-c", "wi-env")
    assert f"Workload identity config '{team.name}/azure' (azure): 1 secret(s) resolved" in told
    assert value not in json.dumps(pod)


@pytest.mark.attack(twin="test_envfile_serves_an_image_without_python_and_without_command")
def test_a_quote_in_a_value_sets_no_other_variable(team, plain_image, envfile):
    team.set_secret("a", "x'\nAPP_B='evil")
    team.set_secret("b", planted())
    variables = REFERENCE | {"APP_B": "secret://demo/b"}
    pod = run_job(team, "quoted", without_command(team, variables, plain_image, annotations=envfile))
    assert pod["status"]["phase"] == "Failed"
    writer = next(s for s in pod["status"]["initContainerStatuses"] if s["name"] == "wi-env")["state"]["terminated"]
    assert writer["exitCode"] == 78
    assert "container 'app': APP_A: ValueNotInFile" in writer["message"]
    assert "evil" not in writer["message"]


def test_envfile_is_refused_where_a_restart_would_be_stale(team, plain_image, envfile):
    pod = without_command(team, REFERENCE, plain_image, annotations=envfile, restartPolicy="OnFailure")
    with pytest.raises(CommandError, match="EnvfileRestart"):
        create(team, pod, "stale")


def test_a_new_webhook_takes_over_without_a_refused_pod(world, team):
    pod = {"apiVersion": "v1", "kind": "Pod"} | team.render_pod(REFERENCE, ["true"])
    pod["metadata"] |= {"name": "dry", "namespace": team.name}
    text, answers, done = json.dumps(pod), [], threading.Event()

    def ask():
        while not done.is_set():
            try:
                answers.append(
                    "wi-sidecar" in team.kubectl("create", "--dry-run=server", "-o", "json", "-f", "-", stdin=text)
                )
            except CommandError as error:
                answers.append(str(error))

    loop = threading.Thread(target=ask)
    loop.start()
    try:
        world.kubectl("-n", NAMESPACE, "rollout", "restart", "deployment/wi-webhook")
        wait_rolled_out(world, "wi-webhook")
        time.sleep(6)
    finally:
        done.set()
        loop.join(60)
    assert len(answers) > 10
    assert set(answers) == {True}


@contextlib.contextmanager
def no_webhook(world):
    """Take the webhook's processes away."""
    world.kubectl("-n", NAMESPACE, "scale", "deployment/wi-webhook", "--replicas=0")
    selector = "--selector=app.kubernetes.io/component=webhook"
    world.kubectl("-n", NAMESPACE, "wait", "--for=delete", "pod", selector, "--timeout=90s")
    try:
        yield
    finally:
        world.kubectl("-n", NAMESPACE, "scale", "deployment/wi-webhook", "--replicas=2")


def test_without_the_webhook_no_literal_starts_and_others_are_not_held_up(world, team):
    def attempt(name, *, label=True, variables=REFERENCE):
        try:
            return create(team, team.render_pod(variables, ["true"], label=label), name)
        except CommandError as error:
            return str(error)

    team.kubectl("delete", "pod", "other", "--ignore-not-found")
    with no_webhook(world):
        assert 'failed calling webhook "inject.identity.crewai.com"' in attempt("labelled")
        assert "LiteralNotInjected: container app, variable APP_A" in attempt("unlabelled", label=False)
        assert "created" in attempt("other", label=False, variables={"APP_A": "plain"})
        world.kubectl("delete", "mutatingwebhookconfiguration", "wi-webhook")
        said = wait_until(lambda: "LiteralNotInjected" in (text := attempt("no-configuration")) and text, "not refused")
        assert "the injector did not run" in said
        upgrade(world)
    # Registered anew: ready only once the API server can call it.
    wait_rolled_out(world, "wi-webhook")
    team.set_secret("a", value := planted())
    assert team.kick("again", REFERENCE).fingerprints == {"APP_A": fingerprint(value)}


POLICIES = ("wi-literals", "wi-malformed-templates", "wi-unlabelled-templates")
WAIT_FOR_RELEASE = "while ! [ -e /tmp/go ]; do sleep 0.2; done; echo finished"


def test_jobs_of_literal_pods_from_before_the_chart_still_finish(world, team):
    kinds = "validatingadmissionpolicybindings,validatingadmissionpolicies"
    world.kubectl("delete", kinds, *POLICIES)
    template = team.render_pod(REFERENCE, ["sh", "-c", WAIT_FOR_RELEASE], label=False)
    job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "old", "namespace": team.name}}
    job["spec"] = {"backoffLimit": 0, "template": template}

    def start():
        with contextlib.suppress(CommandError):
            team.kubectl("delete", "job", "old", "--ignore-not-found", "--cascade=foreground")
            team.kubectl("create", "--filename=-", stdin=json.dumps(job))
            time.sleep(1)
        pods = read(team, "pods", "--selector=job-name=old")["items"]
        return pods and pods[0]["metadata"]["name"]

    try:
        name = wait_until(start, team.describe, seconds=30)
        team.kubectl("wait", "--for=condition=Ready", f"pod/{name}", "--timeout=60s")
    finally:
        upgrade(world)

    def refused():
        with contextlib.suppress(CommandError):
            create(team, team.render_pod(REFERENCE, ["true"], label=False), "probe")
            team.kubectl("delete", "pod", "probe", "--wait=false")
            return False
        return True

    wait_until(refused, "the policy is not in force", seconds=30)
    team.kubectl("label", "pod", name, "still=changeable")
    team.kubectl("exec", name, "-c", "app", "--", "touch", "/tmp/go")
    team.kubectl("wait", "--for=condition=Complete", "job/old", "--timeout=60s")
    assert "finished" in team.kubectl("logs", name, "-c", "app")
    assert "finalizers" not in read(team, "pod", name)["metadata"]


def test_a_cron_job_kicks_off_by_itself(team, cron):
    def succeeded():
        jobs = read(team, "jobs")["items"]
        own = [job for job in jobs if job["metadata"]["name"].startswith("every-minute-")]
        return next((job["metadata"]["name"] for job in own if job["status"].get("succeeded")), None)

    name = wait_until(succeeded, team.describe, seconds=100)
    assert f"APP_CRON {fingerprint(cron)}" in team.kubectl("logs", f"job/{name}", "-c", "app")
