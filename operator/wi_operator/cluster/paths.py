"""Paths of the resources that we touch."""

from __future__ import annotations

from wi_operator.api import names

CONFIGS = f"/apis/{names.API_VERSION}/{names.CONFIG_PLURAL}"
CREDENTIALS = f"/apis/{names.API_VERSION}/{names.CREDENTIAL_PLURAL}"
NAMESPACES = "/api/v1/namespaces"
NODES = "/api/v1/nodes"
PODS = "/api/v1/pods"
TOKEN_REVIEWS = "/apis/authentication.k8s.io/v1/tokenreviews"  # noqa: S105


def in_namespace(path: str, namespace: str) -> str:
    """Narrow the path of a collection of all namespaces to one of them; empty: leave it."""
    head, _, plural = path.rpartition("/")
    return f"{head}/namespaces/{namespace}/{plural}" if namespace else path


def config_path(namespace: str, name: str) -> str:
    """One WorkloadIdentityConfig."""
    return f"/apis/{names.API_VERSION}/namespaces/{namespace}/{names.CONFIG_PLURAL}/{name}"


def credential_path(namespace: str, name: str) -> str:
    """One SecretProviderCredential."""
    return f"/apis/{names.API_VERSION}/namespaces/{namespace}/{names.CREDENTIAL_PLURAL}/{name}"


def secrets_path(namespace: str, name: str = "") -> str:
    """The Secrets of a namespace, or one of them."""
    return f"/api/v1/namespaces/{namespace}/secrets" + (f"/{name}" if name else "")


def configmaps_path(namespace: str, name: str = "") -> str:
    """The ConfigMaps of a namespace, or one of them."""
    return f"/api/v1/namespaces/{namespace}/configmaps" + (f"/{name}" if name else "")


def events_path(namespace: str) -> str:
    """The events of a namespace."""
    return f"/api/v1/namespaces/{namespace}/events"


def organization_policy_path() -> str:
    """The policy that guards whose a namespace is."""
    return f"/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies/{names.ORGANIZATION_POLICY}"


def organization_binding_path() -> str:
    """Its binding."""
    return f"/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings/{names.ORGANIZATION_POLICY}"


def webhook_configuration_path(kind: str, name: str = "") -> str:
    """The webhook configurations of a ``kind`` (``mutating`` or ``validating``), or one of them."""
    return f"/apis/admissionregistration.k8s.io/v1/{kind}webhookconfigurations" + (f"/{name}" if name else "")
