"""The issuer's two listeners over the network: documents, problems, who may ask what."""

import base64
import json

import jwt
import pytest
from aiohttp.test_utils import TestClient, TestServer
from prometheus_client import CollectorRegistry

from wi_operator.cluster.errors import NotFoundError, UnreachableError
from wi_operator.core.clock import FrozenClock, SystemClock
from wi_operator.federation.keys import generate_key_set
from wi_operator.federation.timetable import first_timetable
from wi_operator.index.objects import Organization
from wi_operator.index.store import Index
from wi_operator.issuer.app import GrantsFace, PublicFace
from wi_operator.issuer.callers import CallerReviews
from wi_operator.issuer.grants import Grants
from wi_operator.issuer.handshakes import Handshakes
from wi_operator.issuer.keyring import Keyring, MountedKeys
from wi_operator.issuer.metrics import RequestMetrics
from wi_operator.issuer.settings import IssuerSettings

URL = "https://identity.example.com"
CLOCK = SystemClock()
AZURE = {"tenantId": "11111111-1111-4111-8111-111111111111", "clientId": "22222222-2222-4222-8222-222222222222"}
CONFIG = {
    "metadata": {"namespace": "team-a", "name": "azure", "uid": "c-uid", "generation": 2},
    "spec": {"provider": "Azure", "default": True, "azure": AZURE},
}
CREDENTIAL = {
    "metadata": {"namespace": "team-a", "name": "demo", "uid": "s-uid", "generation": 1},
    "spec": {"provider": "AzureKeyVault", "azureKeyVault": {"vaultUrl": "https://demo.vault.azure.net"}},
}
NAMESPACE = {"metadata": {"name": "team-a", "uid": "0f9a3c5e-1111-4222-8333-444455556666"}}


class FakeKubernetes:
    """Token reviews by a table of tokens; one config to read."""

    def __init__(self) -> None:
        self.is_down = False

    async def create(self, path, body, **query):
        del query
        if self.is_down:
            raise UnreachableError(f"POST {path}", 0, "down")
        payload = json.loads(base64.urlsafe_b64decode(body["spec"]["token"].split(".")[1] + "=="))
        holder, _, audience = payload["who"].partition("@")
        if audience not in body["spec"]["audiences"]:
            return {"status": {"authenticated": False}}
        extra = {f"authentication.kubernetes.io/pod-{what}": ["p"] for what in ("name", "uid")}
        user = {"username": f"system:serviceaccount:{holder}", "extra": extra}
        return {"status": {"authenticated": True, "audiences": [audience], "user": user}}

    async def get(self, path, **query):
        del query
        if not path.endswith("/namespaces/team-a/workloadidentityconfigs/azure"):
            raise NotFoundError(f"GET {path}", 404, "not found")
        return CONFIG


@pytest.fixture(scope="module")
def key_set():
    return generate_key_set()


def mount_keys(folder, key_set):
    """Write Secret and ConfigMap as the kubelet mounts them."""
    for name, entry in key_set.render().items():
        (folder / "keys" / name).parent.mkdir(exist_ok=True)
        (folder / "keys" / name).write_bytes(entry)
    (folder / "state.json").write_text(first_timetable(key_set, CLOCK.now()).render())
    return MountedKeys(folder / "keys", folder)


@pytest.fixture
def keyring(tmp_path, key_set):
    ring = Keyring(mount_keys(tmp_path, key_set), CLOCK)
    ring.load()
    return ring


@pytest.fixture
async def public(keyring):
    async with TestClient(TestServer(PublicFace(IssuerSettings(URL), keyring, CLOCK).build_app())) as client:
        yield client


@pytest.fixture
def kubernetes():
    return FakeKubernetes()


def make_face(index, keyring, kubernetes, clock=CLOCK, **settings):
    settings = IssuerSettings(URL, **settings)
    return GrantsFace(
        CallerReviews(kubernetes, clock),
        Grants(index, keyring, settings, clock, lambda: "internal CA"),
        Handshakes(kubernetes, index, keyring, settings, clock),
        lambda: True,
    )


@pytest.fixture
async def grants(keyring, kubernetes):
    index = Index()
    index.put_config(CONFIG)
    index.put_credential(CREDENTIAL)
    index.put_namespace(NAMESPACE)
    face = make_face(index, keyring, kubernetes)
    async with TestClient(TestServer(face.build_app())) as client:
        yield client


def bearer(who: str) -> dict[str, str]:
    """A token that the fake API server knows to be ``<namespace>:<account>@<audience>``."""
    claims = {"who": who, "aud": [who.partition("@")[2]], "exp": CLOCK.now() + 600}
    payload = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return {"Authorization": f"Bearer h.{payload}.s"}


