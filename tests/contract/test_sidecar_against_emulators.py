"""The real sidecar and the real launcher against the emulators."""

import contextlib
import hashlib
import hmac
import re
import signal
import socket
import subprocess
import threading
import time
import uuid
from urllib.parse import urlsplit

import pytest

RESOLVED = "Workload identity config 'team-a/azure' (azure): 2 secret(s) resolved"
WORKER = """
import os, sys, wi_kickoff
for line in sys.stdin:
    try:
        with wi_kickoff.kickoff():
            print(os.getpid(), os.environ["DB_PASSWORD"], flush=True)
    except wi_kickoff.KickoffRefusedError as error:
        print(*str(error).splitlines(), flush=True)
"""


def error_of(result):
    assert (result.returncode, result.stdout) == (78, "")
    return result.stderr


def test_the_application_starts_with_the_values_in_its_environment(sidecar):
    result = sidecar.launch(env={"HOST": "db"})
    # HOST stands in the container's env; DB_USER is a variable behind the template, still literal there.
    assert result.stdout == "fake-password-1 postgres://$(DB_USER):fake-password-1@db/$x fake-user\n"
    assert re.fullmatch(re.escape(RESOLVED) + " kickoff=[0-9a-f]{16}\n", result.stderr)
    assert result.returncode == 0


def test_the_log_has_names_versions_and_fingerprints_and_no_value(sidecar, grants):
    sidecar.launch()
    record = next(r for r in sidecar.records() if r["message"] == RESOLVED)
    secret = record["secrets"][0]
    expected = hmac.new(grants.fingerprint_key, b"fake-password-1", hashlib.sha256).hexdigest()[:12]
    assert (secret["variable"], secret["fingerprint"]) == ("DB_PASSWORD", expected)
    assert len(secret["version"]) == 32
    assert isinstance(secret["ms"], int)
    text = sidecar.log.read_text()
    for forbidden in ("fake-password-1", "fake-user", grants.pod_token, "eyJ"):
        assert forbidden not in text


def test_the_grant_is_asked_for_with_the_pods_token_and_credentials_alone(sidecar, grants):
    sidecar.launch()
    assert {(path, token) for path, token, _, _ in grants.seen} == {("/v1/grants", f"Bearer {grants.pod_token}")}
    assert grants.seen[0][3] == {"credentials": ["", "demo"]}


def test_a_rotated_value_arrives_at_the_next_kickoff(sidecar, world):
    sidecar.launch()
    world.keyvault.set_secret(world.vault, "db-password", "fake-password-2")
    assert sidecar.launch().stdout.startswith("fake-password-2 ")


def test_a_worker_that_never_restarts_follows_rotation_changed_config_refusal_and_pardon(sidecar, world, grants):
    worker = subprocess.Popen(
        sidecar.launcher("python3", "-c", WORKER),
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, bufsize=1,
    )  # fmt: skip

    def kick():
        print(file=worker.stdin)
        return worker.stdout.readline().strip()

    with worker:
        assert kick() == f"{worker.pid} fake-password-1"
        world.keyvault.set_secret(world.vault, "db-password", "fake-password-2")
        assert kick() == f"{worker.pid} fake-password-2"
        world.vault_url, grants.etag = "https://nowhere.example", '"2"'  # the credential names another vault
        assert "DB_PASSWORD" in kick()
        world.vault_url, grants.etag = world.keyvault.url, '"3"'
        assert kick() == f"{worker.pid} fake-password-2"
        grants.refusal = {"status": 404, "reason": "CredentialNotFound", "detail": "It is gone."}
        assert "CredentialNotFound: It is gone." in kick()
        grants.refusal = None
        assert kick() == f"{worker.pid} fake-password-2"
        worker.stdin.close()


def test_every_kickoff_reads_each_secret_once_and_reuses_the_token(sidecar, world):
    world.keyvault.forget_requests()
    world.entra.forget_requests()
    for _ in range(3):
        sidecar.launch()
    reads = [r for r in world.keyvault.requests() if r["path"].startswith("/secrets/")]
    assert len(reads) == 6
    assert len(world.entra.requests()) <= 1


