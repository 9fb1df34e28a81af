"""The store's idea of what a change means, and the reconciler's way of writing; the API server is a fake."""

import copy
import random

import pytest

from wi_operator.cluster.client import KubernetesClient
from wi_operator.cluster.errors import ConflictError, NotFoundError, UnreachableError
from wi_operator.core.clock import FrozenClock
from wi_operator.core.secret import SecretValue
from wi_operator.federation.diagnosis import grants, issuer
from wi_operator.federation.publication import Documents
from wi_operator.reconcile.catch_up import catch_up
from wi_operator.reconcile.decide import ConfigOutcome, CredentialOutcome, mirror
from wi_operator.reconcile.gather import ConfigFacts, CredentialFacts, Gatherer
from wi_operator.reconcile.handshake import Granted, Handshaker, LaggingError
from wi_operator.reconcile.queue import KeyedQueue, Ref
from wi_operator.reconcile.reconciler import Reconciler
from wi_operator.reconcile.store import Store, is_judged

CONFIG, CREDENTIAL = "WorkloadIdentityConfig", "SecretProviderCredential"
AZURE, DEMO = Ref(CONFIG, "team-a", "azure"), Ref(CREDENTIAL, "team-a", "demo")
NAMESPACE = {"metadata": {"name": "team-a", "uid": "ns-uid"}}
FEDERATION = {"issuer": "https://issuer.example", "subject": "organization:o", "audience": "a", "organization": "o"}


def config(**metadata):
    basic = {"name": "azure", "namespace": "team-a", "uid": "u1", "resourceVersion": "1", "generation": 1}
    return {
        "metadata": {**basic, **metadata},
        "spec": {"provider": "Azure", "azure": {"tenantId": "t", "clientId": "c"}},
    }


def credential(**metadata):
    basic = {"name": "demo", "namespace": "team-a", "uid": "u2", "resourceVersion": "1", "generation": 1}
    spec = {"provider": "AzureKeyVault", "workloadIdentityRef": {"name": "azure"}, "azureKeyVault": {"vaultUrl": "v"}}
    return {"metadata": {**basic, **metadata}, "spec": spec}


class FakeGatherer:
    def __init__(self, store):
        self.store, self.failure, self.checks = store, None, []

    async def gather_config(self, item, *, asked):
        self.checks.append(item["metadata"]["name"])
        if isinstance(self.failure, Exception):
            raise self.failure
        return ConfigFacts(ConfigOutcome(self.failure, proof="ok"), FEDERATION)

    async def gather_credential(self, item, *, asked, patient):
        self.checks.append(f"{item['metadata']['name']} asked={asked}")
        if isinstance(self.failure, Exception) and patient:
            raise self.failure
        found = self.store.config_item(next(iter(self.store.index.configs)))
        outcome = CredentialOutcome(resolved=("Resolved", "r"), handshake=mirror(found), vault="v")
        return CredentialFacts(outcome, self.store.index.configs[next(iter(self.store.index.configs))])

    def forget(self, uid):
        self.checks.append(f"forgot {uid}")


class Published:
    async def check(self, issuer, documents, *, asked):
        return "published"


class FakeApi:
    def __init__(self):
        self.writes, self.events, self.error = [], [], None
        self.items = {}

    async def apply(self, path, body, *, manager):
        assert manager == "workload-identity-operator"
        if self.error:
            raise self.error
        self.writes.append((path, copy.deepcopy(body)))
        item = copy.deepcopy(self.items[path.split("/")[-2]])
        item["status"] = body["status"]
        item["metadata"]["resourceVersion"] = str(len(self.writes) + 1)
        return item

    async def create(self, path, body):
        self.events.append((path, body["reason"]))
        if self.error:
            raise self.error


@pytest.fixture
def api():
    return FakeApi()


@pytest.fixture
def reconciler(api):
    clock, store = FrozenClock(), Store()
    api.items = {"azure": config(), "demo": credential()}
    return Reconciler(
        client=api,
        store=store,
        queue=KeyedQueue(clock, 4),
        gatherer=FakeGatherer(store),
        clock=clock,
        recheck_seconds=600.0,
        instance="pod",
        spread=random.Random(1),
    )


def due(reconciler):
    found = []
    while (ref := reconciler.queue.schedule.take(reconciler.clock.now())) is not None:
        reconciler.queue.schedule.finish(ref)
        found.append(ref)
    return sorted(found)


