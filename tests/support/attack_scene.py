"""The scene of the attacks: two namespaces of two organizations, and what an honest and a dishonest request look like."""

from wi_testkit.controlplane.errors import ControlPlaneError
from wi_testkit.lab import unsigned

OURS = "3f2504e0-4f89-41d3-9a0c-0305e82c3301"
THEIRS = "3f2504e0-4f89-41d3-9a0c-0305e82c3302"
GROUP = "identity.crewai.com"
TENANT = "11111111-2222-4333-8444-555555555555"
CLIENT, OTHER_CLIENT = "99999999-8888-4777-8666-555555555555", "99999999-8888-4777-8666-555555555556"
ORGANIZATION = f"{GROUP}/organization"
AUDIENCE = "api://AzureADTokenExchange"
CONTROLLER = "wi-controller"


def config(name, namespace="team-a", **azure):
    block = {"tenantId": TENANT, "clientId": CLIENT} | azure
    return make_object("WorkloadIdentityConfig", name, namespace, {"provider": "Azure", "azure": block})


def credential(name, namespace="team-a", vault="https://demo.vault.azure.net", **spec):
    block = {"provider": "AzureKeyVault", "azureKeyVault": {"vaultUrl": vault}}
    return make_object(
        "SecretProviderCredential", name, namespace, block | {"workloadIdentityRef": {"name": "azure"}} | spec
    )


def make_object(kind, name, namespace, spec):
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": f"{GROUP}/v1alpha1", "kind": kind, "metadata": metadata, "spec": spec}


def assert_granted(answer):
    assert answer.status == 200, answer
    (grant,) = answer.document["grants"]
    _, claims = unsigned(grant["assertion"])
    assert claims["sub"] == f"organization:{OURS}"


def assert_rejected(answer, status=401, reason="TokenRejected"):
    assert (answer.status, answer.reason) == (status, reason), answer
    assert answer.document["remedy"]
    assert "grants" not in answer.document


def handshake_body(lab, space="team-a", **changes):
    metadata = lab.read("wic", "azure", space)["metadata"]
    return {
        "namespace": space, "name": "azure", "uid": metadata["uid"], "generation": metadata["generation"],
    } | changes  # fmt: skip


def controller_token(lab, namespace="wi-system", audience="wi-issuer-controller"):
    return lab.pod_token(namespace, CONTROLLER, CONTROLLER, audience=audience)


def make_teams(lab):
    """Make the namespaces, and accounts of the controller's name in the right and in a wrong place."""
    lab.add_namespace("team-a", OURS)
    lab.add_namespace("team-b", THEIRS)
    for namespace in ("team-a", "team-b"):
        lab.add_pod(namespace, "kick")
    for namespace in ("wi-system", "team-b"):
        lab.apply(
            {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": CONTROLLER, "namespace": namespace}}
        )
        lab.add_pod(namespace, CONTROLLER, CONTROLLER)
    lab.apply(config("azure"), credential("demo"), credential("picky", allowedServiceAccounts=["other"]))
    lab.apply(credential("secret-of-b", "team-b"), config("azure", "team-b"))


def fails(call, *arguments):
    """Return True when the API server refuses."""
    try:
        call(*arguments)
    except ControlPlaneError:
        return True
    return False
