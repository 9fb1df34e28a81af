"""The controller's metrics: what checks find, what there is, and no label that a tenant could make its own."""

from types import SimpleNamespace

import pytest
from prometheus_client import CollectorRegistry

from wi_operator.core.clock import FrozenClock
from wi_operator.federation.diagnosis import entra, keyvault
from wi_operator.federation.diagnosis.base import DiagnosedError
from wi_operator.index.store import Index
from wi_operator.reconcile.gather import Gatherer
from wi_operator.reconcile.metrics import APPS_SHOWN, AppMetrics, CheckMetrics, ObjectMetrics, WorkMetrics
from wi_operator.reconcile.queue import KeyedQueue, Ref
from wi_operator.reconcile.store import Store

CONFIG, CREDENTIAL = "WorkloadIdentityConfig", "SecretProviderCredential"
WRONG_SUBJECT = entra.ROWS["AADSTS700213"].diagnose()
HOSTILE = ('x"} 1\nwi_forged 1', "Reason" * 400, "\x00", "Ünbekannt", 'a="b"')


@pytest.fixture
def registry():
    return CollectorRegistry()


@pytest.fixture
def clock():
    return FrozenClock()


def item(name="azure", ready=None, **spec):
    conditions = [{"type": "Ready", **ready}] if ready else []
    return {
        "metadata": {"name": name, "namespace": "team-a", "uid": name, "resourceVersion": "1", "generation": 1},
        "spec": {"provider": "Azure", "azure": {"tenantId": "t", "clientId": "c"}, **spec},
        "status": {"conditions": conditions},
    }


class Cloud:
    """A handshaker that takes two seconds for each step."""

    def __init__(self, clock):
        self.clock, self.assertion_failure, self.failure, self.vault_failure = clock, None, None, None

    def _step(self, failure):
        self.clock.advance(2.0)
        if failure:
            raise DiagnosedError(failure)

    async def request_assertion(self, _):
        self._step(self.assertion_failure)
        return SimpleNamespace(issuer="i", subject="s", audience="a", organization="o", documents=None, disputed="")

    async def exchange(self, *_):
        self._step(self.failure)

    async def probe_vault(self, *_):
        self._step(self.vault_failure)
        return "Vault answers."


class Published:
    async def check(self, *_, asked):
        return "published"


@pytest.fixture
def store():
    store = Store()
    store.put("Namespace", {"metadata": {"name": "team-a", "uid": "ns", "resourceVersion": "1"}})
    store.put(CONFIG, item(default=True))
    return store


@pytest.fixture
def cloud(clock):
    return Cloud(clock)


@pytest.fixture
def gatherer(store, cloud, clock, registry):
    return Gatherer(store, cloud, Published(), "https://issuer.example", metrics=CheckMetrics(registry, clock))


async def test_a_handshake_is_timed_from_the_issuer_to_the_cloud(gatherer, registry, clock):
    await gatherer.gather_config(item())
    value = registry.get_sample_value
    assert value("wi_handshake_duration_seconds_sum", {"outcome": "succeeded"}) == 4.0
    assert value("wi_handshake_last_success_timestamp_seconds") == clock.now()
    assert value("wi_handshake_duration_seconds_count", {"outcome": "failed"}) == 0


async def test_a_failed_handshake_is_counted_by_reason_wherever_it_fails(gatherer, registry, cloud):
    cloud.failure = WRONG_SUBJECT
    await gatherer.gather_config(item())
    cloud.failure, cloud.assertion_failure = None, entra.ROWS["AADSTS700016"].diagnose()
    await gatherer.gather_config(item())
    value = registry.get_sample_value
    assert value("wi_handshake_failures_total", {"reason": WRONG_SUBJECT.reason}) == 1
    assert value("wi_handshake_failures_total", {"reason": cloud.assertion_failure.reason}) == 1
    assert value("wi_handshake_duration_seconds_count", {"outcome": "failed"}) == 2
    assert value("wi_handshake_last_success_timestamp_seconds") == 0


async def test_a_vault_check_likewise(gatherer, registry, cloud, store):
    credential = item("demo", provider="AzureKeyVault", azureKeyVault={"vaultUrl": "https://v.vault.azure.net"})
    await gatherer.gather_credential(credential, asked=False)
    cloud.vault_failure = keyvault.WRONG_TENANT.diagnose()
    await gatherer.gather_credential(credential, asked=False)
    value = registry.get_sample_value
    assert value("wi_vault_check_duration_seconds_count", {"outcome": "succeeded"}) == 1
    assert value("wi_vault_check_failures_total", {"reason": cloud.vault_failure.reason}) == 1


