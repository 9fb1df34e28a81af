"""The real sidecar and the real launcher against the emulators; only the issuer's grants endpoint is a stub."""

import base64
import contextlib
import hashlib
import hmac
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest

ROOT = Path(__file__).parents[2]
LAUNCHER_PYTHON = "/usr/bin/python3" if Path("/usr/bin/python3").exists() else sys.executable
FINGERPRINT_KEY = b"k" * 32
POD_TOKEN = "not-a-real-pod-token"
PROBLEM = "application/problem+json"
START = "import os, sys; from wi_operator.agent.process import main; sys.exit(main(os.environ))"
PRINT = "import os; print(os.environ.get('DB_PASSWORD'), os.environ.get('DB_URL'), os.environ.get('DB_USER'))"


class StubGrants:
    """Answers ``/v1/grants`` as the issuer does; ``refusal`` and ``delay`` make it misbehave."""

    def __init__(self, grant, ca_bundle, context):
        self.grant = grant
        self.ca_bundle = ca_bundle
        self.etag = '"1"'
        self.refusal = None
        self.refusals = []
        self.delay = 0.0
        self.mints = 0
        self.seen = []
        self.subject = None
        self._context = context
        self.port = 0
        self.start()

    def start(self):
        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), self._handler())
        self._server.daemon_threads = True
        self._server.socket = self._context.wrap_socket(
            self._server.socket, server_side=True, do_handshake_on_connect=False
        )
        self.port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self):
        """Be gone: refuse new connections and drop the open ones."""
        self._server.shutdown()
        self._server.server_close()
        self.refusal = "drop"

    def answer(self, body):
        grants = [self.grant(name, self.subject) for name in body["credentials"] if name in ("demo", "")]
        self.mints += len(grants)
        document = {
            "organization": "org",
            "namespace": "team-a",
            "fingerprintKey": base64.b64encode(FINGERPRINT_KEY).decode(),
            "keyEpoch": 1,
            "grants": grants,
            "refusals": self.refusals,
            "caBundle": self.ca_bundle,
        }
        return json.dumps(document).encode()

    def _handler(self):
        stub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            timeout = 30

            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                stub.seen.append(
                    (self.path, self.headers.get("authorization"), self.headers.get("if-none-match"), body)
                )
                time.sleep(stub.delay)
                if stub.refusal == "drop":
                    self.close_connection = True
                elif stub.refusal:
                    self._send(stub.refusal["status"], json.dumps(stub.refusal).encode(), PROBLEM)
                elif self.headers.get("if-none-match") == stub.etag:
                    self._send(304, b"", "")
                else:
                    self._send(200, stub.answer(body), "application/json")

            def _send(self, status, body, kind):
                self.send_response(status)
                self.send_header("etag", stub.etag)
                if status != 304:
                    self.send_header("content-type", kind)
                    self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        return Handler


class Sidecar:
    """The real process in its own folder."""

    def __init__(self, folder, environ):
        self.folder = folder
        self.environ = environ
        self.process = None
        self.log = folder / "sidecar.log"

    def start(self):
        with self.log.open("ab") as log:
            self.process = subprocess.Popen([sys.executable, "-c", START], env=self.environ, stderr=log)
        return self

    def wait_started(self, container="app"):
        started = self.run_dir(container) / "started"
        deadline = time.monotonic() + 10
        while not started.exists():
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline
            time.sleep(0.005)
        return self

    def run_dir(self, container="app"):
        return self.folder / "run" / container

    def stop(self, number=signal.SIGTERM):
        if self.process and self.process.poll() is None:
            self.process.send_signal(number)
            self.process.wait(10)

    def records(self):
        return [json.loads(line) for line in self.log.read_text().splitlines()]

    def launch(self, *command, container="app", env=None, options=()):
        launcher = self.run_dir(container) / "launch.py"
        return subprocess.run(
            [LAUNCHER_PYTHON, "-I", "-S", str(launcher), *options, "--", *(command or ("python3", "-c", PRINT))],
            env={"PATH": os.environ["PATH"], **(env or {})},
            capture_output=True,
            text=True,
            timeout=60,
        )

    def resident_mib(self):
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0]) / 1024


