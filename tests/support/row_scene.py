"""The scene on which every row of the diagnosis table is met: cases, a scripted issuer, faults in the emulators, pods.

One scene: two controllers' worth of objects in a real API server, one sidecar process with a launcher, a stand-in for the
issuer that answers as scripted (its problem documents are rendered by the product), and faults in the emulators.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

from wi_operator.api import names
from wi_operator.federation.diagnosis import controller as controller_rows
from wi_operator.federation.diagnosis import entra, grants, issuer, keyvault, links, publication, transport
from wi_operator.federation.diagnosis.base import Row, Surface
from wi_operator.federation.diagnosis.transport import Failure
from wi_operator.issuer.problems import Problem
from wi_testkit.emulation import acts
from wi_testkit.pki import CertificateAuthority
from wi_testkit.static_issuer import DISCOVERY, JWKS, server_context

ROOT = Path(__file__).parents[2]
SPACE = "rows"
ORGANIZATION = "3f2504e0-4f89-41d3-9a0c-0305e82c3301"
AUDIENCE = "api://AzureADTokenExchange"
SCOPE = "https://vault.azure.net/.default"
CONFIG, CREDENTIAL, KICKOFF = Surface.CONFIG, Surface.CREDENTIAL, Surface.KICKOFF
PATIENCE = 60.0
GONE, BUSY, NOWHERE = "gone.vault.example", "busy.example", "nowhere.example"
BOOT = """
import os, socket, sys
from wi_testkit.emulator_fixtures import redirecting
redirected = redirecting(socket.getaddrinfo, *map(int, sys.argv[1:3]))
def resolve(host, *rest, **options):
    if host == "busy.example":
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
    return redirected(host, *rest, **options)
socket.getaddrinfo = resolve
from wi_operator.vaults.azure import KeyVault
build = KeyVault.build_read
def planted(self, secret, *rest):
    if secret == "planted-fault":
        raise RuntimeError("planted")
    return build(self, secret, *rest)