async def test_an_object_is_judged_written_once_and_told_once(reconciler, api):
    reconciler.observe("Namespace", NAMESPACE)
    reconciler.observe(CONFIG, config())
    assert due(reconciler) == [AZURE]
    delay = await reconciler.reconcile(AZURE)
    assert 540 <= delay <= 660
    ((path, body),) = api.writes
    assert path == "/apis/identity.crewai.com/v1alpha1/namespaces/team-a/workloadidentityconfigs/azure/status"
    assert body["metadata"] == {"name": "azure", "namespace": "team-a", "resourceVersion": "1"}
    assert set(body) == {"apiVersion", "kind", "metadata", "status"}
    assert api.events == [("/api/v1/namespaces/team-a/events", "Succeeded")]
    assert due(reconciler) == []
    await reconciler.reconcile(AZURE)
    assert len(api.writes) == 1


async def test_our_own_write_seen_by_the_watch_is_no_work(reconciler, api):
    reconciler.observe(CONFIG, config())
    due(reconciler)
    await reconciler.reconcile(AZURE)
    reconciler.observe(CONFIG, copy.deepcopy(reconciler.store.items[AZURE]))
    assert due(reconciler) == []


@pytest.mark.parametrize(
    "change", [{"generation": 2}, {"annotations": {"identity.crewai.com/test-connection": "x"}}, {"uid": "u9"}]
)
async def test_a_wish_is_work_now(reconciler, change):
    reconciler.observe(CONFIG, config())
    due(reconciler)
    reconciler.observe(CONFIG, config(labels={"a": "b"}, resourceVersion="2"))
    assert due(reconciler) == []
    reconciler.observe(CONFIG, config(**change))
    assert due(reconciler) == [AZURE]


async def test_credentials_are_looked_at_when_their_config_changes_its_mind(reconciler):
    reconciler.observe(CREDENTIAL, credential())
    reconciler.observe(CONFIG, config())
    assert due(reconciler) == [DEMO, AZURE]
    await reconciler.reconcile(AZURE)
    assert due(reconciler) == [DEMO]
    await reconciler.reconcile(DEMO)
    assert due(reconciler) == []
    reconciler.lose(CONFIG, config())
    assert due(reconciler) == [DEMO]
    assert await reconciler.reconcile(AZURE) is None


async def test_a_namespace_that_changes_its_organization_is_judged_anew(reconciler):
    reconciler.observe("Namespace", NAMESPACE)
    reconciler.observe(CONFIG, config())
    due(reconciler)
    reconciler.observe("Namespace", NAMESPACE)
    assert due(reconciler) == []
    annotations = {"identity.crewai.com/organization": "3f2504e0-4f89-41d3-9a0c-0305e82c3301"}
    reconciler.observe("Namespace", {"metadata": {**NAMESPACE["metadata"], "annotations": annotations}})
    assert due(reconciler) == [AZURE]


def succeed(reconciler, api):
    """Return the reconciler of a process that starts when this one ends."""
    return Reconciler(
        client=api,
        store=Store(),
        queue=KeyedQueue(reconciler.clock, 4),
        gatherer=reconciler.gatherer,
        clock=reconciler.clock,
        recheck_seconds=600.0,
        instance="pod-2",
        spread=random.Random(1),
    )


async def test_after_a_start_objects_that_are_ready_are_spread(reconciler, api):
    reconciler.observe(CONFIG, config())
    await reconciler.reconcile(AZURE)
    judged = reconciler.store.items[AZURE]
    assert is_judged(judged)
    successor = succeed(reconciler, api)
    successor.observe(CONFIG, judged)
    reconciler.clock.advance(5)
    assert due(successor) == []
    reconciler.clock.advance(55)
    assert due(successor) == [AZURE]
    await successor.reconcile(AZURE)
    assert len(api.writes) == 1


async def test_after_a_start_those_that_are_not_ready_are_looked_at_soon(reconciler, api):
    reconciler.gatherer.failure = grants.UNREACHABLE.diagnose(detail="x")
    reconciler.observe(CONFIG, config())
    await reconciler.reconcile(AZURE)
    successor = succeed(reconciler, api)
    successor.observe(CONFIG, reconciler.store.items[AZURE])
    assert due(successor) == []
    reconciler.clock.advance(5)
    assert due(successor) == [AZURE]


async def test_an_issuer_without_its_url_is_asked_again_soon(reconciler, api):
    """In a rollout that sets the URL the replica that answers may be an earlier one."""
    reconciler.gatherer.failure = issuer.URL_MISSING.diagnose()
    reconciler.observe(CONFIG, config())
    assert await reconciler.reconcile(AZURE) <= 22
    reconciler.gatherer.failure = issuer.KEY_LOST.diagnose()
    assert await reconciler.reconcile(AZURE) >= 540


