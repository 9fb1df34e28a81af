"""Bad input and faults: a reason and a remedy, never a started application, never a pod that hangs."""

import json
import secrets
import threading
import time

import pytest

from wi_testkit.stage.errors import CommandError
from wi_testkit.world import fingerprint


def refused(outcome, *said: str) -> None:
    """Assert that the application never ran and that the pod says why."""
    assert (outcome.succeeded, outcome.exit_code) == (False, 78), outcome.log
    assert outcome.fingerprints == {}
    assert "Traceback" not in outcome.log + outcome.sidecar_log
    for each in said:
        assert each in outcome.termination_message


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("secret://demo", "secret://demo/<secret-name>"),
        ("secret://Demo/x", "secret://[credential]/<secret-name>"),
        ("secret://demo/x#k?version=1", "secret://demo/x?version=1#k"),
    ],
)
def test_a_malformed_reference_is_refused_at_admission_with_the_form(team, value, said):
    pod = {"apiVersion": "v1", "kind": "Pod"} | team.render_pod({"APP_A": value}, ["true"])
    pod["metadata"] |= {"name": "malformed", "namespace": team.name}
    with pytest.raises(CommandError) as answer:
        team.kubectl("create", "--filename=-", stdin=json.dumps(pod))
    for each in ("app", "APP_A", said):
        assert each in str(answer.value)


def test_a_pod_without_the_label_does_not_start_with_a_literal_reference(team):
    pod = {"apiVersion": "v1", "kind": "Pod"} | team.render_pod({"APP_A": "secret://demo/a"}, ["true"], label=False)
    pod["metadata"] |= {"name": "literal", "namespace": team.name}
    with pytest.raises(CommandError, match=r"identity\.crewai\.com/inject"):
        team.kubectl("create", "--filename=-", stdin=json.dumps(pod))


def test_an_unknown_credential_warns_at_admission_and_fails_the_kickoff(team):
    outcome = team.kick("unknown", {"APP_A": "secret://nope/a"})
    assert "nope" in outcome.pod["metadata"]["annotations"]["identity.crewai.com/injection-warnings"]
    refused(outcome, "APP_A", "CredentialNotFound")


def test_every_variable_that_failed_is_listed(team):
    team.set_secret("good", "planted-good")
    outcome = team.kick(
        "several",
        {"APP_GOOD": "secret://demo/good", "APP_MISSING": "secret://demo/missing", "APP_OTHER": "secret://nope/a"},
    )
    refused(outcome, "APP_MISSING", "SecretNotFound", "APP_OTHER", "CredentialNotFound")


def test_no_permission_names_the_role(world):
    team = world.add_team("t-role")
    team.set_up()
    team.set_secret("a", "planted-a")
    world.keyvault.unassign(team.vault, team.principal, "Key Vault Secrets User")
    refused(team.kick("no-role", {"APP_A": "secret://demo/a"}), "Key Vault Secrets User", "az role assignment create")


def test_a_literal_reference_from_a_configmap_does_not_reach_the_application(team):
    team.kubectl("create", "configmap", "literal", "--from-literal=APP_B=secret://demo/a")
    team.set_secret("a", "planted-a")
    outcome = team.kick(
        "from-configmap", {"APP_A": "secret://demo/a"}, container={"envFrom": [{"configMapRef": {"name": "literal"}}]}
    )
    assert (outcome.succeeded, outcome.exit_code) == (False, 78)
    assert "APP_B" in outcome.termination_message


def test_a_vault_that_is_down_ends_the_kickoff_and_the_next_one_works(world, team):
    value = f"planted-{secrets.token_hex(8)}"
    team.set_secret("a", value)
    gone = f"v-{secrets.token_hex(4)}-gone"
    team.apply_credential("gone", vault=gone)
    started = time.monotonic()
    refused(team.kick("vault-down", {"APP_A": "secret://gone/a"}), "APP_A")
    assert time.monotonic() - started < 60
    team.apply_credential("gone")
    assert team.kick("vault-up", {"APP_A": "secret://gone/a"}).fingerprints == {"APP_A": fingerprint(value)}
    del world


def pods(world, component: str) -> list[str]:
    """Names of a component's pods that are not on their way out."""
    selector = f"--selector=app.kubernetes.io/component={component}"
    found = json.loads(world.kubectl("-n", "wi-system", "get", "pods", selector, "-o", "json"))["items"]
    return [f"pod/{pod['metadata']['name']}" for pod in found if "deletionTimestamp" not in pod["metadata"]]


def test_an_issuer_replica_that_dies_costs_no_kickoff(world, team):
    team.set_secret("a", "planted-a")
    worker = team.start_worker("loop", {"APP_A": "secret://demo/a"})
    told: list[str] = []
    loop = threading.Thread(target=lambda: told.append(worker.kick_for(15)))
    loop.start()
    time.sleep(4)
    world.kubectl("-n", "wi-system", "delete", pods(world, "issuer")[0], "--grace-period=0", "--force")
    loop.join(90)
    print(told)
    count, failed = (int(part.split()[1]) for part in told[0].split(","))
    assert (count > 20, failed) == (True, 0)
    world.kubectl("-n", "wi-system", "rollout", "status", "deployment/wi-issuer", "--timeout=90s")


def test_without_any_issuer_running_pods_go_on_and_a_new_pod_fails_clearly(world, team):
    value = f"planted-{secrets.token_hex(8)}"
    team.set_secret("a", value)
    worker = team.start_worker("outage", {"APP_A": "secret://demo/a"})
    assert worker.kick().split()[1] == fingerprint(value)
    running = pods(world, "issuer")
    world.kubectl("-n", "wi-system", "scale", "deployment/wi-issuer", "--replicas=0")
    try:
        world.kubectl("-n", "wi-system", "wait", "--for=delete", *running, "--timeout=60s")
        rotated = f"planted-{secrets.token_hex(8)}"
        team.set_secret("a", rotated)
        assert worker.kick().split()[1] == fingerprint(rotated)
        assert "stale grant" in worker.sidecar_log()
        refused(team.kick("no-issuer", {"APP_A": "secret://demo/a"}), "IssuerUnreachable")
    finally:
        world.kubectl("-n", "wi-system", "scale", "deployment/wi-issuer", "--replicas=2")
        world.kubectl("-n", "wi-system", "rollout", "status", "deployment/wi-issuer", "--timeout=120s")


def test_both_issuers_serve_the_same_keys_also_after_a_restart(world):
    def keys() -> set[str]:
        found = set()
        for pod in pods(world, "issuer"):
            name = pod.removeprefix("pod/")
            path = f"/api/v1/namespaces/wi-system/pods/https:{name}:8080/proxy/oauth2/jwks"
            found.add(world.kubectl("get", "--raw", path))
        return found

    before = keys()
    assert len(before) == 1
    world.kubectl("-n", "wi-system", "rollout", "restart", "deployment/wi-issuer")
    world.kubectl("-n", "wi-system", "rollout", "status", "deployment/wi-issuer", "--timeout=120s")
    assert keys() == before


def test_a_deleted_credential_fails_the_next_kickoff_of_a_running_pod(team):
    team.set_secret("a", "planted-a")
    team.apply_credential("doomed")
    worker = team.start_worker("doomed", {"APP_A": "secret://doomed/a"})
    assert worker.kick()
    team.kubectl("delete", "spcred/doomed")
    with pytest.raises(CommandError) as failed:
        worker.kick()
    assert "CredentialNotFound" in str(failed.value)
