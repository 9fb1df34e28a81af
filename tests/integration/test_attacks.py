"""Attempts to get what one must not, with real tokens of a real API server; each beside the honest one that succeeds."""

import base64
import hashlib
import hmac
import json
import socket
import ssl
import time
import urllib.error
import urllib.parse
import urllib.request

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from wi_testkit.controlplane.errors import ControlPlaneError
from wi_testkit.lab import GRANTS_NAME, unsigned

pytestmark = pytest.mark.attack

OURS = "3f2504e0-4f89-41d3-9a0c-0305e82c3301"
THEIRS = "3f2504e0-4f89-41d3-9a0c-0305e82c3302"
GROUP = "identity.crewai.com"
TENANT = "11111111-2222-4333-8444-555555555555"
CLIENT, OTHER_CLIENT = "99999999-8888-4777-8666-555555555555", "99999999-8888-4777-8666-555555555556"
AUDIENCE = "api://AzureADTokenExchange"
CONTROLLER = "wi-controller"


def config(name, namespace="team-a", **azure):
    block = {"tenantId": TENANT, "clientId": CLIENT} | azure
    return _object("WorkloadIdentityConfig", name, namespace, {"provider": "Azure", "azure": block})


def credential(name, namespace="team-a", vault="https://demo.vault.azure.net", **spec):
    block = {"provider": "AzureKeyVault", "azureKeyVault": {"vaultUrl": vault}}
    return _object(
        "SecretProviderCredential", name, namespace, block | {"workloadIdentityRef": {"name": "azure"}} | spec
    )


def _object(kind, name, namespace, spec):
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": f"{GROUP}/v1alpha1", "kind": kind, "metadata": metadata, "spec": spec}


@pytest.fixture(scope="module", autouse=True)
def teams(lab):
    """Two namespaces of two organizations, and accounts of the controller's name in the right and in a wrong place."""
    lab.add_namespace("team-a", OURS)
    lab.add_namespace("team-b", THEIRS)
    for namespace in ("team-a", "team-b"):
        lab.add_pod(namespace, "kick")
    for namespace in ("wi-system", "team-b"):
        lab.apply(
            {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": CONTROLLER, "namespace": namespace}}
        )
        lab.add_pod(namespace, CONTROLLER, CONTROLLER)
    lab.apply(config("azure"), credential("demo"), credential("picky", allowedServiceAccounts=["other"]))
    lab.apply(credential("secret-of-b", "team-b"), config("azure", "team-b"))


@pytest.fixture(scope="module")
def pod(lab, teams):
    """The honest pod's token; its grant is the twin of most attacks."""
    token = lab.pod_token("team-a", "kick")
    lab.wait(lambda: lab.grant(token).document.get("grants"), "the first grant")
    return token


@pytest.fixture(autouse=True)
def twin(lab, pod):
    """Before and after every attack the honest request succeeds."""
    assert_granted(lab.grant(pod))
    yield
    assert_granted(lab.grant(pod))


def assert_granted(answer):
    assert answer.status == 200, answer
    (grant,) = answer.document["grants"]
    _, claims = unsigned(grant["assertion"])
    assert claims["sub"] == f"organization:{OURS}"


def assert_rejected(answer, status=401, reason="TokenRejected"):
    assert (answer.status, answer.reason) == (status, reason), answer
    assert answer.document["remedy"]
    assert "grants" not in answer.document


# --- tokens -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("audience", ["", "wi-issuer-controller", "api://AzureADTokenExchange", "vault"])
def test_a_token_for_another_audience(lab, audience):
    assert_rejected(lab.grant(lab.pod_token("team-a", "kick", audience=audience)))


def test_an_unbound_token(lab):
    assert_rejected(lab.grant(lab.mint_token("team-a")))


def test_a_token_bound_to_a_secret(lab):
    lab.plane.run_kubectl("create", "secret", "generic", "anchor", "--namespace=team-a")
    assert_rejected(lab.grant(lab.mint_token("team-a", bound=("Secret", "anchor"))))


def test_a_token_bound_to_a_node(lab):
    lab.apply({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "node-1"}})
    assert_rejected(lab.grant(lab.mint_token("team-a", bound=("Node", "node-1"))))


