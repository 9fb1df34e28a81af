"""The controller against a real API server and the emulators of Entra and Key Vault."""

import json
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from controller_run import Running, eventually, running_controller
from cryptography import x509

from wi_operator.core.secret import SecretValue
from wi_operator.federation.diagnosis.base import DiagnosedError
from wi_operator.federation.exchange import entra_sdk, sdk
from wi_operator.federation.exchange.entra import TokenTarget
from wi_operator.federation.hosts import parse_endpoint
from wi_operator.reconcile.connections import Connections
from wi_operator.reconcile.settings import ControllerSettings
from wi_testkit.controlplane.errors import ControlPlaneError
from wi_testkit.stage.chart import render_objects
from wi_testkit.static_issuer import DISCOVERY, JWKS, server_context

ROOT = Path(__file__).parents[2]
SYSTEM = "wi-system"
TENANT = "11111111-2222-4333-8444-555555555555"
OTHER_TENANT = "11111111-2222-4333-8444-666666666666"
CLIENT = "99999999-8888-4777-8666-555555555555"
ORGANIZATION = "3f2504e0-4f89-41d3-9a0c-0305e82c3301"
AUDIENCE = "api://AzureADTokenExchange"
PATIENCE = 30.0


class Handshakes:
    """What ``/v1/handshakes`` of the issuer does, with the static issuer's key."""

    def __init__(self, test_ca, static_issuer):
        self.requests = []
        outer = self

        class Door(BaseHTTPRequestHandler):
            timeout = 10

            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                outer.requests.append((self.path, self.headers["Authorization"], body))
                claims = {"sub": f"organization:{ORGANIZATION}", "aud": AUDIENCE}
                answer = {
                    "assertion": static_issuer.mint(claims),
                    "expiresAt": int(time.time()) + 300,
                    "issuer": static_issuer.url,
                    "subject": claims["sub"],
                    "audience": AUDIENCE,
                    "organization": ORGANIZATION,
                    "discovery": json.dumps(static_issuer.documents[DISCOVERY]),
                    "jwks": json.dumps(static_issuer.documents[JWKS]),
                }
                data = json.dumps(answer).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *arguments):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Door)
        self.server.daemon_threads = True
        self.server.socket = server_context(test_ca, "localhost").wrap_socket(
            self.server.socket, server_side=True, do_handshake_on_connect=False
        )
        self.url = f"https://localhost:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()


def kubectl(plane, *arguments, item=None):
    return plane.run_kubectl(*arguments, stdin=None if item is None else json.dumps(item))


def apply(plane, item):
    kubectl(plane, "apply", "--filename=-", item=item)


def read(plane, kind, name, namespace):
    return json.loads(kubectl(plane, "get", kind, name, f"--namespace={namespace}", "--output=json"))


def ready_of(item):
    conditions = item.get("status", {}).get("conditions", [])
    return next((c for c in conditions if c["type"] == "Ready"), {})


def condition(item, kind):
    return next(c for c in item["status"]["conditions"] if c["type"] == kind)


def config(name, namespace, entra, ca, **fields):
    azure = {
        "tenantId": TENANT,
        "clientId": CLIENT,
        "cloud": "Custom",
        "custom": {
            "authorityHost": entra.url,
            "vaultScope": "https://vault.azure.net/.default",
            "caBundle": ca.pem.decode(),
        },
    }
    return {
        "apiVersion": "identity.crewai.com/v1alpha1",
        "kind": "WorkloadIdentityConfig",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"provider": "Azure", "azure": azure, **fields},
    }


def credential(name, namespace, vault_url, **fields):
    return {
        "apiVersion": "identity.crewai.com/v1alpha1",
        "kind": "SecretProviderCredential",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"provider": "AzureKeyVault", "azureKeyVault": {"vaultUrl": vault_url}, **fields},
    }