POD = bearer("team-a:worker@wi-issuer")
CONTROLLER = bearer("wi-system:wi-controller@wi-issuer-controller")
HANDSHAKE = {"namespace": "team-a", "name": "azure", "uid": "c-uid", "generation": 2}


async def test_discovery_names_exactly_five_members(public):
    answer = await public.get("/.well-known/openid-configuration")
    assert answer.status == 200
    assert await answer.json() == {
        "issuer": URL,
        "jwks_uri": f"{URL}/oauth2/jwks",
        "response_types_supported": ["id_token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256"],
    }


async def test_jwks_shows_public_members_only(public, key_set):
    answer = await public.get("/oauth2/jwks")
    (key,) = (await answer.json())["keys"]
    assert set(key) == {"use", "kty", "kid", "alg", "n", "e"}
    assert key["kid"] == key_set.keys[0].kid


async def test_an_unchanged_document_is_not_sent_again(public):
    first = await public.get("/oauth2/jwks")
    again = await public.get("/oauth2/jwks", headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status, await again.read()) == (304, b"")


@pytest.mark.parametrize("path", ["/", "/v1/grants", "/v1/handshakes", "/metrics", "/oauth2/jwks/"])
async def test_no_other_route_is_public(public, path):
    answer = await public.get(path)
    assert answer.status == 404
    assert answer.content_type == "application/problem+json"


async def test_without_an_issuer_url_documents_answer_503_with_the_remedy(keyring):
    async with TestClient(TestServer(PublicFace(IssuerSettings(""), keyring, CLOCK).build_app())) as client:
        for path in ("/.well-known/openid-configuration", "/oauth2/jwks"):
            answer = await client.get(path)
            assert answer.status == 503
            assert "issuer.url" in json.loads(await answer.read())["remedy"]


async def test_a_path_issuer_serves_below_its_path(keyring):
    settings = IssuerSettings(f"{URL}/tenants/one")
    async with TestClient(TestServer(PublicFace(settings, keyring, CLOCK).build_app())) as client:
        answer = await client.get("/tenants/one/.well-known/openid-configuration")
        assert (await answer.json())["jwks_uri"] == f"{URL}/tenants/one/oauth2/jwks"
        assert (await client.get("/.well-known/openid-configuration")).status == 404


async def test_a_pod_gets_a_grant_that_the_jwks_verifies(grants, public):
    answer = await grants.post("/v1/grants", json={"credentials": ["demo"]}, headers=POD)
    document = await answer.json()
    assert answer.status == 200
    key = jwt.PyJWKSet.from_dict(await (await public.get("/oauth2/jwks")).json()).keys[0]
    claims = jwt.decode(
        document["grants"][0]["assertion"], key, algorithms=["RS256"], audience="api://AzureADTokenExchange", issuer=URL
    )
    assert claims["sub"] == f"organization:{NAMESPACE['metadata']['uid']}"


async def test_each_answer_is_counted_by_its_door_and_outcome(keyring, kubernetes):
    index, registry = Index(), CollectorRegistry()
    index.put_namespace(NAMESPACE)
    face = make_face(index, keyring, kubernetes)
    face.metrics = RequestMetrics(registry)
    async with TestClient(TestServer(face.build_app())) as client:
        first = await client.post("/v1/grants", json={"credentials": ["demo"]}, headers=POD)
        known = POD | {"If-None-Match": first.headers["ETag"]}
        for path, headers in (("/v1/grants", known), ("/v1/grants", {}), ("/nowhere", POD)):
            await client.post(path, json={"credentials": ["demo"]}, headers=headers)
    samples = [sample for metric in registry.collect() for sample in metric.samples]
    counted = {tuple(s.labels.values()): s.value for s in samples if s.name == "wi_issuer_answers_total"}
    assert counted == {
        ("grants", "answered"): 1,
        ("grants", "unchanged"): 1,
        ("grants", "TokenRejected"): 1,
        ("internal", "NotFound"): 1,
    }


async def test_an_unchanged_grant_answers_304(grants):
    first = await grants.post("/v1/grants", json={"credentials": ["demo"]}, headers=POD)
    headers = POD | {"If-None-Match": first.headers["ETag"]}
    assert (await grants.post("/v1/grants", json={"credentials": ["demo"]}, headers=headers)).status == 304