async def test_a_write_that_lost_the_race_is_an_error_and_leaves_no_trace(reconciler, api):
    reconciler.observe(CONFIG, config())
    api.error = ConflictError("PATCH", 409, "")
    with pytest.raises(ConflictError):
        await reconciler.reconcile(AZURE)
    assert api.events == []
    assert "status" not in reconciler.store.items[AZURE]


async def test_an_object_that_is_gone_is_forgotten(reconciler, api):
    reconciler.observe(CONFIG, config())
    api.error = NotFoundError("PATCH", 404, "")
    assert await reconciler.reconcile(AZURE) is None
    assert AZURE not in reconciler.store.items


async def test_an_event_that_is_refused_hinders_nothing(reconciler, api):
    reconciler.observe(CONFIG, config())

    async def refuse(path, body):
        raise UnreachableError("POST", 0, "")

    api.create = refuse
    assert await reconciler.reconcile(AZURE) is not None
    assert len(api.writes) == 1


async def test_a_lag_between_issuer_and_controller_is_no_failure(reconciler, api):
    reconciler.observe(CONFIG, config())
    reconciler.gatherer.failure = LaggingError()
    assert await reconciler.reconcile(AZURE) == 1.0
    assert api.writes == []


async def test_an_object_made_anew_does_not_inherit_failures(reconciler, api):
    reconciler.observe(CONFIG, config())
    reconciler.gatherer.failure = grants.UNREACHABLE.diagnose(detail="x")
    for _ in range(3):
        await reconciler.reconcile(AZURE)
    reconciler.observe(CONFIG, config(uid="u9"))
    await reconciler.reconcile(AZURE)
    assert api.writes[-1][1]["status"]["handshake"]["consecutiveFailures"] == 1


async def test_an_asked_test_of_a_credential_looks_at_its_config_too(reconciler, api):
    api.items["demo"] = credential(annotations={"identity.crewai.com/test-connection": "x"})
    reconciler.observe(CONFIG, config())
    reconciler.observe(CREDENTIAL, api.items["demo"])
    due(reconciler)
    await reconciler.reconcile(DEMO)
    assert reconciler.gatherer.checks == ["demo asked=True"]
    assert due(reconciler) == [AZURE]


@pytest.mark.parametrize(
    ("public_url", "provider", "reason"),
    [
        ("", "Azure", "IssuerUrlMissing"),
        ("https://issuer.example", "GCP", "NotSupportedYet"),
    ],
)
async def test_obstacles_are_told_without_any_request(public_url, provider, reason, tmp_path):
    store = Store()
    store.put("Namespace", NAMESPACE)
    item = config()
    item["spec"]["provider"] = provider
    store.put(CONFIG, item)

    def never():
        raise AssertionError("no request may be made")

    gatherer = Gatherer(store, Handshaker("https://x", tmp_path / "none", (), never, never), Published(), public_url)
    facts = await gatherer.gather_config(item)
    assert facts.outcome.failure.reason == reason
    assert not facts.outcome.tested
    assert facts.federation["subject"] == "organization:ns-uid"
    assert facts.federation["issuer"] == public_url


async def test_an_implicit_organization_is_told(tmp_path):
    store = Store()
    store.put("Namespace", NAMESPACE)
    store.put(CONFIG, config())

    class Works:
        async def request_assertion(self, config):
            return granted()

        async def exchange(self, config, granted):
            return None

    facts = await Gatherer(store, Works(), Published(), "https://issuer.example").gather_config(config())
    assert "OrganizationImplicit" in facts.outcome.notes[0]
    annotated = {**NAMESPACE["metadata"], "annotations": {"identity.crewai.com/organization": "o"}}
    store.put("Namespace", {"metadata": annotated})
    facts = await Gatherer(store, Works(), Published(), "https://issuer.example").gather_config(config())
    assert facts.outcome.notes == ()


def granted(organization="ns-uid", disputed=""):
    return Granted(
        SecretValue("fake"), "i", f"organization:{organization}", "a", organization, Documents(b"", b""), disputed
    )