def test_a_nodes_own_right_to_tokens_ends_at_its_pods(lab):
    node = lab.plane.mint_kubeconfig("system:node:node-1", ["system:nodes"])
    with pytest.raises(ControlPlaneError, match=r"[Ff]orbidden"):
        lab.plane.run_kubectl(
            f"--kubeconfig={node}", "create", "token", "worker", "--namespace=team-a", "--audience=wi-issuer",
            "--bound-object-kind=Pod", "--bound-object-name=kick",
        )  # fmt: skip


def test_the_token_of_a_deleted_pod(lab):
    lab.add_pod("team-a", "short-lived")
    token = lab.pod_token("team-a", "short-lived")
    assert_granted(lab.grant(token))
    lab.plane.run_kubectl("delete", "pod", "short-lived", "--namespace=team-a", "--wait")
    # The API server remembers an accepted token for ten seconds, the issuer for as long as it is told.
    lab.wait(lambda: lab.grant(token).status == 401, "the end of the token")
    assert_rejected(lab.grant(token))


def test_a_pod_made_anew_under_the_same_name_is_another_pod(lab):
    lab.add_pod("team-a", "phoenix")
    old = lab.pod_token("team-a", "phoenix")
    lab.plane.run_kubectl("delete", "pod", "phoenix", "--namespace=team-a", "--wait")
    lab.add_pod("team-a", "phoenix")
    assert_rejected(lab.grant(old))
    assert_granted(lab.grant(lab.pod_token("team-a", "phoenix")))


def forge(token, key, *, algorithm="RS256", header=None, **claims):
    """Return ``token`` with changed claims and header, signed with ``key``."""
    head, body = unsigned(token)
    changed = {"kid": head["kid"]} | (header or {})
    return jwt.encode(body | claims, key, algorithm=algorithm, headers=changed)


@pytest.fixture(scope="module")
def stranger():
    return rsa.generate_private_key(65537, 2048)


def test_an_expired_token_with_the_api_servers_own_signature(lab, pod):
    """Nobody has that key; even so the end of a token is its end, and the twin shows that the forgery is as good as real."""
    own = load_pem_private_key(lab.plane.service_account_keys.key.read_bytes(), password=None)
    now = int(time.time())
    assert_granted(lab.grant(forge(pod, own)))
    assert_rejected(lab.grant(forge(pod, own, iat=now - 7200, nbf=now - 7200, exp=now - 3600)))


def test_a_self_made_token_under_the_real_kid(lab, pod, stranger):
    assert_rejected(lab.grant(forge(pod, stranger)))


def test_a_kid_that_leads_to_a_key_of_the_attackers(lab, pod, stranger):
    jwk = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(stranger.public_key()))
    for header in ({"jwk": jwk}, {"jku": "https://localhost/keys", "kid": "mine"}, {"kid": "../../ca.crt"}):
        assert_rejected(lab.grant(forge(pod, stranger, header=header)))


def encode(document):
    return base64.urlsafe_b64encode(json.dumps(document).encode()).rstrip(b"=").decode()


@pytest.mark.parametrize("algorithm", ["none", "None", "nOnE"])
def test_a_token_without_signature(lab, pod, algorithm):
    head, body = unsigned(pod)
    for signature in ("", "AAAA"):
        assert_rejected(lab.grant(f"{encode(head | {'alg': algorithm})}.{encode(body)}.{signature}"))


def test_hs256_with_the_public_key_as_secret(lab, pod):
    """By hand: no library lets one do that any more."""
    own = load_pem_private_key(lab.plane.service_account_keys.key.read_bytes(), password=None)
    head, body = unsigned(pod)
    for public in (
        lab.plane.service_account_keys.certificate.read_bytes(),
        own.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
    ):
        signed = f"{encode(head | {'alg': 'HS256'})}.{encode(body)}"
        digest = hmac.new(public, signed.encode(), hashlib.sha256).digest()
        assert_rejected(lab.grant(f"{signed}.{base64.urlsafe_b64encode(digest).rstrip(b'=').decode()}"))


def test_a_real_token_with_another_namespace_written_in(lab, pod):
    head, body = unsigned(pod)
    body["sub"] = "system:serviceaccount:team-b:worker"
    body["kubernetes.io"] |= {"namespace": "team-b"}
    assert_rejected(lab.grant(f"{encode(head)}.{encode(body)}.{pod.split('.')[2]}"))


def test_an_assertion_of_ours_is_no_key_to_more_of_them(lab, pod):
    assertion = lab.grant(pod).document["grants"][0]["assertion"]
    assert_rejected(lab.grant(assertion))
    _, claims = unsigned(assertion)
    # Neither does Kubernetes know it, whatever audience it is asked for.
    assert claims["aud"] == AUDIENCE