@pytest.fixture(scope="module")
def cluster(plane):
    for file in (ROOT / "crds").glob("*.yaml"):
        kubectl(plane, "apply", "--server-side", f"--filename={file}")
    for name in ("workloadidentityconfigs", "secretprovidercredentials"):
        kubectl(plane, "wait", "--for=condition=Established", f"crd/{name}.identity.crewai.com", "--timeout=30s")
    apply(plane, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": SYSTEM}})
    metadata = {"name": "team-a", "annotations": {"identity.crewai.com/organization": ORGANIZATION}}
    apply(plane, {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
    for item in render_objects({"image": {"ref": "unused"}}, only=["webhook-configuration", "rbac-controller"]):
        apply(plane, item)
    return plane


@pytest.fixture(scope="module")
def settings(cluster, entra, keyvault, test_ca, static_issuer, tmp_path_factory):
    folder = tmp_path_factory.mktemp("controller")
    (folder / "token").write_text("planted-controller-token\n")
    handshakes = Handshakes(test_ca, static_issuer)
    entra.add_tenant(TENANT)
    entra.add_application(TENANT, CLIENT)
    keyvault.add_vault("demo", TENANT, hosts=[keyvault.host.replace("127.0.0.1", "localhost")])
    ports = [urlsplit(url).port for url in (entra.url, keyvault.url)]
    yield (
        ControllerSettings(
            namespace=SYSTEM,
            pod_name="wi-controller-0",
            public_url=static_issuer.url,
            grants_url=handshakes.url,
            token_file=folder / "token",
            issuer_ca_file=test_ca.write(folder / "ca.crt"),
            extra_ca_file=folder / "ca.crt",
            allowed_hosts=tuple(f"{host}:{port}" for host in ("localhost", "127.0.0.1") for port in ports),
            recheck_seconds=2.0,
            lease_seconds=4.0,
            renew_seconds=3.0,
            retry_seconds=1.0,
        ),
        handshakes,
    )
    handshakes.server.shutdown()
    handshakes.server.server_close()


@pytest.fixture(scope="module")
def controller(cluster, settings):
    # With the rights of the chart and no others.
    own = cluster.mint_kubeconfig(f"system:serviceaccount:{SYSTEM}:wi-controller")
    with running_controller(settings[0], own) as running:
        yield running


def trust(entra, static_issuer, subject=f"organization:{ORGANIZATION}"):
    entra.trust(TENANT, CLIENT, "fic", issuer=static_issuer.url, subject=subject, audience=AUDIENCE)


def events_of(plane, name, namespace="team-a"):
    items = json.loads(kubectl(plane, "get", "events", f"--namespace={namespace}", "--output=json"))["items"]
    return [item for item in items if item["involvedObject"]["name"] == name]


def localhost(url):
    return url.replace("127.0.0.1", "localhost")


def test_the_installation_is_complete(cluster, controller):
    authority = read(cluster, "configmap", "wi-ca-bundle", SYSTEM)["data"]["ca.crt"]
    assert x509.load_pem_x509_certificate(authority.encode()).subject.rfc4514_string().startswith("CN=workload")
    for name in ("wi-internal-ca", "wi-issuer-tls", "wi-webhook-tls"):
        assert read(cluster, "secret", name, SYSTEM)["type"] == "kubernetes.io/tls"
    state = json.loads(read(cluster, "configmap", "wi-issuer-state", SYSTEM)["data"]["state.json"])
    secret = read(cluster, "secret", "wi-issuer-keys", SYSTEM)
    assert secret["metadata"]["annotations"]["identity.crewai.com/kids"] == state["keys"][0]["kid"]


@pytest.mark.parametrize("kind", ["mutatingwebhookconfiguration", "validatingwebhookconfiguration"])
def test_only_the_bundle_of_the_webhooks_is_ours(cluster, controller, kind):
    def patched():
        item = json.loads(kubectl(cluster, "get", kind, "wi-webhook", "--output=json", "--show-managed-fields"))
        return item if item["webhooks"][0]["clientConfig"].get("caBundle") else None

    item = eventually(patched)
    assert item["webhooks"][0]["clientConfig"]["service"]["name"] == "wi-webhook"
    assert item["webhooks"][0]["rules"]
    ours = [m for m in item["metadata"]["managedFields"] if m["manager"] == "workload-identity-operator"]
    assert [m["operation"] for m in ours] == ["Apply"]
    (webhook,) = ours[0]["fieldsV1"]["f:webhooks"].values()
    assert webhook == {".": {}, "f:clientConfig": {"f:caBundle": {}}, "f:name": {}}


def test_a_wrong_subject_is_named_and_its_repair_is_found(
    cluster, controller, settings, entra, keyvault, static_issuer, test_ca
):
    trust(entra, static_issuer, subject="organization:somebody-else")
    apply(cluster, config("azure", "team-a", entra, test_ca))
    apply(cluster, credential("demo", "team-a", localhost(keyvault.url), workloadIdentityRef={"name": "azure"}))

    failed = eventually(lambda: (i := read(cluster, "wic", "azure", "team-a")) and ready_of(i).get("status") and i)
    ready = ready_of(failed)
    assert (ready["status"], ready["reason"]) == ("False", "SubjectMismatch")
    assert ready["message"].startswith("AADSTS700213: ")
    assert "az ad app federated-credential create" in ready["message"]
    assert condition(failed, "Reconciling")["status"] == "True"
    assert failed["status"]["federation"] == {
        "issuer": static_issuer.url,
        "subject": f"organization:{ORGANIZATION}",
        "audience": AUDIENCE,
        "organization": ORGANIZATION,
    }
    assert failed["status"]["handshake"]["errorCode"] == "AADSTS700213"
    assert failed["status"]["handshake"]["traceId"]
    mirrored = eventually(
        lambda: (
            (i := read(cluster, "spcred", "demo", "team-a")) and ready_of(i).get("reason") == "SubjectMismatch" and i
        )
    )
    assert condition(mirrored, "ConfigResolved")["status"] == "True"
    assert condition(mirrored, "VaultReachable")["status"] == "True", condition(mirrored, "VaultReachable")

    trust(entra, static_issuer)
    kubectl(cluster, "annotate", "wic/azure", "--namespace=team-a", "identity.crewai.com/test-connection=now")
    kubectl(cluster, "wait", "--for=condition=Ready", "wic/azure", "spcred/demo", "--namespace=team-a", "--timeout=20s")
    repaired = read(cluster, "wic", "azure", "team-a")
    record = repaired["status"]["handshake"]
    assert record["observedTestRequest"] == "now"
    assert (record["consecutiveFailures"], record["errorCode"], record["traceId"]) == (0, "", "")
    assert record["lastSuccessTime"]
    published = condition(repaired, "IssuerPublished")
    assert (published["status"], static_issuer.key.kid in published["message"]) == ("True", True)
    assert [c["type"] for c in repaired["status"]["conditions"]] == ["IssuerPublished", "HandshakeSucceeded", "Ready"]
    green = ready_of(read(cluster, "spcred", "demo", "team-a"))
    assert "Not tested: SecretReadable, SecretsListable." in green["message"]
    for item in (repaired, read(cluster, "spcred", "demo", "team-a")):
        assert "finalizers" not in item["metadata"]
        assert not [name for name in item["metadata"].get("annotations", {}) if "kopf" in name]
    eventually(lambda: {e["reason"] for e in events_of(cluster, "azure")} >= {"SubjectMismatch", "Succeeded"})
    path, authorization, body = settings[1].requests[0]
    assert (path, authorization) == ("/v1/handshakes", "Bearer planted-controller-token")
    assert sorted(body) == ["generation", "name", "namespace", "uid"]


def test_nothing_is_written_while_nothing_changes(cluster, controller, settings):
    before = {kind: read(cluster, kind, name, "team-a") for kind, name in (("wic", "azure"), ("spcred", "demo"))}
    asked = len(settings[1].requests)
    eventually(lambda: len(settings[1].requests) >= asked + 3)
    after = {kind: read(cluster, kind, name, "team-a") for kind, name in (("wic", "azure"), ("spcred", "demo"))}
    assert after == before


def test_an_asked_test_answers_with_its_value(cluster, controller):
    kubectl(cluster, "annotate", "spcred/demo", "--namespace=team-a", "identity.crewai.com/test-connection=again")

    def echoed():
        return read(cluster, "spcred", "demo", "team-a")["status"]["handshake"]["observedTestRequest"] == "again"

    eventually(echoed)


def test_other_clouds_are_accepted_and_not_supported_yet(cluster, controller):
    item = {
        "apiVersion": "identity.crewai.com/v1alpha1",
        "kind": "WorkloadIdentityConfig",
        "metadata": {"name": "aws", "namespace": "team-a"},
        "spec": {"provider": "AWS", "aws": {"roleArn": "arn:aws:iam::123456789012:role/wi", "region": "eu-west-1"}},
    }
    apply(cluster, item)
    found = eventually(lambda: (i := read(cluster, "wic", "aws", "team-a")) and ready_of(i) and i)
    assert (ready_of(found)["status"], ready_of(found)["reason"]) == ("False", "NotSupportedYet")
    assert condition(found, "Stalled")["status"] == "True"
    assert found["status"]["federation"]["audience"] == "sts.amazonaws.com"


def test_a_host_off_the_list_gets_no_token(cluster, controller, entra, test_ca):
    item = config("foreign", "team-a", entra, test_ca)
    item["spec"]["azure"]["custom"]["authorityHost"] = "https://login.example.com"
    apply(cluster, item)
    found = eventually(lambda: (i := read(cluster, "wic", "foreign", "team-a")) and ready_of(i) and i)
    assert ready_of(found)["reason"] == "ForbiddenHost"
    assert "login.example.com is not on the allow-list" in ready_of(found)["message"]


def test_a_vault_of_another_tenant_is_named(cluster, controller, keyvault):
    other = localhost(keyvault.url).replace("localhost", "127.0.0.1")
    keyvault.add_vault("elsewhere", OTHER_TENANT, hosts=[urlsplit(other).netloc])
    apply(cluster, credential("elsewhere", "team-a", other, workloadIdentityRef={"name": "azure"}))
    found = eventually(lambda: (i := read(cluster, "spcred", "elsewhere", "team-a")) and ready_of(i) and i)
    assert condition(found, "VaultReachable")["status"] == "False"
    assert OTHER_TENANT in ready_of(found)["message"]


def test_a_config_that_is_missing_is_told_and_found_later(cluster, controller, entra, keyvault, test_ca):
    apply(cluster, credential("later", "team-a", localhost(keyvault.url), workloadIdentityRef={"name": "late"}))
    found = eventually(lambda: (i := read(cluster, "spcred", "later", "team-a")) and ready_of(i) and i)
    assert ready_of(found)["reason"] == "ConfigNotFound"
    apply(cluster, config("late", "team-a", entra, test_ca))
    kubectl(cluster, "wait", "--for=condition=Ready", "spcred/later", "--namespace=team-a", "--timeout=20s")


@pytest.mark.parametrize(
    ("authority", "trusts", "reason"),
    [
        ("https://127.0.0.1:1", True, "HostUnreachable"),
        ("entra", False, "TlsNotTrusted"),
        ("listener", True, "HostSlow"),
    ],
)
async def test_a_silent_authority_is_diagnosed(entra, test_ca, authority, trusts, reason, monkeypatch):
    monkeypatch.setattr(sdk, "READ_TIMEOUT", 0.3)
    monkeypatch.setattr(sdk, "TOTAL_TIMEOUT", 2.0)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        known = {"entra": entra.url, "listener": f"https://127.0.0.1:{listener.getsockname()[1]}"}
        endpoint = parse_endpoint(known.get(authority, authority))
        target = TokenTarget(endpoint, TENANT, CLIENT, "https://vault.azure.net/.default")
        connections = Connections()
        session = connections.session(only=test_ca.pem.decode() if trusts else "")
        with pytest.raises(DiagnosedError) as caught:
            await entra_sdk.exchange(target, SecretValue("planted"), session=session)
        await connections.close()
    assert caught.value.diagnosis.reason == reason
    assert "planted" not in caught.value.diagnosis.message


@pytest.mark.parametrize(
    ("errno", "reason"), [(socket.EAI_NONAME, "HostUnknown"), (socket.EAI_AGAIN, "DnsUnavailable")]
)
async def test_a_name_that_is_not_found_differs_from_a_silent_dns(errno, reason, monkeypatch):
    def refuse(*_, **__):
        raise socket.gaierror(errno, "planted")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    target = TokenTarget(parse_endpoint("https://nobody.example"), TENANT, CLIENT, "https://vault.azure.net/.default")
    connections = Connections()
    with pytest.raises(DiagnosedError) as caught:
        await entra_sdk.exchange(target, SecretValue("planted"), session=connections.session())
    await connections.close()
    assert caught.value.diagnosis.reason == reason


def test_refusals_of_the_api_server_say_what_to_write(cluster):
    item = credential("no-vault", "team-a", "")
    with pytest.raises(ControlPlaneError, match="azure_vault_url is required for Azure secret resolution"):
        apply(cluster, item)
    del item["spec"]["azureKeyVault"]
    with pytest.raises(ControlPlaneError, match="azure_vault_url is required for Azure secret resolution"):
        apply(cluster, item)
    with pytest.raises(ControlPlaneError, match="vaultUrl must be https://<vault>"):
        apply(cluster, credential("odd", "team-a", "https://user@demo.vault.azure.net"))
    bare = {
        "apiVersion": "identity.crewai.com/v1alpha1",
        "kind": "WorkloadIdentityConfig",
        "metadata": {"name": "bare", "namespace": "team-a"},
        "spec": {"provider": "Azure"},
    }
    with pytest.raises(ControlPlaneError, match="provider: Azure needs the block azure"):
        apply(cluster, bare)


def test_the_keys_are_out_of_the_controllers_reach(cluster, controller):
    answer = kubectl(
        cluster,
        "auth",
        "can-i",
        "--list",
        f"--namespace={SYSTEM}",
        f"--as=system:serviceaccount:{SYSTEM}:wi-controller",
    )
    (line,) = [line for line in answer.splitlines() if "wi-issuer-keys" in line]
    assert line.endswith("[patch]")


def test_a_standby_takes_over_and_keeps_the_key(cluster, controller, settings):
    before = read(cluster, "secret", "wi-issuer-keys", SYSTEM), read(cluster, "wic", "azure", "team-a")
    lease = read(cluster, "lease", "wi-controller", SYSTEM)
    assert lease["spec"]["holderIdentity"] == "wi-controller-0"
    fields = {name: getattr(settings[0], name) for name in ControllerSettings.__dataclass_fields__}
    standby = Running(ControllerSettings(**{**fields, "pod_name": "wi-controller-1"}))
    eventually(lambda: standby.controller is not None and standby.controller.is_ready())
    assert not standby.controller.is_leading
    began = time.monotonic()
    controller.stop()
    try:
        standby.await_leadership()
        assert time.monotonic() - began < 20
        asked = len(settings[1].requests)
        eventually(lambda: len(settings[1].requests) > asked)
        assert read(cluster, "secret", "wi-issuer-keys", SYSTEM) == before[0]
        assert read(cluster, "wic", "azure", "team-a") == before[1]
    finally:
        standby.stop()


def test_deletion_needs_no_controller(cluster, controller):
    began = time.monotonic()
    for kind in ("spcred", "wic"):
        kubectl(cluster, "delete", kind, "--all", "--namespace=team-a", "--timeout=5s")
    assert time.monotonic() - began < 5