async def test_an_asked_test_is_a_handshake_too(gatherer, registry, cloud, store):
    store.put(CONFIG, item(ready={"status": "True", "reason": "Succeeded", "observedGeneration": 1}, default=True))
    cloud.failure = WRONG_SUBJECT
    credential = item("demo", provider="AzureKeyVault", azureKeyVault={"vaultUrl": "https://v.vault.azure.net"})
    config = store.config_item(next(iter(store.index.configs)))
    config["status"]["conditions"].append(
        {"type": "HandshakeSucceeded", "status": "True", "reason": "Succeeded", "observedGeneration": 1}
    )
    found = await gatherer.gather_credential(credential, asked=True)
    assert found.outcome.asked_handshake is not None
    assert registry.get_sample_value("wi_handshake_failures_total", {"reason": WRONG_SUBJECT.reason}) == 1


def test_objects_are_counted_by_readiness_and_reason(registry, store):
    store.put(CONFIG, item("ok", {"status": "True", "reason": "Succeeded"}))
    store.put(CREDENTIAL, item("one", {"status": "False", "reason": "VaultThrottled"}))
    store.put(CREDENTIAL, item("two", {"status": "False", "reason": "VaultThrottled"}))
    registry.register(ObjectMetrics(store))

    def count(kind, ready, reason):
        return registry.get_sample_value("wi_objects", {"kind": kind, "ready": ready, "reason": reason})

    assert count(CONFIG, "True", "Succeeded") == 1
    assert count(CONFIG, "Unknown", "Progressing") == 1
    assert count(CREDENTIAL, "False", "VaultThrottled") == 2


def test_a_status_that_somebody_else_wrote_adds_one_label(registry, store):
    for number, text in enumerate(HOSTILE):
        store.put(CONFIG, item(f"c{number}", {"status": text, "reason": text}))
    registry.register(ObjectMetrics(store))
    (family,) = registry.collect()
    assert {(s.labels["ready"], s.labels["reason"]) for s in family.samples} == {
        ("Unknown", "Other"),
        ("Unknown", "Progressing"),
    }


def test_a_foreign_reason_of_a_check_is_other(registry, clock):
    checks = CheckMetrics(registry, clock).handshakes
    for text in HOSTILE:
        checks.count(1.0, text)
    assert registry.get_sample_value("wi_handshake_failures_total", {"reason": "Other"}) == len(HOSTILE)


def test_only_the_apps_with_the_most_organizations_are_shown(registry):
    index = Index()
    for number in range(APPS_SHOWN * 3):
        namespace = f"n{number:03}"
        index.put_namespace({"metadata": {"name": namespace, "uid": namespace}})
        index.put_config(_config_of(namespace, f"app-{number:03}"))
        index.put_config(_config_of(namespace, "shared", name="two"))
    registry.register(AppMetrics(index))
    used = next(family for family in registry.collect() if family.name == "wi_federated_credentials_in_use")
    assert len(used.samples) == APPS_SHOWN
    assert (used.samples[0].labels["client"], used.samples[0].value) == ("shared", APPS_SHOWN * 3)


def _config_of(namespace, client, name="azure"):
    azure = {"tenantId": "t", "clientId": client}
    metadata = {"namespace": namespace, "name": name, "uid": namespace + name}
    return {"metadata": metadata, "spec": {"provider": "Azure", "azure": azure}}


def test_the_queue_tells_depth_and_lag_while_it_leads(registry, clock):
    queue, leads = KeyedQueue(clock, 4), [True]
    one, two, three = (Ref(CONFIG, "team-a", name) for name in ("a", "b", "c"))
    registry.register(WorkMetrics(queue, lambda: leads[0], lambda: 0, lambda: None, 60.0))
    queue.enqueue(one)
    queue.enqueue(two, 1.0)
    queue.enqueue(three, 100.0)
    clock.advance(5.0)

    def states():
        family = next(family for family in registry.collect() if family.name == "wi_controller_queue_objects")
        return {sample.labels["state"]: sample.value for sample in family.samples}

    assert states() == {"scheduled": 1, "due": 2, "waiting": 0, "running": 0}
    assert registry.get_sample_value("wi_controller_queue_lag_seconds") == 5.0
    assert queue.schedule.take(clock.now()) == one
    assert states() == {"scheduled": 1, "due": 1, "waiting": 0, "running": 1}
    assert registry.get_sample_value("wi_controller_queue_lag_seconds") == 4.0
    leads[0] = False
    assert states() == {}
    assert registry.get_sample_value("wi_controller_leader") == 0


def test_publication_is_silent_before_the_first_look(registry, clock):
    found = [None]
    registry.register(WorkMetrics(KeyedQueue(clock, 4), lambda: True, lambda: 0, lambda: found[0], 60.0))
    assert registry.get_sample_value("wi_jwks_published_match") is None
    for found[0], value in ((True, 1), (False, 0)):
        assert registry.get_sample_value("wi_jwks_published_match") == value
