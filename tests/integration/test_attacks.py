"""Attempts with tokens, at the issuer's doors; real tokens of a real API server."""

import base64
import hashlib
import hmac
import json
import socket
import ssl
import time

import jwt
import pytest
from attack_scene import (
    AUDIENCE,
    CONTROLLER,
    OTHER_CLIENT,
    OURS,
    THEIRS,
    assert_granted,
    assert_rejected,
    config,
    controller_token,
    fails,
    handshake_body,
)
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from wi_testkit.controlplane.errors import ControlPlaneError
from wi_testkit.lab import GRANTS_NAME, unsigned

pytestmark = pytest.mark.usefixtures("honest")

# --- tokens -----------------------------------------------------------------------------------------------------


def test_the_honest_pod_is_granted(lab):
    answer = lab.grant(lab.pod_token("team-a", "kick"))
    assert_granted(answer)
    assert answer.document["refusals"] == []


@pytest.mark.attack(twin="test_the_honest_pod_is_granted")
@pytest.mark.parametrize("audience", ["", "wi-issuer-controller", "api://AzureADTokenExchange", "vault"])
def test_a_token_for_another_audience(lab, audience):
    assert_rejected(lab.grant(lab.pod_token("team-a", "kick", audience=audience)))


@pytest.mark.attack(twin="test_the_honest_pod_is_granted")
def test_an_unbound_token(lab):
    assert_rejected(lab.grant(lab.mint_token("team-a")))


@pytest.mark.attack(twin="test_the_honest_pod_is_granted")
def test_a_token_bound_to_a_secret(lab):
    lab.plane.run_kubectl("create", "secret", "generic", "anchor", "--namespace=team-a")
    assert_rejected(lab.grant(lab.mint_token("team-a", bound=("Secret", "anchor"))))


@pytest.mark.attack(twin="test_the_honest_pod_is_granted")
def test_a_token_bound_to_a_node(lab):
    lab.apply({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "node-1"}})
    assert_rejected(lab.grant(lab.mint_token("team-a", bound=("Node", "node-1"))))


def token_for_node(lab, pod):
    """Ask for a pod's token as the kubelet of node-1 does."""
    node = lab.plane.mint_kubeconfig("system:node:node-1", ["system:nodes"])
    uid = lab.read("pod", pod, "team-a")["metadata"]["uid"]
    return lab.plane.run_kubectl(
        f"--kubeconfig={node}", "create", "token", "worker", "--namespace=team-a", "--audience=wi-issuer",
        "--bound-object-kind=Pod", f"--bound-object-name={pod}", f"--bound-object-uid={uid}",
    ).strip()  # fmt: skip


@pytest.fixture(scope="module")
def on_node(lab, teams):
    """A pod that runs on node-1."""
    lab.apply({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "node-1"}})
    spec = {"serviceAccountName": "worker", "nodeName": "node-1", "containers": [{"name": "app", "image": "unused"}]}
    # As the webhook leaves it: the API server lets a node ask for the audiences that its pods' volumes name.
    sources = [{"serviceAccountToken": {"audience": "wi-issuer", "path": "token"}}]
    spec["volumes"] = [{"name": "token", "projected": {"sources": sources}}]
    head = {"name": "on-node", "namespace": "team-a"}
    lab.apply({"apiVersion": "v1", "kind": "Pod", "metadata": head, "spec": spec})
    lab.wait(lambda: not fails(token_for_node, lab, "on-node"), "the node's right")
    return "on-node"


def test_a_node_may_have_the_tokens_of_its_own_pods(lab, on_node):
    assert_granted(lab.grant(token_for_node(lab, on_node)))


@pytest.mark.attack(twin="test_a_node_may_have_the_tokens_of_its_own_pods")
def test_a_nodes_own_right_to_tokens_ends_at_its_pods(lab, on_node):
    with pytest.raises(ControlPlaneError, match=r"[Ff]orbidden"):
        token_for_node(lab, "kick")


@pytest.mark.attack(twin="test_the_honest_pod_is_granted")
def test_the_token_of_a_deleted_pod(lab):
    lab.add_pod("team-a", "short-lived")
    token = lab.pod_token("team-a", "short-lived")
    assert_granted(lab.grant(token))
    lab.plane.run_kubectl("delete", "pod", "short-lived", "--namespace=team-a", "--wait")
    # The API server remembers an accepted token for ten seconds, the issuer for as long as it is told.
    lab.wait(lambda: lab.grant(token).status == 401, "the end of the token")
    assert_rejected(lab.grant(token))


