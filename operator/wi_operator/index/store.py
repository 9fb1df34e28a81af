"""The in-memory index: filled by watches, asked by admission and issuer without I/O."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from wi_operator.index.objects import Config, Credential, ObjectKey, Organization


@dataclass(slots=True)
class Index:
    """Configs, credentials and organizations by key; one event loop writes and reads it, so it needs no lock."""

    configs: dict[ObjectKey, Config] = field(default_factory=dict)
    credentials: dict[ObjectKey, Credential] = field(default_factory=dict)
    organizations: dict[str, Organization] = field(default_factory=dict)

    def put_config(self, item: Mapping[str, Any]) -> None:
        """Add or replace a WorkloadIdentityConfig given as the API's JSON."""
        config = Config.from_object(item)
        self.configs[config.key] = config

    def drop_config(self, item: Mapping[str, Any]) -> None:
        """Forget a config."""
        self.configs.pop(ObjectKey(item["metadata"]["namespace"], item["metadata"]["name"]), None)

    def put_credential(self, item: Mapping[str, Any]) -> None:
        """Add or replace a SecretProviderCredential given as the API's JSON."""
        credential = Credential.from_object(item)
        self.credentials[credential.key] = credential

    def drop_credential(self, item: Mapping[str, Any]) -> None:
        """Forget a credential."""
        self.credentials.pop(ObjectKey(item["metadata"]["namespace"], item["metadata"]["name"]), None)

    def put_namespace(self, item: Mapping[str, Any]) -> None:
        """Remember whose a namespace is."""
        self.organizations[item["metadata"]["name"]] = Organization.of_namespace(item)

    def drop_namespace(self, item: Mapping[str, Any]) -> None:
        """Forget a namespace."""
        self.organizations.pop(item["metadata"]["name"], None)

    def configs_in(self, namespace: str) -> Iterable[Config]:
        """The configs of a namespace."""
        return (config for key, config in self.configs.items() if key.namespace == namespace)

    def credentials_in(self, namespace: str) -> Iterable[Credential]:
        """The credentials of a namespace."""
        return (credential for key, credential in self.credentials.items() if key.namespace == namespace)
