"""What is known of a config, a credential and a namespace: frozen, parsed from the API's JSON without judging."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

from wi_operator.api import names
from wi_operator.api.conditions import find_condition

AZURE = "Azure"
AZURE_KEY_VAULT = "AzureKeyVault"
WORKLOAD_IDENTITY = "WorkloadIdentity"
CLOUD_OF_PROVIDER = {AZURE_KEY_VAULT: AZURE, "AWSSecretsManager": "AWS", "GCPSecretManager": "GCP"}


class ObjectKey(NamedTuple):
    """Namespace and name; the key of every table."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True)
class Readiness:
    """The Ready condition; ``status`` is ``""`` while there is none."""

    status: str = ""
    reason: str = ""
    message: str = ""

    @property
    def is_ready(self) -> bool:
        """True only for the status ``True``."""
        return self.status == "True"


@dataclass(frozen=True, slots=True)
class Config:
    """A WorkloadIdentityConfig. ``azure`` is the raw block (``tenantId``, ``clientId``, ``cloud``, ``custom``)."""

    key: ObjectKey
    uid: str
    generation: int
    provider: str
    is_default: bool
    azure: Mapping[str, Any]
    readiness: Readiness

    @classmethod
    def from_object(cls, item: Mapping[str, Any]) -> Config:
        """Read the API's JSON; absent fields become empty."""
        spec = item.get("spec") or {}
        return cls(
            key=_key(item),
            uid=item["metadata"].get("uid", ""),
            generation=item["metadata"].get("generation", 0),
            provider=spec.get("provider", ""),
            is_default=bool(spec.get("default")),
            azure=spec.get("azure") or {},
            readiness=_readiness(item),
        )


@dataclass(frozen=True, slots=True)
class Credential:
    """A SecretProviderCredential; an empty ``config_ref`` means the namespace's default config of the cloud."""

    key: ObjectKey
    uid: str
    generation: int
    provider: str
    auth_method: str
    config_ref: str
    is_default: bool
    allowed_service_accounts: tuple[str, ...]
    vault_url: str
    readiness: Readiness

    @classmethod
    def from_object(cls, item: Mapping[str, Any]) -> Credential:
        """Read the API's JSON; absent fields become empty."""
        spec = item.get("spec") or {}
        return cls(
            key=_key(item),
            uid=item["metadata"].get("uid", ""),
            generation=item["metadata"].get("generation", 0),
            provider=spec.get("provider", ""),
            auth_method=spec.get("authMethod", WORKLOAD_IDENTITY),
            config_ref=(spec.get("workloadIdentityRef") or {}).get("name", ""),
            is_default=bool(spec.get("default")),
            allowed_service_accounts=tuple(spec.get("allowedServiceAccounts") or ()),
            vault_url=(spec.get("azureKeyVault") or {}).get("vaultUrl", ""),
            readiness=_readiness(item),
        )


_KUBELET_VERSION = re.compile(r"v?(\d+)\.(\d+)")
# The feature gate EnvFiles is on by default from here on (Kubernetes documentation, "Feature gates").
_ENV_FILES_SINCE = (1, 35)


@dataclass(frozen=True, slots=True)
class Node:
    """A Linux node; ``reads_env_files`` tells whether its kubelet knows ``fileKeyRef``."""

    name: str
    reads_env_files: bool

    @classmethod
    def from_object(cls, item: Mapping[str, Any]) -> Node | None:
        """Read the API's JSON; ``None`` for a node of another platform."""
        info = (item.get("status") or {}).get("nodeInfo") or {}
        labels = item["metadata"].get("labels") or {}
        if "windows" in {info.get("operatingSystem"), labels.get("kubernetes.io/os")}:
            return None
        version = _KUBELET_VERSION.match(info.get("kubeletVersion") or "")
        known = version is not None and (int(version[1]), int(version[2])) >= _ENV_FILES_SINCE
        return cls(item["metadata"]["name"], known)


@dataclass(frozen=True, slots=True)
class Organization:
    """Who a namespace is: the annotation, else the namespace's own UID (``is_implicit``).

    ``UNVERIFIED`` is that of an annotation which is not believed: nothing is minted for it.
    """

    id: str
    is_implicit: bool
    UNVERIFIED: ClassVar[Organization]

    @classmethod
    def of_namespace(cls, item: Mapping[str, Any]) -> Organization:
        """Read a Namespace's JSON."""
        annotation = (item["metadata"].get("annotations") or {}).get(names.ORGANIZATION_ANNOTATION, "")
        return cls(annotation or item["metadata"].get("uid", ""), is_implicit=not annotation)

    @property
    def subject(self) -> str:
        """The ``sub`` of every assertion of the namespace."""
        return f"organization:{self.id}"


Organization.UNVERIFIED = Organization("", is_implicit=False)


def _key(item: Mapping[str, Any]) -> ObjectKey:
    return ObjectKey(item["metadata"].get("namespace", ""), item["metadata"]["name"])


def _readiness(item: Mapping[str, Any]) -> Readiness:
    ready = find_condition((item.get("status") or {}).get("conditions") or [], "Ready")
    if ready is None:
        return Readiness()
    return Readiness(ready.get("status", ""), ready.get("reason", ""), ready.get("message", ""))