@pytest.mark.parametrize("scheme", ["Basic {}", "bearer {}", "Token {}", "{}", "Bearer", "Bearer {} {}", ""])
def test_a_token_that_is_not_presented_as_a_bearer(lab, pod, scheme):
    headers = {"Authorization": scheme.format(pod, pod)} if scheme else {}
    assert_rejected(lab.grant("", headers=headers))


def test_a_token_in_the_query(lab, pod):
    assert_rejected(lab.ask(f"/v1/grants?access_token={pod}", {"credentials": ["demo"]}))


# --- what the body may say --------------------------------------------------------------------------------------


def test_the_token_of_another_namespace_gets_that_namespace_and_nothing_of_ours(lab):
    token = lab.pod_token("team-b", "kick")
    answer = lab.grant(token, "demo", "secret-of-b")
    assert answer.document["organization"] == THEIRS
    (grant,), (refusal,) = answer.document["grants"], answer.document["refusals"]
    assert unsigned(grant["assertion"])[1]["sub"] == f"organization:{THEIRS}"
    assert (refusal["credential"], refusal["reason"]) == ("demo", "CredentialNotFound")


@pytest.mark.parametrize(
    "member",
    [
        {"namespace": "team-b"}, {"organization": THEIRS}, {"subject": f"organization:{THEIRS}"}, {"issuer": "https://x"},
        {"audience": "https://vault.azure.net"}, {"serviceAccount": "other"}, {"lifetime": 86400},
    ],
)  # fmt: skip
def test_a_body_that_names_more_than_credentials(lab, pod, member):
    answer = lab.ask("/v1/grants", {"credentials": ["demo"]} | member, pod)
    assert_rejected(answer, 400, "MalformedRequest")


@pytest.mark.parametrize(
    "name", ["team-b/secret-of-b", "../team-b/secret-of-b", "secret-of-b", "demo\u0000", "DEMO", "*"]
)
def test_a_name_that_would_lead_elsewhere(lab, pod, name):
    answer = lab.grant(pod, name)
    assert answer.document["grants"] == []
    assert answer.document["refusals"][0]["reason"] == "CredentialNotFound"


def test_an_account_that_the_credential_does_not_admit(lab, pod):
    (refusal,) = lab.grant(pod, "picky").document["refusals"]
    assert refusal["reason"] == "ServiceAccountNotAllowed"
    lab.apply({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "other", "namespace": "team-a"}})
    lab.add_pod("team-a", "admitted", "other")
    assert_granted(lab.grant(lab.pod_token("team-a", "admitted", "other"), "picky"))


# --- the controller's door --------------------------------------------------------------------------------------


def handshake_body(lab, **changes):
    metadata = lab.read("wic", "azure", "team-a")["metadata"]
    return {
        "namespace": "team-a", "name": "azure", "uid": metadata["uid"], "generation": metadata["generation"],
    } | changes  # fmt: skip


def controller_token(lab, namespace="wi-system", audience="wi-issuer-controller"):
    return lab.pod_token(namespace, CONTROLLER, CONTROLLER, audience=audience)


@pytest.fixture
def door(lab):
    """The controller itself is let in before and after."""

    def enter():
        answer = lab.ask("/v1/handshakes", handshake_body(lab), controller_token(lab))
        assert (answer.status, answer.document["organization"]) == (200, OURS), answer

    enter()
    yield
    enter()


def test_a_pod_at_the_controllers_door(lab, pod, door):
    assert_rejected(lab.ask("/v1/handshakes", handshake_body(lab), pod))
    other = lab.pod_token("team-a", "kick", audience="wi-issuer-controller")
    assert_rejected(lab.ask("/v1/handshakes", handshake_body(lab), other), 403, "NotTheController")


def test_the_controllers_account_with_the_pods_audience(lab, door):
    token = controller_token(lab, audience="wi-issuer")
    assert_rejected(lab.ask("/v1/handshakes", handshake_body(lab), token))


def test_an_account_of_the_controllers_name_elsewhere(lab, door):
    token = controller_token(lab, "team-b")
    assert_rejected(lab.ask("/v1/handshakes", handshake_body(lab), token), 403, "NotTheController")