@pytest.mark.parametrize(
    ("answer", "is_told", "is_behind"),
    [(granted("mine", "other"), True, False), (granted("mine"), False, True), (granted("other"), False, False)],
)
async def test_an_organization_that_the_issuer_does_not_believe(answer, is_told, is_behind):
    store = Store()
    annotated = {**NAMESPACE["metadata"], "annotations": {"identity.crewai.com/organization": "other"}}
    store.put("Namespace", {"metadata": annotated})
    store.put(CONFIG, config())

    class Answers:
        async def request_assertion(self, config):
            return answer

        async def exchange(self, config, granted):
            return None

    facts = await Gatherer(store, Answers(), Published(), "https://issuer.example").gather_config(config())
    assert (bool(facts.disputed), facts.is_behind) == (is_told, is_behind)
    assert facts.outcome.notes == ((facts.disputed,) if is_told else ())
    if is_told:
        assert facts.disputed.startswith(
            "OrganizationDisputed: The organization of namespace 'team-a' was set to 'other'"
        )
        assert "'mine' counts on" in facts.disputed


async def test_a_namespace_that_is_not_known_yet_is_waited_for(tmp_path):
    handshaker = Handshaker("https://x", tmp_path / "none", (), str, str)
    gatherer = Gatherer(Store(), handshaker, Published(), "https://issuer.example")
    with pytest.raises(LaggingError):
        await gatherer.gather_config(config())


async def test_catching_up_knows_everything_and_forgets_what_is_gone(reconciler):
    pages = {
        "/api/v1/namespaces": [[NAMESPACE]],
        "/apis/identity.crewai.com/v1alpha1/workloadidentityconfigs": [[config()], [config(name="second", uid="u3")]],
        "/apis/identity.crewai.com/v1alpha1/secretprovidercredentials": [[]],
    }

    class Lists(KubernetesClient):
        def __init__(self):
            """No connection: pages are all there is."""

        async def get(self, path, **query):
            number = int(query.get("continue", "0"))
            following = str(number + 1) if number + 1 < len(pages[path]) else ""
            return {"metadata": {"continue": following, "resourceVersion": "1"}, "items": pages[path][number]}

    reconciler.observe(CREDENTIAL, credential())
    await catch_up(Lists(), reconciler)
    assert due(reconciler) == [AZURE, Ref(CONFIG, "team-a", "second")]
    assert DEMO not in reconciler.store.items
    assert "team-a" in reconciler.store.index.organizations


async def test_a_disputed_organization_is_told_once_by_an_event_and_stays_in_the_message(reconciler, api, monkeypatch):
    reconciler.observe(CONFIG, api.items["azure"])

    async def gather(item, *, asked):
        text = "OrganizationDisputed: planted"
        return ConfigFacts(ConfigOutcome(None, proof="ok", notes=(text,)), FEDERATION, disputed=text)

    monkeypatch.setattr(reconciler.gatherer, "gather_config", gather, raising=False)
    for _ in range(2):
        await reconciler.reconcile(AZURE)
    assert [reason for _, reason in api.events].count("OrganizationDisputed") == 1
    (ready,) = [c for c in api.writes[-1][1]["status"]["conditions"] if c["type"] == "Ready"]
    assert (ready["status"], ready["message"]) == (
        "True",
        "ok Not tested: IssuerPublished. OrganizationDisputed: planted",
    )


@pytest.mark.parametrize(("is_behind", "least", "most"), [(True, 9, 11), (False, 500, 700)])
async def test_an_issuer_that_is_behind_is_asked_again_soon(reconciler, api, monkeypatch, is_behind, least, most):
    reconciler.observe(CONFIG, api.items["azure"])

    async def gather(item, *, asked):
        return ConfigFacts(ConfigOutcome(None, proof="ok"), FEDERATION, is_behind=is_behind)

    monkeypatch.setattr(reconciler.gatherer, "gather_config", gather, raising=False)
    assert least <= await reconciler.reconcile(AZURE) <= most


async def test_a_changed_organization_is_told_once_by_an_event(reconciler, api, monkeypatch):
    reconciler.observe("WorkloadIdentityConfig", api.items["azure"])
    ref = Ref("WorkloadIdentityConfig", "team-a", "azure")
    await reconciler.reconcile(ref)
    assert "OrganizationChanged" not in [reason for _, reason in api.events]
    changed = FEDERATION | {"subject": "organization:other", "organization": "other"}

    async def gather(item, *, asked):
        return ConfigFacts(ConfigOutcome(None, proof="ok"), changed)

    monkeypatch.setattr(reconciler.gatherer, "gather_config", gather, raising=False)
    for _ in range(2):
        await reconciler.reconcile(ref)
    assert [reason for _, reason in api.events].count("OrganizationChanged") == 1
    assert api.writes[-1][1]["status"]["federation"]["subject"] == "organization:other"