def test_two_variables_of_one_secret_are_one_read(world, grants):
    entries = [{"name": name, "reference": f"secret://demo/{secret}"} for name, secret in
               [("A", "db-password"), ("B", "DB-Password"), ("C", "db_password"), ("D", "profile#user")]]  # fmt: skip
    sidecar = world.sidecar(grants, entries).start().wait_started()
    try:
        world.keyvault.forget_requests()
        command = ("python3", "-c", "import os; print(*(os.environ[n] for n in 'ABCD'))")
        assert sidecar.launch(*command).stdout == "fake-password-1 fake-password-1 fake-password-1 fake-user\n"
        assert len([r for r in world.keyvault.requests() if r["path"].startswith("/secrets/")]) == 2
    finally:
        sidecar.stop()


def test_one_error_names_every_variable_that_failed_with_its_remedy(world, grants):
    entries = [
        {"name": "GOOD", "reference": "secret://demo/db-password"},
        {"name": "MISSING", "reference": "secret://demo/no-such"},
        {"name": "NO_KEY", "reference": "secret://demo/profile#nope"},
        {"name": "NOT_JSON", "reference": "secret://demo/db-password#x"},
        {"name": "NO_CREDENTIAL", "reference": "secret://other/db-password"},
    ]
    grants.refusals = [
        {
            "credential": "other",
            "status": 404,
            "reason": "CredentialNotFound",
            "detail": "No 'other' in team-a.",
            "remedy": "Create it.",
        }
    ]
    sidecar = world.sidecar(grants, entries).start().wait_started()
    try:
        lines = error_of(sidecar.launch()).splitlines()
    finally:
        sidecar.stop()
    told, _, identity = lines[0].partition(" kickoff=")
    assert told == "Workload identity kickoff failed: 4 of 5 secret variable(s) have no value."
    assert len(identity) == 16
    told = {line.split(" ")[0]: line for line in lines[1:]}
    assert set(told) == {"MISSING", "NO_KEY", "NOT_JSON", "NO_CREDENTIAL"}
    assert "SecretNotFound" in told["MISSING"]
    assert " --name no-such ;" in told["MISSING"]
    assert "JsonKeyNotFound" in told["NO_KEY"]
    assert "ValueNotJson" in told["NOT_JSON"]
    assert "CredentialNotFound: No 'other' in team-a. Create it." in told["NO_CREDENTIAL"]
    assert "fake-password-1" not in "".join(lines) + sidecar.log.read_text()


def test_a_wrong_subject_is_told_with_code_and_the_command_that_repairs_it(world, grants):
    grants.subject = "organization:wrong"
    sidecar = world.sidecar(grants).start().wait_started()
    try:
        message = error_of(sidecar.launch())
    finally:
        sidecar.stop()
    assert "SubjectMismatch: AADSTS700213" in message
    assert f"az ad app federated-credential create --id {world.client}" in message
    assert '"subject":"organization:wrong"' in message
    assert f'"issuer":"{world.issuer.url}"' in message
    assert "Trace id " in message
    assert message.count("AADSTS700213") == 1


def test_an_assertion_that_is_refused_is_minted_anew_once(world, grants):
    grants.subject = "organization:wrong"
    sidecar = world.sidecar(grants).start().wait_started()
    try:
        error_of(sidecar.launch())
        mints = grants.mints
        grants.subject = None  # the organization was corrected; the ETag is as it was
        assert sidecar.launch().stdout.startswith("fake-password-1 ")
    finally:
        sidecar.stop()
    assert grants.mints == mints + 2  # two credentials, asked for once