def test_an_unbound_token_of_the_controllers_account(lab, door):
    token = lab.mint_token("wi-system", CONTROLLER, audience="wi-issuer-controller")
    assert_rejected(lab.ask("/v1/handshakes", handshake_body(lab), token))


@pytest.mark.parametrize("changes", [{"generation": 99}, {"generation": 0}, {"uid": "another"}])
def test_a_handshake_about_another_state_of_the_config(lab, door, changes):
    answer = lab.ask("/v1/handshakes", handshake_body(lab, **changes), controller_token(lab))
    assert_rejected(answer, 409, "StaleGeneration")


@pytest.mark.parametrize(
    "changes", [{"organization": THEIRS}, {"audience": "x"}, {"clientId": "x"}, {"generation": "1"}]
)
def test_a_handshake_that_brings_its_own_claims(lab, door, changes):
    answer = lab.ask("/v1/handshakes", handshake_body(lab) | changes, controller_token(lab))
    assert_rejected(answer, 400, "MalformedRequest")


def test_the_internal_doors_are_not_on_the_public_port(lab, pod):
    context = ssl.create_default_context(cadata=lab.authority.pem.decode())
    for path in ("/v1/grants", "/v1/handshakes", "/metrics", "/livez", "/"):
        with socket.create_connection(("127.0.0.1", lab.ports[0])) as plain:
            connection = context.wrap_socket(plain, server_hostname="localhost")
            head = f"POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {pod}\r\nContent-Length: 0\r\n\r\n"
            connection.sendall(head.encode())
            assert connection.recv(64).startswith(b"HTTP/1.1 404"), path


def test_a_body_that_is_too_large_or_never_ends(lab, pod):
    assert lab.ask("/v1/grants", {"credentials": ["x" * 70_000]}, pod).status == 413
    with socket.create_connection(("127.0.0.1", lab.ports[1])) as plain:
        connection = lab.grants_context().wrap_socket(plain, server_hostname=GRANTS_NAME)
        head = "POST /v1/grants HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 40\r\n"
        connection.sendall(f"{head}Authorization: Bearer {pod}\r\n\r\n{{".encode())
        connection.settimeout(15)
        assert connection.recv(64).startswith(b"HTTP/1.1 408")


# --- whose a namespace is ---------------------------------------------------------------------------------------


def as_tenant(lab, *arguments, stdin=None):
    tenant = lab.plane.mint_kubeconfig("tenant")
    return lab.plane.run_kubectl(f"--kubeconfig={tenant}", *arguments, stdin=stdin)


@pytest.fixture(scope="module")
def tenant(lab):
    """Somebody who may do everything with namespaces, and with pods, but bind an organization."""
    rules = [
        {"apiGroups": [""], "resources": ["namespaces", "namespaces/status", "namespaces/finalize"], "verbs": ["*"]},
    ]
    role = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": "t"},
        "rules": rules,
    }
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "t"}
    subject = {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "tenant"}
    binding = {
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": "t"},
        "roleRef": reference, "subjects": [subject],
    }  # fmt: skip
    lab.apply(role, binding)
    lab.add_namespace("team-c")
    lab.wait(lambda: is_refused(lab, "replace", "--raw", "/api/v1/namespaces/team-c"), "the policy in force")


def is_refused(lab, *arguments):
    try:
        as_tenant(lab, *arguments, "--filename=-", stdin=json.dumps(claimed(lab)))
    except ControlPlaneError as error:
        return "needs the verb bind" in str(error)
    return False


def claimed(lab):
    item = lab.read("namespace", "team-c")
    item["metadata"].setdefault("annotations", {})[f"{GROUP}/organization"] = OURS
    return item


@pytest.mark.parametrize("way", ["", "/status", "/finalize"])
def test_a_tenant_that_annotates_its_namespace(lab, tenant, way):
    assert is_refused(lab, "replace", "--raw", f"/api/v1/namespaces/team-c{way}")
    # The same change without the annotation is allowed: it is the organization that is refused.
    plain = lab.read("namespace", "team-c")
    plain["metadata"]["labels"]["touched"] = "yes"
    as_tenant(lab, "replace", "--raw", f"/api/v1/namespaces/team-c{way}", "--filename=-", stdin=json.dumps(plain))
    lab.add_pod("team-c", "kick")
    answer = lab.grant(lab.pod_token("team-c", "kick"))
    assert answer.document["organization"] == lab.read("namespace", "team-c")["metadata"]["uid"]