@pytest.mark.attack(twin="test_the_honest_pod_is_granted")
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


@pytest.fixture(scope="module")
def own(lab):
    """The API server's own key, which nobody else has."""
    return load_pem_private_key(lab.plane.service_account_keys.key.read_bytes(), password=None)


def test_a_token_signed_as_the_api_server_signs_is_granted(lab, pod, own):
    """The forgeries below are as good as real, but for the one thing that each lacks."""
    assert_granted(lab.grant(forge(pod, own)))


@pytest.mark.attack(twin="test_a_token_signed_as_the_api_server_signs_is_granted")
def test_an_expired_token_with_the_api_servers_own_signature(lab, pod, own):
    """Even so the end of a token is its end."""
    now = int(time.time())
    assert_rejected(lab.grant(forge(pod, own, iat=now - 7200, nbf=now - 7200, exp=now - 3600)))


@pytest.mark.attack(twin="test_a_token_signed_as_the_api_server_signs_is_granted")
def test_a_self_made_token_under_the_real_kid(lab, pod, stranger):
    assert_rejected(lab.grant(forge(pod, stranger)))


@pytest.mark.attack(twin="test_a_token_signed_as_the_api_server_signs_is_granted")
def test_a_kid_that_leads_to_a_key_of_the_attackers(lab, pod, stranger):
    jwk = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(stranger.public_key()))
    for header in ({"jwk": jwk}, {"jku": "https://localhost/keys", "kid": "mine"}, {"kid": "../../ca.crt"}):
        assert_rejected(lab.grant(forge(pod, stranger, header=header)))


def encode(document):
    return base64.urlsafe_b64encode(json.dumps(document).encode()).rstrip(b"=").decode()


@pytest.mark.attack(twin="test_a_token_signed_as_the_api_server_signs_is_granted")
@pytest.mark.parametrize("algorithm", ["none", "None", "nOnE"])
def test_a_token_without_signature(lab, pod, algorithm):
    head, body = unsigned(pod)
    for signature in ("", "AAAA"):
        assert_rejected(lab.grant(f"{encode(head | {'alg': algorithm})}.{encode(body)}.{signature}"))


@pytest.mark.attack(twin="test_a_token_signed_as_the_api_server_signs_is_granted")
def test_hs256_with_the_public_key_as_secret(lab, pod, own):
    """By hand: no library lets one do that any more."""
    head, body = unsigned(pod)
    for public in (
        lab.plane.service_account_keys.certificate.read_bytes(),
        own.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
    ):
        signed = f"{encode(head | {'alg': 'HS256'})}.{encode(body)}"
        digest = hmac.new(public, signed.encode(), hashlib.sha256).digest()
        assert_rejected(lab.grant(f"{signed}.{base64.urlsafe_b64encode(digest).rstrip(b'=').decode()}"))


@pytest.mark.attack(twin="test_the_honest_pod_is_granted")
def test_a_real_token_with_another_namespace_written_in(lab, pod):
    head, body = unsigned(pod)
    body["sub"] = "system:serviceaccount:team-b:worker"
    body["kubernetes.io"] |= {"namespace": "team-b"}
    assert_rejected(lab.grant(f"{encode(head)}.{encode(body)}.{pod.split('.')[2]}"))


@pytest.mark.attack(twin="test_the_honest_pod_is_granted")
def test_an_assertion_of_ours_is_no_key_to_more_of_them(lab, pod):
    assertion = lab.grant(pod).document["grants"][0]["assertion"]
    assert_rejected(lab.grant(assertion))
    _, claims = unsigned(assertion)
    # Neither does Kubernetes know it, whatever audience it is asked for.
    assert claims["aud"] == AUDIENCE


@pytest.mark.attack(twin="test_the_honest_pod_is_granted")
@pytest.mark.parametrize("scheme", ["Basic {}", "bearer {}", "Token {}", "{}", "Bearer", "Bearer {} {}", ""])
def test_a_token_that_is_not_presented_as_a_bearer(lab, pod, scheme):
    headers = {"Authorization": scheme.format(pod, pod)} if scheme else {}
    assert_rejected(lab.grant("", headers=headers))


