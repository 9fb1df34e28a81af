"""The sample manifests in ``examples/demo``, and what a cloud administrator sets up for them."""

import hashlib
import json
import secrets
from pathlib import Path
from typing import Any

import yaml

from wi_testkit.stage.clusters import Cluster
from wi_testkit.stage.errors import CommandError, StageError
from wi_testkit.stage.images import ROOT
from wi_testkit.stage.install import ISSUER_URL, Stage
from wi_testkit.stage.readiness import diagnose, wait_until

FOLDER = ROOT / "examples" / "demo"
NAMESPACE = "team-a"
STRANGER = "team-b"
VAULT = "demo"
SECRET = "greeting"
AUDIENCE = "api://AzureADTokenExchange"
ROLE = "Key Vault Secrets User"
_MARKER = "fingerprint="
_ORGANIZATION = "identity.crewai.com/organization"


def load(name: str) -> list[dict[str, Any]]:
    """Return the objects of one sample manifest."""
    return list(yaml.safe_load_all(find(name).read_text()))


def find(name: str) -> Path:
    """Return the path of one sample manifest."""
    return FOLDER / f"{name}.yaml"


def set_up_cloud(stage: Stage) -> str:
    """Register tenant, app, trust, vault and role in the emulators, and plant a random value; returns the subject."""
    azure = load("identity")[0]["spec"]["azure"]
    tenant, client = azure["tenantId"], azure["clientId"]
    subject = f"organization:{load('namespace')[0]['metadata']['annotations'][_ORGANIZATION]}"
    stage.entra.add_tenant(tenant)
    principal = stage.entra.add_application(tenant, client)
    stage.entra.trust(tenant, client, NAMESPACE, issuer=ISSUER_URL, subject=subject, audience=AUDIENCE)
    stage.keyvault.add_vault(VAULT, tenant)
    stage.keyvault.assign(VAULT, principal, ROLE)
    rotate(stage)
    return subject


def rotate(stage: Stage, value: str = "") -> str:
    """Set the sample secret, to a random value unless one is given; returns the new version."""
    return stage.keyvault.set_secret(VAULT, SECRET, value or secrets.token_urlsafe(24))


def expect_fingerprint(stage: Stage) -> str:
    """Return the fingerprint of what the vault holds now."""
    return fingerprint(str(stage.keyvault.secret(VAULT, SECRET)["value"]))


def fingerprint(value: str) -> str:
    """Return ``sha256:`` and the first 12 digits of the hash of ``value``."""
    return f"sha256:{hashlib.sha256(value.encode()).hexdigest()[:12]}"


def remove(cluster: Cluster) -> None:
    """Remove the sample namespaces; may be called twice."""
    cluster.kubectl("delete", "namespace", NAMESPACE, STRANGER, "--ignore-not-found", "--timeout=110s")


def apply(cluster: Cluster, name: str) -> None:
    """Apply one sample manifest as a user would."""
    cluster.kubectl("apply", f"--filename={find(name)}")


def kick_off(cluster: Cluster) -> str:
    """Delete and apply the kickoff Job; returns the fingerprint that its application printed.

    Raises StageError with the pod's words when the Job fails.
    """
    cluster.kubectl("delete", f"--filename={find('kickoff')}", "--ignore-not-found", "--timeout=60s")
    apply(cluster, "kickoff")
    wait_until(
        f"Job {NAMESPACE}/kickoff ends",
        lambda: _has_ended(cluster),
        timeout=90,
        explain=lambda: diagnose(cluster, NAMESPACE),
    )
    text = cluster.kubectl("logs", "job/kickoff", "-c", "app", "-n", NAMESPACE)
    for line in text.splitlines():
        if line.startswith(_MARKER):
            return line.removeprefix(_MARKER)
    raise StageError(f"the application of Job {NAMESPACE}/kickoff printed no fingerprint:\n{text}")


def _has_ended(cluster: Cluster) -> bool:
    conditions = cluster.get("job", "kickoff", "-n", NAMESPACE).get("status", {}).get("conditions", [])
    states = {each["type"] for each in conditions if each["status"] == "True"}
    if "Failed" in states:
        raise StageError("\n".join([f"Job {NAMESPACE}/kickoff failed", *diagnose(cluster, NAMESPACE)]))
    return "Complete" in states


def await_ready(cluster: Cluster) -> None:
    """Wait until config and credential of the sample are Ready; raises StageError that quotes their conditions."""
    names = [f"wic/{load('identity')[0]['metadata']['name']}", f"spcred/{load('identity')[1]['metadata']['name']}"]
    try:
        cluster.kubectl("wait", "--for=condition=Ready", "-n", NAMESPACE, "--timeout=90s", *names)
    except CommandError as error:
        listed = [json.dumps(read_conditions(cluster, name), indent=1) for name in names]
        raise StageError("\n".join([f"not Ready: {error}", *listed])) from None


def read_conditions(cluster: Cluster, name: str, namespace: str = NAMESPACE) -> dict[str, dict[str, Any]]:
    """Return the conditions of an object (``wic/azure``) by type."""
    conditions = cluster.get(name, "-n", namespace).get("status", {}).get("conditions", [])
    return {each["type"]: each for each in conditions}