@pytest.mark.parametrize(
    ("headers", "body", "status", "reason"),
    [
        ({}, {"credentials": ["demo"]}, 401, "TokenRejected"),
        (bearer("team-a:worker@other"), {"credentials": ["demo"]}, 401, "TokenRejected"),
        (CONTROLLER, {"credentials": ["demo"]}, 401, "TokenRejected"),
        (POD, {"credentials": ["demo"], "namespace": "team-b"}, 400, "MalformedRequest"),
        (POD, ["demo"], 400, "MalformedRequest"),
        (bearer("nowhere:worker@wi-issuer"), {"credentials": ["demo"]}, 403, "NamespaceUnknown"),
    ],
)
async def test_a_request_without_right_or_form_is_refused(grants, headers, body, status, reason):
    answer = await grants.post("/v1/grants", json=body, headers=headers)
    problem = await answer.json(content_type="application/problem+json")
    assert (answer.status, problem["reason"]) == (status, reason)
    assert problem["remedy"]


async def test_a_body_that_is_too_large_is_refused(grants):
    answer = await grants.post("/v1/grants", data=b" " * 70_000, headers=POD | {"Content-Type": "application/json"})
    assert answer.status == 413


async def test_a_silent_api_server_answers_503_and_keeps_known_callers(grants, kubernetes):
    assert (await grants.post("/v1/grants", json={"credentials": ["demo"]}, headers=POD)).status == 200
    kubernetes.is_down = True
    assert (await grants.post("/v1/grants", json={"credentials": ["demo"]}, headers=POD)).status == 200
    stranger = await grants.post("/v1/grants", json={"credentials": ["demo"]}, headers=bearer("team-a:new@wi-issuer"))
    assert stranger.status == 503


async def test_an_outage_of_the_api_server_is_never_told_as_a_refusal(keyring, kubernetes):
    """A refusal ends a pod's grant at once; 503 lets it go on with what it holds. As set by default, every ten seconds."""
    index, frozen = Index(), FrozenClock()
    index.put_namespace(NAMESPACE)
    index.put_config(CONFIG)
    index.put_credential(CREDENTIAL)
    async with TestClient(TestServer(make_face(index, keyring, kubernetes, frozen).build_app())) as client:

        async def ask():
            answer = await client.post("/v1/grants", json={"credentials": ["demo"]}, headers=POD)
            return answer.status, (await answer.json(content_type=None)).get("reason", "")

        assert await ask() == (200, "")
        kubernetes.is_down = True
        answers = []
        for _ in range(72):
            frozen.advance(10)
            answers.append(await ask())
        assert answers == [(200, "")] * 4 + [(503, "KubernetesUnavailable")] * 68
        kubernetes.is_down = False
        assert await ask() == (200, "")


async def test_the_controller_gets_a_handshake_of_five_minutes(grants):
    document = await (await grants.post("/v1/handshakes", json=HANDSHAKE, headers=CONTROLLER)).json()
    claims = jwt.decode(document["assertion"], options={"verify_signature": False})
    assert claims["exp"] - claims["iat"] == 300
    assert document["subject"] == claims["sub"] == f"organization:{NAMESPACE['metadata']['uid']}"


@pytest.mark.parametrize(
    ("headers", "change", "status", "reason"),
    [
        (POD, {}, 401, "TokenRejected"),
        (bearer("wi-system:wi-controller@wi-issuer"), {}, 401, "TokenRejected"),
        (bearer("team-a:worker@wi-issuer-controller"), {}, 403, "NotTheController"),
        (bearer("wi-system:wi-issuer@wi-issuer-controller"), {}, 403, "NotTheController"),
        (CONTROLLER, {"generation": 1}, 409, "StaleGeneration"),
        (CONTROLLER, {"uid": "other"}, 409, "StaleGeneration"),
        (CONTROLLER, {"name": "gone"}, 404, "ConfigNotFound"),
        (CONTROLLER, {"generation": "2"}, 400, "MalformedRequest"),
        (CONTROLLER, {"audience": "mine"}, 400, "MalformedRequest"),
    ],
)
async def test_nobody_else_gets_a_handshake(grants, headers, change, status, reason):
    answer = await grants.post("/v1/handshakes", json=HANDSHAKE | change, headers=headers)
    problem = await answer.json(content_type="application/problem+json")
    assert (answer.status, problem["reason"]) == (status, reason)


async def test_who_asks_at_the_allowed_rate_is_served(keyring, kubernetes):
    index = Index()
    index.put_namespace(NAMESPACE)
    frozen = FrozenClock()
    face = make_face(index, keyring, kubernetes, frozen, pod_rate=2.0, organization_rate=2.0)
    async with TestClient(TestServer(face.build_app())) as client:
        for _ in range(40):
            assert (await client.post("/v1/grants", json={"credentials": ["demo"]}, headers=POD)).status == 200
            frozen.advance(0.5)


