"""A planted value is in no object, log, event or file of the node outside memory."""

import os
import secrets
import subprocess

import pytest

from wi_testkit.world import fingerprint

VALUE = f"planted-{secrets.token_hex(16)}-not-a-real-secret"


@pytest.fixture(scope="module")
def outcome(team):
    team.set_secret("planted", VALUE)
    team.apply_credential("probing", azureKeyVault={"vaultUrl": f"https://{team.vault}.vault.azure.net"})
    worker = team.start_worker("holder", {"APP_PLANTED": "secret://demo/planted"})
    assert worker.kick().split()[1] == fingerprint(VALUE)
    return team.kick("planted", {"APP_PLANTED": "secret://demo/planted", "APP_X": "x$(APP_PLANTED)"})


def test_the_value_reached_the_application(outcome):
    assert outcome.fingerprints["APP_PLANTED"] == fingerprint(VALUE)


def test_no_object_of_any_kind_holds_it(outcome, world):
    del outcome
    kinds = world.kubectl("api-resources", "--verbs=list", "-o", "name").split()
    assert "events" in kinds
    assert "secrets" in kinds
    read = 0
    for kind in kinds:
        dump = world.kubectl("get", kind, "--all-namespaces", "-o", "json")
        assert VALUE not in dump, kind
        assert "eyJ" + "hbGciOi" not in dump, f"a token in {kind}"
        read += len(dump)
    assert read > 100_000


def test_no_log_holds_it(outcome, world, team):
    del outcome
    seen = 0
    for namespace in (team.name, "wi-system", "wi-emulators", "kube-system"):
        for pod in world.kubectl("-n", namespace, "get", "pods", "-o", "name").split():
            log = world.kubectl("-n", namespace, "logs", pod, "--all-containers", "--prefix")
            assert VALUE not in log, pod
            assert "client_assertion" not in log
            seen += bool(log)
    assert seen > 5


def search_node(text: str) -> list[str]:
    """Return the node's files outside memory that hold ``text``."""
    from wi_testkit.controlplane.node import Node

    node = Node(os.environ.get("WI_E2E_NODE", "e2e"))
    # -xdev on each tree: what is mounted inside (emptyDir in memory, projected tokens, overlays) is another file system;
    # the overlays' upper folders are on the disk and are searched.
    script = (
        'for d in /var/lib /run /var/log "$1"; do find "$d" -xdev -type f -size -64M -print0; done'
        ' | xargs -0 grep -l -F -e "$2"; true'
    )
    command = [*node.enter(), "sh", "-c", script, "sh", str(node.state), text]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=300).stdout.split()


@pytest.mark.skipif(
    os.environ.get("CLUSTER", "embedded") != "embedded", reason="only there the node's files are ours to read"
)
def test_no_file_of_the_node_outside_memory_holds_it(outcome, team):
    del outcome
    control = f"control-{secrets.token_hex(16)}"
    team.kubectl("exec", "holder", "-c", "app", "--", "sh", "-c", 'echo "$1" > /tmp/control', "sh", control)
    assert search_node(control), "the search does not see what a container writes to its disk"
    assert search_node(VALUE) == []
