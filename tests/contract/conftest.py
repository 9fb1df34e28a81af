"""A real sidecar against the emulators; only the issuer's grants endpoint is a stub."""

import base64
import json
import os
import shutil
import signal
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

    fingerprint_key = FINGERPRINT_KEY
    pod_token = POD_TOKEN

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
        deadline = time.monotonic() + 30
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

    def launcher(self, *command, container="app", options=()):
        return [LAUNCHER_PYTHON, "-I", "-S", str(self.run_dir(container) / "launch.py"), *options, "--", *command]

    def launch(self, *command, container="app", env=None, options=()):
        return subprocess.run(
            self.launcher(*(command or ("python3", "-c", PRINT)), container=container, options=options),
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