@pytest.mark.attack(twin="test_the_honest_pod_is_granted")
def test_a_token_in_the_query(lab, pod):
    assert_rejected(lab.ask(f"/v1/grants?access_token={pod}", {"credentials": ["demo"]}))


# --- what the body may say --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("namespace", "name", "organization"), [("team-a", "demo", OURS), ("team-b", "secret-of-b", THEIRS)]
)
def test_each_namespace_is_granted_what_is_its_own(lab, namespace, name, organization):
    (grant,) = lab.grant(lab.pod_token(namespace, "kick"), name).document["grants"]
    assert (grant["credential"], unsigned(grant["assertion"])[1]["sub"]) == (name, f"organization:{organization}")


@pytest.mark.attack(twin="test_each_namespace_is_granted_what_is_its_own")
def test_the_token_of_another_namespace_gets_that_namespace_and_nothing_of_ours(lab):
    token = lab.pod_token("team-b", "kick")
    answer = lab.grant(token, "demo", "secret-of-b")
    assert answer.document["organization"] == THEIRS
    (grant,), (refusal,) = answer.document["grants"], answer.document["refusals"]
    assert unsigned(grant["assertion"])[1]["sub"] == f"organization:{THEIRS}"
    assert (refusal["credential"], refusal["reason"]) == ("demo", "CredentialNotFound")


def test_who_holds_a_grant_is_told_that_nothing_changed(lab, pod):
    tag = lab.grant(pod).headers["ETag"]
    assert lab.grant(pod, headers={"If-None-Match": tag}).status == 304


@pytest.mark.attack(twin="test_who_holds_a_grant_is_told_that_nothing_changed")
def test_a_tag_captured_from_another_pod_confirms_nothing(lab, pod):
    tag = lab.grant(pod, "demo").headers["ETag"]
    answer = lab.grant(lab.pod_token("team-b", "kick"), "demo", headers={"If-None-Match": tag})
    assert (answer.status, answer.document["organization"]) == (200, THEIRS)


def test_a_body_of_many_names_is_answered(lab, pod):
    answer = lab.grant(pod, "demo", *[f"{'x' * 240}-{number}" for number in range(63)])
    assert answer.status == 200, answer
    assert [grant["credential"] for grant in answer.document["grants"]] == ["demo"]
    assert len(answer.document["refusals"]) == 63


@pytest.mark.attack(twin="test_a_body_of_many_names_is_answered")
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


@pytest.mark.attack(twin="test_each_namespace_is_granted_what_is_its_own")
@pytest.mark.parametrize(
    "name", ["team-b/secret-of-b", "../team-b/secret-of-b", "secret-of-b", "demo\u0000", "DEMO", "*"]
)
def test_a_name_that_would_lead_elsewhere(lab, pod, name):
    answer = lab.grant(pod, name)
    assert answer.document["grants"] == []
    assert answer.document["refusals"][0]["reason"] == "CredentialNotFound"


@pytest.mark.attack(twin="test_an_account_that_the_credential_admits")
def test_an_account_that_the_credential_does_not_admit(lab, pod):
    document = lab.grant(pod, "picky").document
    assert [refusal["reason"] for refusal in document["refusals"]] == ["ServiceAccountNotAllowed"]
    assert document["grants"] == []


def test_an_account_that_the_credential_admits(lab):
    lab.apply({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "other", "namespace": "team-a"}})
    lab.add_pod("team-a", "admitted", "other")
    assert_granted(lab.grant(lab.pod_token("team-a", "admitted", "other"), "picky"))


# --- the controller's door --------------------------------------------------------------------------------------


@pytest.fixture
def door(lab):
    """The controller itself is let in before and after."""

    def enter():
        answer = lab.ask("/v1/handshakes", handshake_body(lab), controller_token(lab))
        assert (answer.status, answer.document["organization"]) == (200, OURS), answer

    enter()
    yield
    enter()


def test_the_controller_is_let_in(lab):
    answer = lab.ask("/v1/handshakes", handshake_body(lab), controller_token(lab))
    assert (answer.status, answer.document["organization"]) == (200, OURS), answer
    assert unsigned(answer.document["assertion"])[1]["sub"] == f"organization:{OURS}"