def test_an_organization_that_was_set_behind_the_policys_back(lab, tenant):
    """The cluster's policy is away for a moment: what was set then is not believed, also after the repair."""
    lab.add_namespace("team-d")
    lab.add_pod("team-d", "kick")
    own = lab.read("namespace", "team-d")["metadata"]["uid"]
    token = lab.pod_token("team-d", "kick")
    lab.wait(lambda: lab.grant(token).document.get("organization") == own, "the implicit organization")
    path = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings/wi-organization"
    binding = json.loads(lab.plane.run_kubectl("get", "--raw", path))
    lab.plane.run_kubectl("delete", "--raw", path)
    annotation = f"{GROUP}/organization={OURS}"
    lab.wait(
        lambda: not _fails(as_tenant, lab, "annotate", "--overwrite", "namespace", "team-d", annotation), "the gap"
    )
    lab.wait(lambda: "OrganizationDisputed" in lab.log("issuer-0"), "the alarm")
    refused = lab.grant(token)
    assert refused.document.get("organization", "") != OURS, refused
    del binding["metadata"]["uid"], binding["metadata"]["resourceVersion"], binding["metadata"]["managedFields"]
    lab.apply(binding)
    lab.wait(lambda: "in force again" in lab.log("issuer-0"), "the repair")
    assert lab.grant(token).document.get("organization", "") != OURS
    # An administrator sets it anew, and it counts.
    lab.plane.run_kubectl("annotate", "namespace", "team-d", f"{GROUP}/organization-")
    lab.wait(lambda: lab.grant(token).document.get("organization") == own, "the old organization")
    lab.plane.run_kubectl("annotate", "namespace", "team-d", annotation)
    lab.wait(lambda: lab.grant(token).document.get("organization") == OURS, "the new organization")


def _fails(call, *arguments):
    try:
        call(*arguments)
    except ControlPlaneError:
        return True
    return False


# --- where tokens may go ----------------------------------------------------------------------------------------

HOSTS = [
    "https://demo.vault.azure.net.attacker.test",
    "https://attacker.test",
    "https://vault.azure.net",
    "https://a.b.vault.azure.net",
    "https://demo.vault.azure.net:8443",
    "https://demovault.azure.net",
    "https://demo.vault.azure.cn",
    "https://demo-vault-azure-net.attacker.test",
    "https://login.microsoftonline.com.attacker.test",
    "https://169.254.169.254",
]


@pytest.mark.parametrize("url", HOSTS)
def test_a_vault_outside_the_list_gets_no_assertion(lab, pod, url):
    lab.apply(credential("elsewhere", vault=url))

    def refused():
        found = lab.grant(pod, "elsewhere").document
        return found["refusals"] and found["refusals"][0]["detail"]

    lab.wait(lambda: url.removeprefix("https://").split("/")[0] in (refused() or ""), "the refusal")
    document = lab.grant(pod, "elsewhere", "demo").document
    assert [grant["credential"] for grant in document["grants"]] == ["demo"]
    assert document["refusals"][0]["reason"] == "ForbiddenHost"


@pytest.mark.parametrize(
    "url",
    [
        "http://demo.vault.azure.net", "https://user@demo.vault.azure.net", "https://demo.vault.azure.net@attacker.test",
        "https://demo.vault.azure.net/path", "https://demo.vault.azure.net?x=1", "https://demo.vault.azure.net#x",
        "https://demo.vault.azure.net\\@attacker.test", "https://d\u0435mo.vault.azure.net", "https://demo\u3002vault.azure.net",
        "https://demo.vault.azure.net ", "https://demo.vault.azure.net\t.attacker.test", "https://demo.vault.azure.net//",
        "https://[::1]", "https://demo.vault.azure.net.", "javascript:alert(1)", "//demo.vault.azure.net",
    ],
)  # fmt: skip
def test_a_vault_url_that_is_not_what_it_looks_like_is_refused_by_the_api_server(lab, url):
    with pytest.raises(ControlPlaneError, match="vaultUrl"):
        lab.apply(credential("odd", vault=url))
    lab.apply(credential("even", vault="https://Demo.Vault.Azure.NET/"))


