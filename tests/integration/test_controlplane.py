"""The bare plane: it starts within seconds, is a real API server, and leaves nothing behind."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from wi_testkit.controlplane.cache import find_cache
from wi_testkit.controlplane.errors import ControlPlaneError, MissingPackagesError, NotReadyError
from wi_testkit.controlplane.plane import Plane, Programs
from wi_testkit.controlplane.processes import Process, Register, identify, spawn, terminate
from wi_testkit.controlplane.progress import Silence
from wi_testkit.controlplane.readiness import wait_until

SOURCE_ROOT = Path(__file__).parents[2] / "operator"
START_SECONDS = 20.0
_ORPHAN = "from wi_testkit.controlplane.plane import Plane; p = Plane(); p.start(); print(p.state, flush=True); input()"


@pytest.fixture(scope="module", autouse=True)
def programs() -> Programs:
    """Build first, so that no test measures a compiler."""
    return Programs.find(Silence())


def wait_for(is_true, seconds: float = 10.0) -> bool:
    deadline = time.monotonic() + seconds
    while not (done := is_true()) and time.monotonic() < deadline:
        time.sleep(0.05)
    return done


def test_starts_within_seconds_and_leaves_no_process_and_no_state():
    began = time.monotonic()
    with Plane() as own:
        took = time.monotonic() - began
        processes = Register(own.state / "processes").load()
        assert {"etcd", "kube-apiserver"} == {process.name for process in processes if process.is_alive}
    assert took < START_SECONDS
    assert not any(process.is_alive for process in processes)
    assert not own.state.exists()


def test_two_planes_run_side_by_side(plane: Plane):
    with Plane() as other:
        other.run_kubectl("create", "namespace", "elsewhere")
        with pytest.raises(ControlPlaneError, match="NotFound"):
            plane.run_kubectl("get", "namespace", "elsewhere")


def test_kubectl_creates_a_namespace(plane: Plane):
    plane.run_kubectl("create", "namespace", "controlplane")
    assert plane.run_kubectl("get", "namespace", "controlplane", "--output=name") == "namespace/controlplane\n"


def test_tells_its_version(plane: Plane):
    version = json.loads(plane.run_kubectl("version", "--output=json"))
    assert version["clientVersion"]["gitVersion"] == version["serverVersion"]["gitVersion"]


def test_a_minted_user_has_its_name_and_groups_and_no_rights(plane: Plane):
    kubeconfig = plane.mint_kubeconfig("alice", ["developers"])
    answer = json.loads(plane.run_kubectl(f"--kubeconfig={kubeconfig}", "auth", "whoami", "--output=json"))
    assert answer["status"]["userInfo"]["username"] == "alice"
    assert "developers" in answer["status"]["userInfo"]["groups"]
    with pytest.raises(ControlPlaneError, match="forbidden"):
        plane.run_kubectl(f"--kubeconfig={kubeconfig}", "get", "secrets", "--all-namespaces")


def test_issues_and_reviews_service_account_tokens(plane: Plane):
    plane.run_kubectl("create", "serviceaccount", "robot", "--namespace=default")
    token = plane.run_kubectl("create", "token", "robot", "--namespace=default", "--audience=wi-issuer").strip()
    spec = {"token": token, "audiences": ["wi-issuer"]}
    review = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": spec}
    answer = plane.run_kubectl("create", "--filename=-", "--output=json", stdin=json.dumps(review))
    assert json.loads(answer)["status"]["user"]["username"] == "system:serviceaccount:default:robot"


def test_controllers_run_when_asked_for():
    with Plane(controllers=["serviceaccount-controller"]) as own:
        account = ("get", "serviceaccount", "default", "--namespace=default", "--ignore-not-found", "--output=name")
        assert wait_for(lambda: bool(own.run_kubectl(*account)))


def test_a_killed_owner_leaves_no_process_and_the_next_start_removes_its_state():
    environment = {**os.environ, "PYTHONPATH": str(SOURCE_ROOT)}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", _ORPHAN], env=environment, **pipes) as owner:
        state = Path(owner.stdout.readline().strip())
        processes = Register(state / "processes").load()
        owner.send_signal(signal.SIGKILL)
    assert len(processes) == 2
    assert wait_for(lambda: not any(process.is_alive for process in processes))
    with Plane():
        assert not state.exists()


def test_assets_folder_without_the_programs_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(tmp_path))
    with pytest.raises(ControlPlaneError, match="KUBEBUILDER_ASSETS"):
        Plane().start()


def test_assets_folder_is_used(monkeypatch: pytest.MonkeyPatch, programs: Programs):
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(programs.folder))
    assert programs.folder == Programs.find(Silence()).folder


def test_a_server_that_ends_early_is_told_with_its_last_words():
    before = set((find_cache() / "planes").iterdir())
    with pytest.raises(NotReadyError, match="no-such-flag"):
        Plane(flags=["--no-such-flag"]).start()
    assert before >= set((find_cache() / "planes").iterdir())


def test_a_recycled_pid_is_never_killed(tmp_path: Path):
    process = spawn("sleep", ["sleep", "60"], log=tmp_path / "log")
    impostor = Process(process.name, process.pid, process.started - 1)
    terminate(impostor, grace=0)
    assert process.is_alive
    terminate(process, grace=0)
    assert not process.is_alive


def test_a_lock_of_the_caller_is_not_held_on(tmp_path: Path):
    with (tmp_path / "lock").open("w") as handle:
        os.set_inheritable(handle.fileno(), True)
        process = spawn("holder", ["sh", "-c", "echo ready; sleep 60"], log=tmp_path / "log")
        # Before that line the loader may still have the C library open.
        assert wait_for(lambda: "ready" in (tmp_path / "log").read_text())
        held = [os.readlink(entry) for entry in Path(f"/proc/{process.pid}/fd").iterdir()]
        terminate(process, grace=0)
    assert len(held) == 3
    assert str(tmp_path / "lock") not in held


def test_a_process_that_ignores_sigterm_is_killed(tmp_path: Path):
    process = spawn("stubborn", ["sh", "-c", "trap '' TERM; echo ready; sleep 60"], log=tmp_path / "log")
    assert wait_for(lambda: "ready" in (tmp_path / "log").read_text())
    terminate(process, grace=0.1)
    assert not process.is_alive


def test_waiting_ends_with_the_process(tmp_path: Path):
    log = tmp_path / "log"
    log.write_text("why it ended\n")
    with pytest.raises(NotReadyError, match="why it ended"):
        wait_until(lambda: False, name="x", timeout=60, log=log, is_alive=lambda: False)


def test_missing_program_is_named(tmp_path: Path):
    with pytest.raises(ControlPlaneError, match="/nowhere/etcd"):
        spawn("etcd", ["/nowhere/etcd"], log=tmp_path / "log", leashed=True)


def test_own_identity_is_alive():
    assert identify("me", os.getpid()).is_alive


def test_missing_packages_are_named_to_an_ordinary_user(monkeypatch: pytest.MonkeyPatch):
    from wi_testkit.controlplane.packages import ensure_packages

    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(MissingPackagesError, match="sudo apt-get install no-such-package-x"):
        ensure_packages(["no-such-package-x"])
