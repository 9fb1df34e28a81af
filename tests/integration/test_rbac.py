"""Who may do what: the four roles by a golden file; our own accounts have no right that no code uses."""

import itertools
import json
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

GOLDEN = Path(__file__).parent / "golden" / "can-i.txt"
ROLES = (
    "workload-identity-configs-viewer", "workload-identity-configs-manager", "secret-providers-viewer",
    "secret-providers-manager", "view",
)  # fmt: skip
GROUP = "identity.crewai.com"
RESOURCES = (
    f"workloadidentityconfigs.{GROUP}", f"secretprovidercredentials.{GROUP}", f"organizations.{GROUP}", "secrets",
)  # fmt: skip
VERBS = ("get", "list", "watch", "create", "update", "patch", "delete", "deletecollection", "use", "bind")
SUBRESOURCES = tuple((verb, resource, "status") for verb in ("get", "update", "patch") for resource in RESOURCES[:2])
ACCOUNTS = ("controller", "issuer", "webhook")


@pytest.fixture(scope="module")
def users(lab):
    """One user for each role, bound in one namespace."""
    lab.add_namespace("team-r")
    for role in ROLES:
        lab.plane.run_kubectl(
            "create", "rolebinding", role, f"--clusterrole={role}", f"--user={role}", "--namespace=team-r"
        )
    lab.wait(lambda: len(lab.read("clusterrole", "view")["rules"] or []) > 1, "the aggregated role")


def can_i(lab, role, verb, resource, subresource=""):
    command = [lab.plane.kubectl, "auth", "can-i", verb, resource, "--namespace=team-r", f"--as={role}"]
    flags = [f"--subresource={subresource}"] if subresource else []
    done = subprocess.run([*command, *flags], env=lab.plane.environment(), capture_output=True, text=True, check=False)
    assert done.stdout.strip() in {"yes", "no"}, done.stderr
    return done.stdout.strip() == "yes"


def test_the_four_roles_can_what_the_golden_file_says(lab, users):
    questions = [(*pair, "") for pair in itertools.product(VERBS, RESOURCES)] + list(SUBRESOURCES)
    asked = list(itertools.product(ROLES, questions))
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda pair: can_i(lab, pair[0], *pair[1]), asked))
    lines = []
    for role in ROLES:
        allowed = [q for (r, q), answer in zip(asked, answers, strict=True) if r == role and answer]
        for resource in (*RESOURCES, *(f"{name}/status" for name in RESOURCES[:2])):
            verbs = [v for v, name, sub in allowed if (f"{name}/{sub}" if sub else name) == resource]
            lines.append(f"{role:34} {resource:48} {' '.join(verbs) or '-'}".rstrip())
    table = "\n".join(lines) + "\n"
    assert table == GOLDEN.read_text(), table


def rules_of(lab, account):
    """Yield every right of an account as (verb, group, resource, name)."""
    found = [("clusterrole", f"wi-{account}")]
    names = lab.plane.run_kubectl("get", "roles", "--namespace=wi-system", "--output=name").split()
    found += [("role", name.partition("/")[2]) for name in names if name.endswith(f"/wi-{account}")]
    for kind, name in found:
        for rule in lab.read(kind, name)["rules"]:
            for group, resource, verb in itertools.product(rule["apiGroups"], rule["resources"], rule["verbs"]):
                for single in rule.get("resourceNames", [""]):
                    yield verb, group, resource, single


def used_by(lab, account):
    """Return what an account has asked for and was allowed, in the same form, by the API server's audit log."""
    user, used = f"system:serviceaccount:wi-system:wi-{account}", set()
    for line in lab.audit_log.read_text().splitlines():
        event = json.loads(line)
        about = event.get("objectRef")
        if event["user"]["username"] != user or not about:
            continue
        if event.get("annotations", {}).get("authorization.k8s.io/decision") != "allow":
            continue
        resource = about["resource"] + (f"/{about['subresource']}" if "subresource" in about else "")
        for name in ("", about.get("name", "")):
            used.add((event["verb"], about.get("apiGroup", ""), resource, name))
    return used


def config(**azure):
    block = {"tenantId": "11111111-2222-4333-8444-555555555555", "clientId": "99999999-8888-4777-8666-555555555555"}
    return {
        "apiVersion": f"{GROUP}/v1alpha1",
        "kind": "WorkloadIdentityConfig",
        "metadata": {"name": "azure", "namespace": "team-r"},
        "spec": {"provider": "Azure", "azure": block | azure},
    }


def annotate(lab, secret, **annotations):
    pairs = [f"{GROUP}/{name.replace('_', '-')}={value}" for name, value in annotations.items()]
    lab.plane.run_kubectl("annotate", "--overwrite", "--namespace=wi-system", "secret", secret, *pairs)


def bundle_size(lab):
    return lab.read("configmap", "wi-ca-bundle")["data"]["ca.crt"].count("BEGIN CERTIFICATE")


@pytest.fixture(scope="module")
def busy(lab):
    """Everything that the operator does happens once: checks, events, a rotation of keys and of the CA, admission."""
    lab.add_namespace("team-r")
    credential = {
        "apiVersion": f"{GROUP}/v1alpha1",
        "kind": "SecretProviderCredential",
        "metadata": {"name": "demo", "namespace": "team-r"},
        "spec": {"provider": "AzureKeyVault", "azureKeyVault": {"vaultUrl": "https://demo.vault.azure.net"}},
    }
    lab.apply(config(), credential)
    lab.add_pod("team-r", "kick")
    lab.grant(lab.pod_token("team-r", "kick"))
    controller = {"name": "wi-controller", "namespace": "wi-system"}
    lab.apply({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": controller})
    lab.add_pod("wi-system", "wi-controller", "wi-controller")
    token = lab.pod_token("wi-system", "wi-controller", "wi-controller", audience="wi-issuer-controller")
    about = lab.read("wic", "azure", "team-r")["metadata"]
    body = {name: about[name] for name in ("namespace", "name", "uid", "generation")}
    assert lab.ask("/v1/handshakes", body, token).status == 200
    lab.start_webhook()
    annotate(lab, "wi-issuer-keys", rotate="busy")
    annotate(lab, "wi-internal-ca", rotate="busy")
    lab.wait(lambda: bundle_size(lab) > 1, "the next CA", patience=60)
    annotate(lab, "wi-internal-ca", rotate_now="busy")
    lab.wait(lambda: "signs from now on" in lab.log("controller-0"), "its first certificates", patience=60)
    lab.wait(lambda: lab.read("wic", "azure", "team-r").get("status"), "a status", patience=60)
    lab.wait(lambda: lab.read("spcred", "demo", "team-r").get("status"), "a status", patience=60)
    lab.wait(lambda: ("create", "", "events", "") in used_by(lab, "controller"), "an event", patience=60)


@pytest.mark.parametrize("account", ACCOUNTS)
def test_no_account_has_a_right_that_no_code_uses(lab, busy, account):
    rules = set(rules_of(lab, account))
    assert rules
    lab.wait(lambda: rules <= used_by(lab, account), lambda: f"unused: {sorted(rules - used_by(lab, account))}")


@pytest.mark.parametrize("account", ACCOUNTS)
def test_no_account_was_refused_what_it_asked_for(lab, busy, account):
    user = f"system:serviceaccount:wi-system:wi-{account}"
    events = map(json.loads, lab.audit_log.read_text().splitlines())
    refused = [
        (event["verb"], event["requestURI"])
        for event in events
        if event["user"]["username"] == user and event.get("responseStatus", {}).get("code") == 403
    ]
    assert refused == []
