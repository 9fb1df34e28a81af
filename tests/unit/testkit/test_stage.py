"""The stage's pure parts: the Corefile is edited and comes back as it was; values merge block by block."""

import pytest

from wi_testkit.stage.clusters import check_kind
from wi_testkit.stage.dns import insert_block, remove_block
from wi_testkit.stage.errors import StageError
from wi_testkit.stage.install import merge

COREFILE = """.:53 {
    errors
    kubernetes cluster.local in-addr.arpa ip6.arpa {
        pods insecure
    }
    cache 5
}
"""
NAMES = {"login.microsoftonline.com": "entra.wi-emulators", "*.vault.azure.net": "keyvault.wi-emulators"}


def test_names_lead_to_services_of_the_clusters_own_zone():
    edited = insert_block(COREFILE, NAMES)
    assert "rewrite name exact login.microsoftonline.com entra.wi-emulators.svc.cluster.local" in edited
    assert r"^[a-zA-Z0-9-]+\.vault\.azure\.net\.$ keyvault.wi-emulators.svc.cluster.local" in edited


def test_editing_twice_is_editing_once():
    edited = insert_block(COREFILE, NAMES)
    assert insert_block(edited, NAMES) == edited


def test_removal_restores_the_corefile_byte_for_byte():
    assert remove_block(insert_block(COREFILE, NAMES)) == COREFILE


@pytest.mark.parametrize("corefile", ["", "example.org {\n}\n", ".:53 {\n    forward . /etc/resolv.conf\n}\n"])
def test_a_corefile_that_serves_no_cluster_is_refused(corefile):
    with pytest.raises(StageError):
        insert_block(corefile, NAMES)


def test_values_merge_block_by_block():
    assert merge({"a": {"b": 1, "c": 2}}, {"a": {"b": 3}, "d": 4}) == {"a": {"b": 3, "c": 2}, "d": 4}


def test_an_unknown_cluster_lists_the_known_ones():
    with pytest.raises(StageError, match=r"embedded.*current.*kind"):
        check_kind("moon")
