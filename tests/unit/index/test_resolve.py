"""From a reference's name to a credential and its config, or to the reason why not."""

import pytest

from wi_operator.index.resolve import Link, Refusal, check_service_account, resolve
from wi_operator.index.store import Index


def make(*, configs=(), credentials=()) -> Index:
    index = Index()
    for name, spec in configs:
        index.put_config({"metadata": {"namespace": "a", "name": name}, "spec": {"provider": "Azure"} | spec})
    for name, spec in credentials:
        index.put_credential(
            {"metadata": {"namespace": "a", "name": name}, "spec": {"provider": "AzureKeyVault"} | spec}
        )
    return index


def reason(index: Index, name: str) -> str:
    outcome = resolve(index, "a", name)
    return outcome.reason if isinstance(outcome, Refusal) else outcome.config.key.name


DEFAULT = {"default": True}


@pytest.mark.parametrize(
    ("configs", "credentials", "name", "expected"),
    [
        ([("c", DEFAULT)], [("s", {})], "s", "c"),
        ([("c", {}), ("d", DEFAULT)], [("s", {"workloadIdentityRef": {"name": "c"}})], "s", "c"),
        ([("c", DEFAULT)], [("s", {})], "t", "CredentialNotFound"),
        ([("c", {})], [("s", {})], "s", "ConfigNotFound"),
        ([("c", DEFAULT)], [("s", {"workloadIdentityRef": {"name": "x"}})], "s", "ConfigNotFound"),
        ([("c", DEFAULT), ("d", DEFAULT)], [("s", {})], "s", "AmbiguousDefault"),
        ([("c", DEFAULT)], [("s", DEFAULT)], "", "c"),
        ([("c", DEFAULT)], [("s", {})], "", "NoDefaultCredential"),
        ([("c", DEFAULT)], [("s", DEFAULT), ("t", DEFAULT)], "", "AmbiguousDefault"),
        (
            [("c", DEFAULT | {"provider": "AWS"})],
            [("s", {"workloadIdentityRef": {"name": "c"}})],
            "s",
            "ProviderMismatch",
        ),
        ([("c", DEFAULT)], [("s", {"authMethod": "ClientSecret"})], "s", "NotSupportedYet"),
    ],
)
def test_a_name_resolves_or_says_why(configs, credentials, name, expected):
    assert reason(make(configs=configs, credentials=credentials), name) == expected


def test_every_refusal_says_what_to_do():
    outcome = resolve(make(), "a", "nope")
    assert isinstance(outcome, Refusal)
    assert "kubectl -n a get spcred" in outcome.message


def test_what_is_deleted_is_gone():
    index = make(configs=[("c", DEFAULT)], credentials=[("s", {})])
    index.drop_credential({"metadata": {"namespace": "a", "name": "s"}})
    assert reason(index, "s") == "CredentialNotFound"


@pytest.mark.parametrize(
    ("allowed", "account", "is_refused"), [([], "x", False), (["x"], "x", False), (["y"], "x", True)]
)
def test_an_empty_list_allows_every_account(allowed, account, is_refused):
    index = make(configs=[("c", DEFAULT)], credentials=[("s", {"allowedServiceAccounts": allowed})])
    link = resolve(index, "a", "s")
    assert isinstance(link, Link)
    assert (check_service_account(link.credential, account) is not None) is is_refused