@pytest.mark.attack(twin="test_the_controller_is_let_in")
def test_a_pod_at_the_controllers_door(lab, pod, door):
    assert_rejected(lab.ask("/v1/handshakes", handshake_body(lab), pod))
    other = lab.pod_token("team-a", "kick", audience="wi-issuer-controller")
    assert_rejected(lab.ask("/v1/handshakes", handshake_body(lab), other), 403, "NotTheController")


@pytest.mark.attack(twin="test_the_controller_is_let_in")
def test_the_controllers_account_with_the_pods_audience(lab, door):
    token = controller_token(lab, audience="wi-issuer")
    assert_rejected(lab.ask("/v1/handshakes", handshake_body(lab), token))


@pytest.mark.attack(twin="test_the_controller_is_let_in")
def test_an_account_of_the_controllers_name_elsewhere(lab, door):
    token = controller_token(lab, "team-b")
    assert_rejected(lab.ask("/v1/handshakes", handshake_body(lab), token), 403, "NotTheController")


@pytest.mark.attack(twin="test_the_controller_is_let_in")
def test_an_unbound_token_of_the_controllers_account(lab, door):
    token = lab.mint_token("wi-system", CONTROLLER, audience="wi-issuer-controller")
    assert_rejected(lab.ask("/v1/handshakes", handshake_body(lab), token))


@pytest.mark.attack(twin="test_the_controller_is_let_in")
@pytest.mark.parametrize("changes", [{"generation": 99}, {"generation": 0}, {"uid": "another"}])
def test_a_handshake_about_another_state_of_the_config(lab, door, changes):
    answer = lab.ask("/v1/handshakes", handshake_body(lab, **changes), controller_token(lab))
    assert_rejected(answer, 409, "StaleGeneration")


@pytest.mark.attack(twin="test_the_controller_is_let_in")
def test_a_captured_handshake_replayed_after_the_config_changed(lab, door):
    captured = handshake_body(lab)
    lab.apply(config("azure", clientId=OTHER_CLIENT))
    try:
        lab.wait(
            lambda: lab.ask("/v1/handshakes", handshake_body(lab), controller_token(lab)).status == 200, "the change"
        )
        assert_rejected(lab.ask("/v1/handshakes", captured, controller_token(lab)), 409, "StaleGeneration")
    finally:
        lab.apply(config("azure"))
        lab.wait(
            lambda: lab.ask("/v1/handshakes", handshake_body(lab), controller_token(lab)).status == 200, "the way back"
        )


@pytest.mark.attack(twin="test_the_controller_is_let_in")
@pytest.mark.parametrize(
    "changes", [{"organization": THEIRS}, {"audience": "x"}, {"clientId": "x"}, {"generation": "1"}]
)
def test_a_handshake_that_brings_its_own_claims(lab, door, changes):
    answer = lab.ask("/v1/handshakes", handshake_body(lab) | changes, controller_token(lab))
    assert_rejected(answer, 400, "MalformedRequest")


def test_the_public_documents_are_on_the_public_port(lab):
    assert lab.fetch("/.well-known/openid-configuration")["issuer"] == lab.url
    assert lab.fetch("/oauth2/jwks")["keys"]


@pytest.mark.attack(twin="test_the_public_documents_are_on_the_public_port")
def test_the_internal_doors_are_not_on_the_public_port(lab, pod):
    context = ssl.create_default_context(cadata=lab.authority.pem.decode())
    for path in ("/v1/grants", "/v1/handshakes", "/metrics", "/livez", "/"):
        with socket.create_connection(("127.0.0.1", lab.ports[0])) as plain:
            connection = context.wrap_socket(plain, server_hostname="localhost")
            head = f"POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {pod}\r\nContent-Length: 0\r\n\r\n"
            connection.sendall(head.encode())
            assert connection.recv(64).startswith(b"HTTP/1.1 404"), path


@pytest.mark.attack(twin="test_a_body_of_many_names_is_answered")
def test_a_body_that_is_too_large_or_never_ends(lab, pod):
    assert lab.ask("/v1/grants", {"credentials": ["x" * 70_000]}, pod).status == 413
    with socket.create_connection(("127.0.0.1", lab.ports[1])) as plain:
        connection = lab.grants_context().wrap_socket(plain, server_hostname=GRANTS_NAME)
        head = "POST /v1/grants HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 40\r\n"
        connection.sendall(f"{head}Authorization: Bearer {pod}\r\n\r\n{{".encode())
        connection.settimeout(15)
        assert connection.recv(64).startswith(b"HTTP/1.1 408")