def test_a_missing_role_is_told_with_the_role_and_the_command(sidecar, world):
    world.keyvault.unassign(world.vault, world.oid, "Key Vault Secrets User")
    message = error_of(sidecar.launch())
    assert "VaultDenied: ForbiddenByRbac" in message
    assert 'az role assignment create --role "Key Vault Secrets User"' in message
    assert f"--assignee-object-id {world.oid}" in message
    assert "/secrets/db-password" in message


def test_a_vault_that_is_down_is_retried_and_then_told(world, grants):
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    world.vault_url = f"https://localhost:{port}"
    sidecar = world.sidecar(grants).start().wait_started()
    try:
        began = time.monotonic()
        message = error_of(sidecar.launch())
        took = time.monotonic() - began
    finally:
        sidecar.stop()
    assert "HostUnreachable" in message
    assert f"TCP to localhost:{port}" in message
    assert 8 < took < 20


def test_a_vault_outside_of_the_allow_list_gets_no_token(world, grants):
    original = world.grant
    grants.grant = lambda *a: {**original(*a), "hosts": ["login.microsoftonline.com", urlsplit(world.entra.url).netloc]}
    sidecar = world.sidecar(grants).start().wait_started()
    world.keyvault.forget_requests()
    try:
        message = error_of(sidecar.launch())
    finally:
        sidecar.stop()
    assert "ForbiddenHost" in message
    assert world.keyvault.requests() == []


def test_without_a_grant_an_issuer_that_is_down_fails_the_kickoff(world, grants):
    grants.stop()
    sidecar = world.sidecar(grants).start().wait_started()
    try:
        message = error_of(sidecar.launch())
    finally:
        sidecar.stop()
    assert "DB_PASSWORD" in message
    assert "DB_USER" in message
    assert "IssuerUnreachable" in message


@pytest.mark.parametrize("fault", ["down", "slow", "busy", "broken"])
def test_a_stale_grant_serves_while_the_issuer_gives_no_verdict(sidecar, grants, fault):
    sidecar.launch()
    if fault == "down":
        grants.stop()
    elif fault == "slow":
        grants.delay = 5
    else:
        grants.refusal = {"status": 429 if fault == "busy" else 503, "reason": "KubernetesUnavailable"}
    began = time.monotonic()
    assert sidecar.launch().returncode == 0
    assert time.monotonic() - began < 4.5  # before the slow answer
    assert any(record["message"] == "stale grant" for record in sidecar.records())


@pytest.mark.attack(twin="test_every_kickoff_reads_each_secret_once_and_reuses_the_token")
@pytest.mark.parametrize("status", [401, 403, 404, 409])
def test_a_refusal_ends_the_use_of_held_grants_at_once(sidecar, grants, world, status):
    sidecar.launch()
    world.keyvault.forget_requests()
    grants.refusal = {
        "status": status, "reason": "ServiceAccountNotAllowed", "detail": "Not for this account.", "remedy": "Ask."
    }  # fmt: skip
    assert "ServiceAccountNotAllowed: Not for this account. Ask." in error_of(sidecar.launch())
    assert world.keyvault.requests() == []


@pytest.mark.attack(twin="test_a_stale_grant_serves_while_the_issuer_gives_no_verdict")
def test_a_refused_grant_does_not_come_back_when_the_issuer_is_gone(sidecar, grants, world):
    sidecar.launch()
    world.keyvault.forget_requests()
    grants.refusal = {"status": 403, "reason": "ServiceAccountNotAllowed"}
    error_of(sidecar.launch())
    grants.stop()
    assert "IssuerUnreachable" in error_of(sidecar.launch())
    assert world.keyvault.requests() == []


def test_a_restored_issuer_serves_again(sidecar, grants):
    sidecar.launch()  # the question that the start asks is answered
    grants.refusal = {"status": 403, "reason": "ServiceAccountNotAllowed"}
    error_of(sidecar.launch())
    grants.refusal = None
    assert sidecar.launch().returncode == 0