def test_an_authority_outside_the_list_gets_no_assertion(lab, pod, entra):
    custom = {"vaultScope": "https://vault.azure.net/.default"}
    for name, authority in (("mine", "https://login.attacker.test"), ("listed", entra.url)):
        lab.apply(config(name, cloud="Custom", custom=custom | {"authorityHost": authority}))
        spec = {"workloadIdentityRef": {"name": name}}
        lab.apply(
            credential(f"by-{name}", vault=entra.url if name == "listed" else "https://demo.vault.azure.net", **spec)
        )
    lab.wait(lambda: lab.grant(pod, "by-listed").document["grants"], "the listed one")
    document = lab.grant(pod, "by-mine", "by-listed").document
    assert [grant["credential"] for grant in document["grants"]] == ["by-listed"]
    assert document["refusals"][0]["reason"] == "ForbiddenHost"


@pytest.mark.parametrize(
    ("kind", "block"),
    [
        ("azure", {"tenantId": "attacker.test/x", "clientId": CLIENT}),
        ("azure", {"tenantId": "..", "clientId": CLIENT}),
        ("azure", {"tenantId": "a@b", "clientId": CLIENT}),
        ("azure", {"tenantId": f"{TENANT}?x", "clientId": CLIENT}),
        ("azure", {"tenantId": TENANT, "clientId": "x&scope=y"}),
        ("aws", {"roleArn": "arn:aws:iam::123456789012:role/wi", "region": "attacker.test/"}),
        ("aws", {"roleArn": "arn:aws:iam::123456789012:role/wi", "region": "eu-west-1.attacker.test#"}),
        ("aws", {"roleArn": "arn:aws:iam::x:role/wi?", "region": "eu-west-1"}),
        ("gcp", {"providerResourceName": "projects/1/../../x/locations/global/workloadIdentityPools/p/providers/q"}),
        (
            "gcp",
            {"providerResourceName": "//attacker.test/projects/1/locations/global/workloadIdentityPools/p/providers/q"},
        ),
    ],
)
def test_a_tenant_region_or_project_that_would_change_the_host(lab, kind, block):
    provider = {"azure": "Azure", "aws": "AWS", "gcp": "GCP"}[kind]
    item = _object("WorkloadIdentityConfig", "injected", "team-a", {"provider": provider, kind: block})
    with pytest.raises(ControlPlaneError, match=r"(?i)invalid"):
        lab.apply(item)
    good = {
        "azure": {"tenantId": TENANT, "clientId": CLIENT},
        "aws": {"roleArn": "arn:aws:iam::123456789012:role/wi", "region": "eu-west-1"},
        "gcp": {"providerResourceName": "projects/1/locations/global/workloadIdentityPools/pool/providers/provider"},
    }[kind]
    lab.apply(_object("WorkloadIdentityConfig", f"good-{kind}", "team-a", {"provider": provider, kind: good}))


# --- the boundary is the organization (design rule 0): two outcomes that are expected ----------------------------


def test_who_may_create_a_pod_may_have_its_organizations_token(lab):
    """A hand-made projected token is as good as the injected one: no webhook stands between."""
    lab.add_pod("team-a", "hand-made", "default")
    assert_granted(lab.grant(lab.pod_token("team-a", "hand-made", "default")))


def test_an_account_may_present_its_organizations_token_for_any_app_that_trusts_it(lab, pod, entra):
    """What the cloud checks is the organization; which config the token was fetched through it cannot know."""
    entra.add_tenant(TENANT)
    for number, client in enumerate((CLIENT, OTHER_CLIENT)):
        entra.add_application(TENANT, client)
        entra.trust(TENANT, client, f"fic-{number}", issuer=lab.url, subject=f"organization:{OURS}", audience=AUDIENCE)
    entra.add_application(TENANT, "99999999-8888-4777-8666-555555555557")
    assertion = lab.grant(pod).document["grants"][0]["assertion"]

    def exchange(client):
        form = {
            "grant_type": "client_credentials", "client_id": client, "scope": "https://vault.azure.net/.default",
            "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer", "client_assertion": assertion,
        }  # fmt: skip
        request = urllib.request.Request(
            f"{entra.url}/{TENANT}/oauth2/v2.0/token", urllib.parse.urlencode(form).encode()
        )
        try:
            with urllib.request.urlopen(request, context=lab.authority.client_context()) as response:
                return json.load(response)
        except urllib.error.HTTPError as error:
            with error:
                return json.load(error)

    assert "access_token" in exchange(CLIENT)
    assert "access_token" in exchange(OTHER_CLIENT), "expected: least privilege is made in the cloud"
    assert exchange("99999999-8888-4777-8666-555555555557")["error_codes"] == [70025]
