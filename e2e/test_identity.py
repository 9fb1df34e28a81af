"""Who may be whom: two organizations, conditions that name reason and remedy, what kubectl shows."""

import json
import secrets
import time
from pathlib import Path

import pytest

from wi_testkit.stage.errors import CommandError
from wi_testkit.world import fingerprint


@pytest.fixture(scope="module")
def other(world):
    other = world.add_team("t-other")
    other.set_up()
    return other


def test_each_organization_works_with_its_own_credential_and_not_with_the_others(team, other):
    for each in (team, other):
        value = f"planted-{secrets.token_hex(8)}"
        each.set_secret("own", value)
        assert each.kick("own", {"APP_OWN": "secret://demo/own"}).fingerprints == {"APP_OWN": fingerprint(value)}
    other.apply_config("stolen", clientId=team.client)
    other.apply_credential("stolen", vault=team.vault, config="stolen")
    condition = other.wait_reason("wic/stolen", "SubjectMismatch")
    assert "AADSTS700213" in condition["message"]
    assert other.subject in condition["message"]
    outcome = other.kick("stolen", {"APP_OWN": "secret://stolen/own"})
    assert (outcome.succeeded, outcome.exit_code) == (False, 78)
    assert "AADSTS700213" in outcome.termination_message


def test_a_wrong_subject_becomes_ready_once_it_is_corrected_and_a_test_is_asked_for(world):
    team = world.add_team("t-subject")
    team.trust("organization:somebody-else")
    team.apply_config()
    condition = team.wait_reason("wic/azure", "SubjectMismatch")
    assert team.subject in condition["message"]
    assert "az " in condition["message"]
    team.trust()
    request = secrets.token_hex(4)
    team.kubectl("annotate", "wic/azure", f"identity.crewai.com/test-connection={request}")
    team.wait_ready("wic/azure")
    status = json.loads(team.kubectl("get", "wic/azure", "-o", "json"))["status"]
    assert status["handshake"]["observedTestRequest"] == request
    assert status["federation"] == {
        "issuer": world.issuer_url,
        "subject": team.subject,
        "audience": "api://AzureADTokenExchange",
        "organization": team.organization,
    }


def test_an_unknown_app_is_named(team):
    team.apply_config("unknown", clientId="99999999-9999-4999-8999-999999999999")
    assert "AADSTS700016" in team.wait_reason("wic/unknown", "ClientNotFound")["message"]


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({"provider": "AzureKeyVault"}, "azure_vault_url is required for Azure secret resolution"),
        ({"provider": "AzureKeyVault", "azureKeyVault": {}}, "azure_vault_url is required for Azure secret resolution"),
        ({"provider": "AzureKeyVault", "azureKeyVault": {"vaultUrl": "http://x"}}, "vaultUrl must be https://"),
        ({"provider": "Vault"}, "supported values"),
    ],
)
def test_an_invalid_credential_is_refused_with_what_to_write(team, spec, said):
    document = {
        "apiVersion": "identity.crewai.com/v1alpha1",
        "kind": "SecretProviderCredential",
        "metadata": {"name": "invalid", "namespace": team.name},
        "spec": spec,
    }
    with pytest.raises(CommandError) as refused:
        team.kubectl("create", "--filename=-", stdin=json.dumps(document))
    assert said in str(refused.value)


def test_what_is_not_built_yet_says_so(team):
    team.kubectl(
        "apply",
        "--filename=-",
        stdin=json.dumps(
            {
                "apiVersion": "identity.crewai.com/v1alpha1",
                "kind": "WorkloadIdentityConfig",
                "metadata": {"name": "amazon", "namespace": team.name},
                "spec": {
                    "provider": "AWS",
                    "aws": {"roleArn": "arn:aws:iam::123456789012:role/reader", "region": "eu-west-1"},
                },
            }
        ),
    )
    team.wait_reason("wic/amazon", "NotSupportedYet")


def test_kubectl_get_shows_the_truth_at_a_glance(world):
    team = world.add_team("t-golden")
    team.set_up()
    team.apply_config("unknown", clientId="99999999-9999-4999-8999-999999999999")
    team.wait_reason("wic/unknown", "ClientNotFound")
    shown = world.kubectl("get", "wic,spcred", "--all-namespaces")
    lines = [line.split() for line in shown.splitlines() if line.startswith(("NAMESPACE", team.name))]
    table = "\n".join(" ".join([*cells[:-1], "AGE"]) for cells in lines) + "\n"
    assert table.replace(world.tenant, "TENANT") == (Path(__file__).parent / "golden" / "get.txt").read_text()


def test_deletion_needs_no_controller_and_no_object_has_a_finalizer(world):
    team = world.add_team("t-delete")
    team.set_up()
    world.kubectl("-n", "wi-system", "scale", "deployment/wi-controller", "--replicas=0")
    try:
        world.kubectl(
            "-n",
            "wi-system",
            "wait",
            "--for=delete",
            "pod",
            "-l",
            "app.kubernetes.io/component=controller",
            "--timeout=60s",
        )
        for item in json.loads(team.kubectl("get", "wic,spcred", "-o", "json"))["items"]:
            assert "finalizers" not in item["metadata"]
        value = f"planted-{secrets.token_hex(8)}"
        team.set_secret("a", value)
        assert team.kick("no-controller", {"APP_A": "secret://demo/a"}).fingerprints == {"APP_A": fingerprint(value)}
        started = time.monotonic()
        team.kubectl("delete", "wic,spcred", "--all", "--wait")
        assert time.monotonic() - started < 5
    finally:
        world.kubectl("-n", "wi-system", "scale", "deployment/wi-controller", "--replicas=2")
        world.kubectl("-n", "wi-system", "rollout", "status", "deployment/wi-controller", "--timeout=120s")