def test_a_token_that_the_vault_refuses_is_exchanged_anew_once(sidecar, world):
    sidecar.launch()
    world.entra.forget_requests()
    world.keyvault.add_vault(world.vault, str(uuid.uuid4()), hosts=[world.keyvault.host])
    message = error_of(sidecar.launch())
    assert "VaultWrongTenant" in message
    assert len(world.entra.requests()) == 1


def test_the_error_is_in_the_termination_log(sidecar, grants, folder):
    sidecar.launch()
    grants.refusal = {"status": 403, "reason": "ServiceAccountNotAllowed", "detail": "No."}
    file = folder / "termination"
    file.write_text("old")
    result = sidecar.launch(options=("--termination-log", str(file)))
    assert file.read_text() == result.stderr.removesuffix("\n")


def test_sigterm_ends_the_sidecar_at_once_with_code_0(sidecar):
    began = time.monotonic()
    sidecar.stop()
    assert sidecar.process.returncode == 0
    assert time.monotonic() - began < 4


def test_sigterm_ends_it_while_the_network_hangs(world, grants):
    grants.delay = 20
    sidecar = world.sidecar(grants).start().wait_started()
    began = time.monotonic()
    sidecar.stop()
    assert (sidecar.process.returncode, time.monotonic() - began < 4) == (0, True)


def test_the_launcher_waits_for_a_sidecar_that_restarts(sidecar):
    sidecar.stop(signal.SIGKILL)
    timer = threading.Timer(1.0, sidecar.start)
    timer.start()
    assert sidecar.launch().returncode == 0
    timer.join()


def test_a_kickoff_survives_the_death_of_the_sidecar_in_the_middle(sidecar, grants):
    sidecar.launch()
    grants.delay = 0.9

    def replace():
        sidecar.stop(signal.SIGKILL)
        grants.delay = 0
        sidecar.start()

    timer = threading.Timer(0.4, replace)
    timer.start()
    assert sidecar.launch().returncode == 0
    timer.join()


def test_starting_needs_no_network(world, grants):
    sidecar = world.sidecar(grants, WI_GRANTS_URL="https://no-such-host.invalid")
    began = time.monotonic()
    sidecar.start().wait_started()
    sidecar.stop()
    assert time.monotonic() - began < 5


def test_many_kickoffs_at_once_are_all_served(sidecar):
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(socket.socket(socket.AF_UNIX)) for _ in range(16)]
        for client in clients:
            client.connect(str(sidecar.run_dir() / "kickoff.sock"))
            client.sendall(b"wi1 kickoff api\n")
        replies = [client.makefile("rb").read() for client in clients]
    assert all(b"v DB_PASSWORD=fake-password-1\0" in reply and reply.endswith(b"\0.\0") for reply in replies)


def test_one_sidecar_stays_small(sidecar):
    sidecar.launch()
    after_first = sidecar.resident_mib()
    test_many_kickoffs_at_once_are_all_served(sidecar)
    # Goals of the design: 26 and 32 MiB, with 30 % for other interpreters.
    assert after_first < 26 * 1.3
    assert sidecar.resident_mib() < 32 * 1.3


def test_an_unknown_request_gets_no_reply(sidecar):
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(sidecar.run_dir() / "kickoff.sock"))
        client.sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert client.recv(100) == b""


def test_settings_that_cannot_be_used_end_the_sidecar_with_their_name(world, grants):
    sidecar = world.sidecar(grants, WI_CA_BUNDLE="")
    assert sidecar.start().process.wait(10) == 78
    assert "WI_CA_BUNDLE is missing" in sidecar.log.read_text()


def test_the_clouds_are_asked_through_the_proxy_and_the_issuer_never(world, grants):
    sidecar = world.sidecar(grants, HTTPS_PROXY="http://127.0.0.1:1", WI_KICKOFF_SECONDS="0.5").start().wait_started()
    try:
        message = error_of(sidecar.launch())
        assert "ProxyUnreachable: The proxy on the way to " in message
        assert "127.0.0.1:1: ECONNREFUSED" in message
        assert grants.seen
    finally:
        sidecar.stop()