KeyVault.build_read = planted
from wi_operator.agent.process import main
sys.exit(main(os.environ))
"""


@dataclass
class Case:
    """One row made to happen: what is arranged, and where it must show."""

    row: Row
    surfaces: frozenset[Surface]
    azure: dict = field(default_factory=dict)
    vault_url: str = ""
    spec: dict = field(default_factory=dict)
    arrange: Callable = lambda world, case: None
    door: Callable | None = None
    reference: str = "probe"
    provider: str = "Azure"
    warning: bool = False
    words: str = ""

    def __post_init__(self):
        self.slug = f"c{uuid.uuid4().hex[:10]}"
        self.tenant, self.client = str(uuid.uuid4()), str(uuid.uuid4())
        self.vault = self.slug

    @property
    def said(self):
        return self.row.code if self.row.code != self.row.reason else self.row.reason


def on_login(act):
    return lambda world, case: world.entra.fault(act, tenant=case.tenant)


def on_vault(act, **options):
    return lambda world, case: world.keyvault.fault(act, vault=case.vault, **options)


def login_cases():
    for code, row in entra.ROWS.items():
        yield Case(row, row.surfaces, arrange=on_login(acts.code(int(code.removeprefix("AADSTS")))))
    unknown = {
        "error": "invalid_request",
        "error_description": "AADSTS999999: Something new. Trace ID: x",
        "error_codes": [999999],
    }
    for row, act in (
        (entra.THROTTLED, acts.throttled(60)),
        (entra.UNAVAILABLE, acts.unavailable()),
        (entra.UNREADABLE, acts.html()),
        (entra.UNKNOWN, acts.answer(400, unknown)),
        (transport.ROWS[Failure.RESET], acts.reset()),
        (transport.ROWS[Failure.SLOW], acts.hang()),
        (transport.ROWS[Failure.GARBAGE], acts.garbage()),
    ):
        yield Case(row, row.surfaces, arrange=on_login(act))
    yield Case(
        transport.ROWS[Failure.TOO_LARGE], frozenset({KICKOFF}), arrange=on_login(acts.oversized(4 * 1024 * 1024))
    )


def vault_cases():
    for code, row in keyvault.BY_CODE.items():
        act = (
            acts.code(code) if code != "Unauthorized" else acts.answer(401, {"error": {"code": code, "message": "No."}})
        )
        yield Case(row, row.surfaces, arrange=on_vault(act, authenticated=True))
    strange = {"error": {"code": "StrangeThing", "message": "Never seen."}}
    for row, act in (
        (keyvault.UNKNOWN, acts.answer(400, strange)),
        (keyvault.UNREADABLE, acts.html()),
        (keyvault.UNAVAILABLE, acts.unavailable()),
    ):
        yield Case(row, row.surfaces, arrange=on_vault(act))
    yield Case(
        keyvault.RBAC_READ,
        keyvault.RBAC_READ.surfaces,
        arrange=lambda world, case: world.keyvault.unassign(case.vault, world.oid(case), "Key Vault Secrets User"),
    )
    for row, code in ((keyvault.RBAC_LIST, "ForbiddenByRbac"), (keyvault.POLICY_LIST, "AccessDenied")):
        listing = {"listSecretNames": True}
        yield Case(row, row.surfaces, spec=listing, arrange=on_vault(acts.code(code), operation="list"), warning=True)
    yield Case(
        keyvault.WRONG_TENANT,
        keyvault.WRONG_TENANT.surfaces,
        arrange=lambda world, case: world.keyvault.add_vault(case.vault, str(uuid.uuid4())),
    )
    for row, times, words in (
        (keyvault.SECRET_EXPIRED, {"exp": 1_700_000_000}, "'probe' expired at 2023-11-14T22:13:20Z"),
        (keyvault.SECRET_NOT_YET_VALID, {"nbf": 4_000_000_000}, "'probe' is not valid before 2096-10-02T07:06:40Z"),
    ):
        yield Case(
            row,
            row.surfaces,
            arrange=lambda world, case, times=times: world.keyvault.set_secret(case.vault, "probe", "fake", **times),
            warning=True,
            words=words,
        )
    yield Case(transport.VAULT_HOST_UNKNOWN, transport.VAULT_HOST_UNKNOWN.surfaces, vault_url=f"https://{GONE}")


def host_cases(world):
    everywhere = transport.SURFACES
    for failure, authority in (
        (Failure.HOST_UNKNOWN, f"https://{NOWHERE}"),
        (Failure.DNS, f"https://{BUSY}"),
        (Failure.UNREACHABLE, "https://127.0.0.1:1"),
        (Failure.BLOCKED, f"https://127.0.0.1:{world.full_port}"),
        (Failure.TLS, f"https://localhost:{world.foreign_port}"),
    ):
        yield Case(transport.ROWS[failure], everywhere, azure={"cloud": "Custom", "custom": world.custom(authority)})
    outside = {"cloud": "Custom", "custom": world.custom("https://login.example.com")}
    yield Case(links.FORBIDDEN_HOST, links.FORBIDDEN_HOST.surfaces, azure=outside)
    broken = {"cloud": "Custom", "custom": {**world.custom(world.entra.url), "caBundle": "no certificate"}}
    row = controller_rows.CONFIG_UNTRUSTED_CA
    yield Case(row, row.surfaces, azure=broken)


def problem(status, row, **facts):
    return lambda world, case: (status, Problem.of(status, row, detail="planted", namespace=SPACE, **facts).render())


def answered(**members):
    return lambda world, case: (200, {**world.handshake(case), **members})


def issuer_cases(world):
    shown = frozenset({CONFIG, CREDENTIAL})
    for row in issuer.ROWS:
        if row.surfaces & shown and row not in (issuer.URL_MISSING, issuer.ORGANIZATION_DISPUTED):
            yield Case(row, row.surfaces & shown, door=problem(503, row))
    disputed = issuer.ORGANIZATION_DISPUTED
    yield Case(disputed, shown, door=answered(disputed="planted"), words=f"{disputed.reason}: ")
    yield Case(grants.UNREACHABLE, shown, door=lambda world, case: (0, {}))
    yield Case(grants.UNREADABLE, shown, door=lambda world, case: (200, {}))
    yield Case(grants.REFUSED, shown, door=lambda world, case: (403, {"reason": "no reason", "detail": "Planted"}))
    differs, keys = f"{world.issuer.url}/differs", f"{world.issuer.url}/keys"
    world.issuer.documents["/differs" + DISCOVERY] = {"issuer": "https://somebody.else"}
    world.issuer.documents["/keys" + DISCOVERY] = world.issuer.documents[DISCOVERY]
    for row, members in (
        (publication.UNREACHABLE, {"issuer": "https://127.0.0.1:1"}),
        (publication.REFUSED, {"issuer": f"{world.issuer.url}/moved"}),
        (publication.DIFFERS, {"issuer": differs}),
        (
            publication.KEYS_DIFFER,
            {"issuer": keys, "jwks": '{"keys": [{"kid": "k", "kty": "RSA", "n": "A", "e": "AQAB"}]}'},
        ),
    ):
        yield Case(row, row.surfaces, door=answered(**members), warning=True)


def link_cases():
    shown = frozenset({CREDENTIAL})
    missing = {"workloadIdentityRef": {"name": "no-such"}}
    yield Case(links.CONFIG_NOT_FOUND, shown, spec=missing)
    aws = {"workloadIdentityRef": {"name": "aws"}}
    yield Case(links.PROVIDER_MISMATCH, shown, spec=aws)
    other = {"provider": "AWSSecretsManager", "azureKeyVault": None}
    yield Case(links.NOT_SUPPORTED_YET, shown, spec=other)
    yield Case(links.NOT_SUPPORTED_YET, frozenset({CONFIG}), provider="AWS")


class World:
    """Everything that the cases are arranged with."""

    def __init__(self, plane, entra_, keyvault_, issuer_, ca, folder):
        self.plane, self.entra, self.keyvault, self.issuer, self.ca, self.folder = (
            plane,
            entra_,
            keyvault_,
            issuer_,
            ca,
            folder,
        )
        self.oids, self.doors, self.running = {}, {}, []
        self.full_port, self._full = fill_backlog()
        foreign = ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
        foreign.socket = server_context(CertificateAuthority(), "localhost").wrap_socket(
            foreign.socket, server_side=True, do_handshake_on_connect=False
        )
        foreign.handle_error = lambda *_: None
        threading.Thread(target=foreign.serve_forever, args=(0.05,), daemon=True).start()
        self.foreign_port, self._foreign = foreign.server_port, foreign
        self.door = Door(self)
        self.ports = [str(urlsplit(url).port) for url in (entra_.url, keyvault_.url)]

    def close(self):
        for server in (self._foreign, self.door.server):
            server.shutdown()
            server.server_close()
        for each in self._full:
            each.close()

    @property
    def allowed(self):
        known = [GONE, BUSY, NOWHERE, "127.0.0.1:1", f"127.0.0.1:{self.full_port}", f"localhost:{self.foreign_port}"]
        return (*known, urlsplit(self.entra.url).netloc, "*.vault.azure.net")

    def custom(self, authority):
        return {"authorityHost": authority, "vaultScope": SCOPE, "caBundle": self.ca.pem.decode()}

    def oid(self, case):
        return self.oids[case.slug]

    def arrange(self, case):
        self.entra.add_tenant(case.tenant)
        self.oids[case.slug] = self.entra.add_application(case.tenant, case.client)
        self.entra.trust(
            case.tenant,
            case.client,
            "fic",
            issuer=self.issuer.url,
            subject=f"organization:{ORGANIZATION}",
            audience=AUDIENCE,
        )
        self.keyvault.add_vault(case.vault, case.tenant)
        self.keyvault.assign(case.vault, self.oid(case), "Key Vault Secrets User")
        self.keyvault.set_secret(case.vault, "probe", "fake-value")
        self.doors[case.slug] = case
        case.arrange(self, case)

    def handshake(self, case):
        return {
            "assertion": self.issuer.mint({"sub": f"organization:{ORGANIZATION}", "aud": AUDIENCE}),
            "issuer": self.issuer.url,
            "subject": f"organization:{ORGANIZATION}",
            "audience": AUDIENCE,
            "organization": ORGANIZATION,
            "discovery": json.dumps(self.issuer.documents[DISCOVERY]),
            "jwks": json.dumps(self.issuer.documents[JWKS]),
        }

    def objects(self, case):
        azure = {"tenantId": case.tenant, "clientId": case.client, **case.azure}
        aws = {"roleArn": "arn:aws:iam::123456789012:role/wi", "region": "eu-west-1"}
        block = {"azure": azure} if case.provider == "Azure" else {"aws": aws}
        yield manifest("WorkloadIdentityConfig", case.slug, {"provider": case.provider, **block})
        url = case.vault_url or f"https://{case.vault}.vault.azure.net"
        spec = {
            "provider": "AzureKeyVault",
            "workloadIdentityRef": {"name": case.slug},
            "azureKeyVault": {"vaultUrl": url, "probeSecret": "probe"},
            **case.spec,
        }
        yield manifest("SecretProviderCredential", case.slug, {k: v for k, v in spec.items() if v is not None})

    def grant(self, case):
        now, azure = int(time.time()), case.azure.get("custom") or {}
        authority = azure.get("authorityHost", "https://login.microsoftonline.com")
        return {
            "credential": case.slug,
            "provider": "AzureKeyVault",
            "resolved": {"name": case.slug, "uid": case.slug, "generation": 1},
            "config": {"namespace": SPACE, "name": case.slug, "uid": f"w{case.slug}", "generation": 1},
            "azure": {
                "tenantId": case.tenant,
                "clientId": case.client,
                "authorityHost": authority,
                "vaultUrl": case.vault_url or f"https://{case.vault}.vault.azure.net",
                "vaultScope": SCOPE,
            },
            "assertion": self.handshake(case)["assertion"],
            "issuedAt": now,
            "expiresAt": now + 3600,
            "hosts": ["login.microsoftonline.com", "*.vault.azure.net", *self.allowed],
        }


def manifest(kind, name, spec, namespace=SPACE):
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": names.API_VERSION, "kind": kind, "metadata": metadata, "spec": spec}


def fill_backlog():
    """Return a port whose connections are never accepted, and what keeps it so: further SYNs are dropped."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=0)
    port, kept = listener.getsockname()[1], [listener]
    for _ in range(4):
        client = socket.socket()
        client.setblocking(False)
        client.connect_ex(("127.0.0.1", port))
        kept.append(client)
    return port, kept