class World:
    """One tenant, application, vault and sidecar of its own for each test."""

    def __init__(self, entra, keyvault, issuer, ca, folder):
        self.entra, self.keyvault, self.issuer, self.ca = entra, keyvault, issuer, ca
        self.tenant, self.client = str(uuid.uuid4()), str(uuid.uuid4())
        self.vault = "v" + uuid.uuid4().hex[:12]
        self.subject = f"organization:{uuid.uuid4()}"
        self.audience = "api://AzureADTokenExchange"
        self.vault_url = keyvault.url
        self.folder = folder
        entra.add_tenant(self.tenant)
        self.oid = entra.add_application(self.tenant, self.client)
        entra.trust(
            self.tenant, self.client, "operator", issuer=issuer.url, subject=self.subject, audience=self.audience
        )
        keyvault.add_vault(self.vault, self.tenant, hosts=[keyvault.host])
        keyvault.assign(self.vault, self.oid, "Key Vault Secrets User")
        keyvault.set_secret(self.vault, "db-password", "fake-password-1")
        keyvault.set_secret(self.vault, "profile", '{"user": "fake-user", "port": 5432}')

    def grant(self, credential, subject=None):
        now = int(time.time())
        authority, vault = urlsplit(self.entra.url), urlsplit(self.vault_url)
        return {
            "credential": credential,
            "provider": "AzureKeyVault",
            "resolved": {"name": "demo", "uid": "u", "generation": 1},
            "config": {"namespace": "team-a", "name": "azure", "uid": "c", "generation": 1},
            "azure": {
                "tenantId": self.tenant,
                "clientId": self.client,
                "authorityHost": self.entra.url,
                "vaultUrl": self.vault_url,
                "vaultScope": "https://vault.azure.net/.default",
            },
            "assertion": self.issuer.mint({"sub": subject or self.subject, "aud": self.audience}),
            "issuedAt": now,
            "expiresAt": now + 3600,
            "hosts": [authority.netloc, vault.netloc],
        }

    def sidecar(self, grants, entries=None, **environ):
        (self.folder / "token").write_text(POD_TOKEN)
        entries = entries or [
            {"name": "DB_PASSWORD", "reference": "secret://demo/db_password"},
            {"name": "DB_URL", "template": "postgres://$(DB_USER):$(DB_PASSWORD)@$(HOST)/$$x"},
            {"name": "DB_USER", "reference": "secret:///profile#user"},
        ]
        return Sidecar(
            self.folder,
            {
                "PYTHONPATH": str(ROOT / "operator"),
                "WI_DECLARATION": json.dumps({"version": 1, "containers": {"app": {"entries": entries}}}),
                "WI_GRANTS_URL": f"https://localhost:{grants.port}",
                "WI_CA_BUNDLE": self.ca.pem.decode(),
                "WI_TOKEN_FILE": str(self.folder / "token"),
                "WI_RUN_DIR": str(self.folder / "run"),
                **environ,
            },
        )


@pytest.fixture
def folder():
    # A unix socket's path must stay short, which pytest's own folders do not.
    path = Path(tempfile.mkdtemp(prefix="wi-", dir="/tmp"))
    yield path
    shutil.rmtree(path)


@pytest.fixture
def world(entra, keyvault, static_issuer, test_ca, folder):
    world = World(entra, keyvault, static_issuer, test_ca, folder)
    yield world
    # The emulator finds a vault by the host that asks: the next test's must be the only one.
    keyvault.add_vault(world.vault, world.tenant, hosts=[])


@pytest.fixture
def grants(world):
    from wi_testkit.static_issuer import server_context

    stub = StubGrants(world.grant, world.ca.pem.decode(), server_context(world.ca, "localhost"))
    yield stub
    stub.stop()


@pytest.fixture
def sidecar(world, grants):
    sidecar = world.sidecar(grants).start().wait_started()
    yield sidecar
    sidecar.stop()


RESOLVED = "Workload identity config 'team-a/azure' (azure): 2 secret(s) resolved"


def error_of(result):
    assert (result.returncode, result.stdout) == (78, "")
    return result.stderr


def test_the_application_starts_with_the_values_in_its_environment(sidecar):
    result = sidecar.launch(env={"HOST": "db"})
    # HOST stands in the container's env; DB_USER is a variable behind the template, still literal there.
    assert result.stdout == "fake-password-1 postgres://$(DB_USER):fake-password-1@db/$x fake-user\n"
    assert result.stderr == RESOLVED + "\n"
    assert result.returncode == 0


def test_the_log_has_names_versions_and_fingerprints_and_no_value(sidecar, grants):
    sidecar.launch()
    record = next(r for r in sidecar.records() if r["message"] == RESOLVED)
    secret = record["secrets"][0]
    expected = hmac.new(FINGERPRINT_KEY, b"fake-password-1", hashlib.sha256).hexdigest()[:12]
    assert (secret["variable"], secret["fingerprint"]) == ("DB_PASSWORD", expected)
    assert len(secret["version"]) == 32
    assert isinstance(secret["ms"], int)
    text = sidecar.log.read_text()
    for forbidden in ("fake-password-1", "fake-user", POD_TOKEN, "eyJ"):
        assert forbidden not in text


def test_the_grant_is_asked_for_with_the_pods_token_and_credentials_alone(sidecar, grants):
    sidecar.launch()
    assert {(path, token) for path, token, _, _ in grants.seen} == {("/v1/grants", f"Bearer {POD_TOKEN}")}
    assert grants.seen[0][3] == {"credentials": ["", "demo"]}


def test_a_rotated_value_arrives_at_the_next_kickoff(sidecar, world):
    sidecar.launch()
    world.keyvault.set_secret(world.vault, "db-password", "fake-password-2")
    assert sidecar.launch().stdout.startswith("fake-password-2 ")


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
    assert lines[0] == "Workload identity kickoff failed: 4 of 5 secret variable(s) have no value."
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
    assert 8 < took < 17


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
    assert time.monotonic() - began < 3
    assert any(record["message"] == "stale grant" for record in sidecar.records())


@pytest.mark.parametrize("status", [401, 403, 404, 409])
@pytest.mark.attack
def test_a_refusal_ends_the_use_of_held_grants_at_once(sidecar, grants, world, status):
    sidecar.launch()
    world.keyvault.forget_requests()
    grants.refusal = {
        "status": status, "reason": "ServiceAccountNotAllowed", "detail": "Not for this account.", "remedy": "Ask."
    }  # fmt: skip
    assert "ServiceAccountNotAllowed: Not for this account. Ask." in error_of(sidecar.launch())
    assert world.keyvault.requests() == []


@pytest.mark.attack
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
    assert time.monotonic() - began < 1


def test_sigterm_ends_it_while_the_network_hangs(world, grants):
    grants.delay = 20
    sidecar = world.sidecar(grants).start().wait_started()
    began = time.monotonic()
    sidecar.stop()
    assert (sidecar.process.returncode, time.monotonic() - began < 1) == (0, True)


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
    assert time.monotonic() - began < 2


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
