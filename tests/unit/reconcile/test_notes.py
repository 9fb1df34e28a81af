"""Remarks in Ready's message, and the metric beside them."""

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from wi_operator.index.objects import ObjectKey
from wi_operator.index.store import Index
from wi_operator.reconcile import notes
from wi_operator.reconcile.metrics import AppMetrics

TENANT, CLIENT = "11111111-2222-4333-8444-55555555aaaa", "99999999-8888-4777-8666-55555555bbbb"


def config(namespace, *, client=CLIENT, name="azure"):
    return {
        "metadata": {"namespace": namespace, "name": name, "uid": f"u-{namespace}"},
        "spec": {"provider": "Azure", "azure": {"tenantId": TENANT, "clientId": client}},
    }


def make(count, **fields):
    index = Index()
    for number in range(count):
        annotations = {"identity.crewai.com/organization": f"org-{number}"}
        index.put_namespace({"metadata": {"name": f"n{number}", "uid": f"u{number}", "annotations": annotations}})
        index.put_config(config(f"n{number}", **fields))
    return index


def note(index):
    return [text for text in notes.of_config(index, next(iter(index.configs.values()))) if "Limit" in text]


@pytest.mark.parametrize(("count", "is_told"), [(1, False), (18, False), (19, True), (25, True)])
def test_more_organizations_than_an_app_takes_credentials_are_told(count, is_told):
    found = note(make(count))
    assert bool(found) is is_told
    if is_told:
        assert found[0].startswith(f"FederatedCredentialLimit: {count} organizations use app {CLIENT}")


def test_the_count_is_of_organizations_and_follows_every_change():
    index = make(19)
    index.put_config(config("n0", name="second"))
    assert len(index.organizations_of_app(index.configs[next(iter(index.configs))])) == 19
    # Written in another case it is the same app; another app is another one.
    index.put_config(config("n1", client=CLIENT.upper()))
    assert note(index)
    index.put_config(config("n1", client="99999999-8888-4777-8666-55555555cccc"))
    assert not note(index)
    index.put_config(config("n1"))
    index.drop_config(config("n2"))
    assert not note(index)
    index.put_namespace(
        {"metadata": {"name": "n3", "uid": "x", "annotations": {"identity.crewai.com/organization": "org-4"}}}
    )
    index.put_config(config("n2"))
    assert not note(index)


def test_the_metric_counts_the_same():
    registry = CollectorRegistry()
    index = make(3)
    registry.register(AppMetrics(index))
    text = generate_latest(registry).decode()
    assert f'wi_federated_credentials_in_use{{client="{CLIENT}",tenant="{TENANT}"}} 3.0' in text
    assert "wi_federated_credentials_limit 20.0" in text
    for key in list(index.configs):
        index.drop_config({"metadata": {"namespace": key.namespace, "name": key.name}})
    assert "client=" not in generate_latest(registry).decode()


@pytest.mark.parametrize(("is_default", "others", "count"), [(False, 2, 0), (True, 0, 0), (True, 1, 1)])
def test_a_second_default_of_the_credentials_is_told_on_the_defaults(is_default, others, count):
    index = Index()
    for number in range(others + 1):
        metadata = {"namespace": "team-a", "name": f"c{number}", "uid": f"u{number}", "generation": 1}
        index.put_credential(
            {"metadata": metadata, "spec": {"provider": "AzureKeyVault", "default": bool(number) or is_default}}
        )
    told = notes.of_credential(index, index.credentials[ObjectKey("team-a", "c0")])
    assert isinstance(told, tuple)
    assert len(told) == count
    assert all("AmbiguousDefault: " in each and "c1" in each for each in told)