class Door:
    """The issuer's internal port as scripted: handshakes by config, grants by the pod's token."""

    def __init__(self, world):
        self.world, self.pods = world, {}
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            timeout = 30

            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                token = self.headers["Authorization"].removeprefix("Bearer ")
                status, document = outer.answer(self.path, token, body)
                if not status:
                    self.close_connection = True
                    self.connection.shutdown(socket.SHUT_RDWR)
                    return
                data = json.dumps(document).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json" if status == 200 else "application/problem+json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.server.socket = server_context(world.ca, "localhost").wrap_socket(
            self.server.socket, server_side=True, do_handshake_on_connect=False
        )
        self.server.handle_error = lambda *_: None
        self.url = f"https://localhost:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def answer(self, path, token, body):
        if path == "/v1/grants":
            return self.pods[token](body)
        case = self.world.doors.get(body["name"])
        return case.door(self.world, case) if case and case.door else (200, self.world.handshake(case))


class Pod:
    """A sidecar process with its folder, and the launcher in front of it."""

    def __init__(self, world, name, entries, answer, *, ca=None, token=True, budgets=None, **more):
        self.folder = Path(tempfile.mkdtemp(prefix="wi-", dir="/tmp"))
        self.name, self.world = name, world
        world.door.pods[name] = answer
        if token:
            (self.folder / "token").write_text(name)
        declaration = {"version": 1, "containers": {"app": {"entries": entries}}}
        environ = {
            "PYTHONPATH": str(ROOT / "operator"),
            "WI_DECLARATION": json.dumps(declaration),
            "WI_GRANTS_URL": world.door.url,
            "WI_CA_BUNDLE": (ca or world.ca).pem.decode(),
            "WI_TOKEN_FILE": str(self.folder / "token"),
            "WI_RUN_DIR": str(self.folder / "run"),
            **more,
        }
        boot = BOOT if budgets is None else BOOT.replace("sys.exit(", tighten(budgets) + "\nsys.exit(")
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen([sys.executable, "-c", boot, *world.ports], env=environ, stderr=log)
        world.running.append(self)
        deadline = time.monotonic() + 30
        while not (self.folder / "run/app/started").exists():
            assert self.process.poll() is None, (self.folder / "log").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.02)

    def launch(self, *command, **environ):
        launcher = self.folder / "run/app/launch.py"
        run = subprocess.run(
            ["/usr/bin/python3", "-I", "-S", str(launcher), "--", *(command or ("true",))],
            env={"PATH": os.environ["PATH"], **environ},
            capture_output=True,
            text=True,
            timeout=60,
        )
        return run.stderr

    def write_files(self, folder):
        """Run the container wi-env of the pod; returns its exit code and what it says."""
        environ = {
            "PYTHONPATH": str(ROOT / "operator"),
            "WI_CONTAINERS": "app",
            "WI_RUN_DIR": str(self.folder / "run"),
            "WI_ENV_DIR": str(folder),
        }
        command = [sys.executable, "-m", "wi_operator.main", "envfile"]
        run = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60)
        return run.returncode, run.stderr

    def close(self):
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(10)
        shutil.rmtree(self.folder)
        self.world.running.remove(self)


def tighten(budgets):
    return textwrap.dedent(f"""
    import dataclasses
    from wi_operator.agent import process
    read = process.read_settings
    def read_settings(environ):
        settings = read(environ)
        return dataclasses.replace(settings, budgets=dataclasses.replace(settings.budgets, **{budgets!r}))
    process.read_settings = read_settings
    """)


def granted(world, cases, refusals=()):
    def answer(body):
        document = {
            "organization": ORGANIZATION,
            "namespace": SPACE,
            "fingerprintKey": "",
            "keyEpoch": 1,
            "grants": [world.grant(case) for case in cases if case.slug in body["credentials"]],
            "refusals": list(refusals),
            "caBundle": world.ca.pem.decode(),
        }
        return 200, document

    return answer


def variable(case, name="", reference=""):
    return {"name": name or f"V_{case.slug}", "reference": f"secret://{case.slug}/{reference or case.reference}"}