@pytest.mark.attack(twin="test_who_asks_at_the_allowed_rate_is_served")
@pytest.mark.parametrize(("limit", "what"), [("pod_rate", "pod 'team-a/p'"), ("organization_rate", "organization")])
async def test_who_asks_without_end_is_told_when_to_come_back(keyring, kubernetes, limit, what):
    index = Index()
    index.put_namespace(NAMESPACE)
    frozen = FrozenClock()
    face = make_face(index, keyring, kubernetes, frozen, **{limit: 2.0})
    async with TestClient(TestServer(face.build_app())) as client:

        async def ask():
            return await client.post("/v1/grants", json={"credentials": ["demo"]}, headers=POD)

        assert [(await ask()).status for _ in range(12)] == [200] * 10 + [429] * 2
        refused = await ask()
        problem = await refused.json(content_type=None)
        assert (refused.headers["Retry-After"], problem["reason"]) == ("1", "TooManyRequests")
        assert what in problem["detail"]
        frozen.advance(1)
        assert (await ask()).status == 200


async def test_a_new_internal_ca_reaches_pods_that_hold_a_grant(keyring, kubernetes):
    index = Index()
    index.put_config(CONFIG)
    index.put_credential(CREDENTIAL)
    index.put_namespace(NAMESPACE)
    face = make_face(index, keyring, kubernetes)
    async with TestClient(TestServer(face.build_app())) as client:
        first = await client.post("/v1/grants", json={"credentials": ["demo"]}, headers=POD)
        assert (await first.json())["issuerCaBundle"] == "internal CA"
        face.grants.internal_ca = lambda: "internal CA and the next one"
        again = await client.post(
            "/v1/grants", json={"credentials": ["demo"]}, headers=POD | {"If-None-Match": first.headers["ETag"]}
        )
        assert (again.status, (await again.json())["issuerCaBundle"]) == (200, "internal CA and the next one")


@pytest.mark.parametrize("disputed", ["", "3f2504e0-4f89-41d3-9a0c-0305e82c3302"])
async def test_the_controller_is_told_of_an_organization_that_is_not_believed(keyring, kubernetes, disputed):
    index = Index()
    index.put_namespace(NAMESPACE)
    index.disputed = {"team-a": disputed} if disputed else {"team-b": "other"}
    async with TestClient(TestServer(make_face(index, keyring, kubernetes).build_app())) as client:
        document = await (await client.post("/v1/handshakes", json=HANDSHAKE, headers=CONTROLLER)).json()
    assert (document["organization"], document["disputed"]) == (NAMESPACE["metadata"]["uid"], disputed)


async def test_a_namespace_whose_organization_is_not_believed_gets_nothing(keyring, kubernetes):
    index = Index()
    index.organizations["team-a"] = Organization.UNVERIFIED
    face = make_face(index, keyring, kubernetes)
    async with TestClient(TestServer(face.build_app())) as client:
        for path, body, headers in (
            ("/v1/grants", {"credentials": ["demo"]}, POD),
            ("/v1/handshakes", HANDSHAKE, CONTROLLER),
        ):
            answer = await client.post(path, json=body, headers=headers)
            assert (answer.status, (await answer.json(content_type=None))["reason"]) == (503, "OrganizationUnverified")


async def test_grants_and_reported_kickoffs_are_counted_of_admitted_pods_only(keyring, kubernetes):
    index = Index()
    for put, item in ((index.put_config, CONFIG), (index.put_credential, CREDENTIAL), (index.put_namespace, NAMESPACE)):
        put(item)
    registry, face = CollectorRegistry(), make_face(index, keyring, kubernetes)
    face.metrics = RequestMetrics(registry)
    report = {"wi-kickoffs": "succeeded 120,SecretNotFound 340"}

    def value(name, **labels):
        return registry.get_sample_value(name, labels) or 0

    async with TestClient(TestServer(face.build_app())) as client:
        stranger = bearer("team-a:worker@elsewhere")
        assert (
            await client.post("/v1/grants", json={"credentials": ["demo"]}, headers=stranger | report)
        ).status == 401
        assert value("wi_kickoff_failures_total", reason="SecretNotFound") == 0
        body = {"credentials": ["demo", "nothing"]}
        first = await client.post("/v1/grants", json=body, headers=POD | report)
        await client.post("/v1/grants", json=body, headers=POD | {"If-None-Match": first.headers["ETag"]})
    assert value("wi_kickoff_failures_total", reason="SecretNotFound") == 1
    assert value("wi_kickoff_resolve_duration_seconds_count", outcome="succeeded") == 1
    granted = {
        outcome: value("wi_grants_total", outcome=outcome) for outcome in ("granted", "unchanged", "CredentialNotFound")
    }
    assert granted == {"granted": 1, "unchanged": 1, "CredentialNotFound": 2}
    assert value("wi_issuer_answers_total", door="grants", outcome="unchanged") == 1
    assert value("wi_issuer_answer_duration_seconds_count", door="grants") == 3
