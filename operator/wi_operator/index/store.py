"""The in-memory index: filled by watches, asked by admission and issuer without I/O."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from wi_operator.index.objects import AZURE, Config, Credential, Node, ObjectKey, Organization

App = tuple[str, str]
"""Tenant and client id, lower case."""

T = TypeVar("T")


@dataclass(slots=True)
class Index:
    """Configs, credentials and organizations by key; one event loop writes and reads it, so it needs no lock."""

    configs: dict[ObjectKey, Config] = field(default_factory=dict)
    credentials: dict[ObjectKey, Credential] = field(default_factory=dict)
    organizations: dict[str, Organization] = field(default_factory=dict)
    disputed: dict[str, str] = field(default_factory=dict)
    """What the annotation of a namespace says where it is not believed; only the issuer knows."""
    apps: dict[App, set[ObjectKey]] = field(default_factory=dict)
    """The configs of each app registration."""
    nodes: dict[str, Node] = field(default_factory=dict)
    # The same by namespace: every review asks for the defaults of one namespace out of thousands.
    _configs_of: dict[str, dict[ObjectKey, Config]] = field(default_factory=dict)
    _credentials_of: dict[str, dict[ObjectKey, Credential]] = field(default_factory=dict)

    def put_config(self, item: Mapping[str, Any]) -> None:
        """Add or replace a WorkloadIdentityConfig given as the API's JSON."""
        config = Config.from_object(item)
        self._leave_app(config.key)
        self.configs[config.key] = config
        if app := _app_of(config):
            self.apps.setdefault(app, set()).add(config.key)
        self._configs_of.setdefault(config.key.namespace, {})[config.key] = config

    def drop_config(self, item: Mapping[str, Any]) -> None:
        """Forget a config."""
        key = ObjectKey(item["metadata"]["namespace"], item["metadata"]["name"])
        self._leave_app(key)
        self.configs.pop(key, None)
        _drop(self._configs_of, key)

    def organizations_of_app(self, config: Config) -> set[str]:
        """Return the organizations whose configs use the same app as ``config``; empty when it names none."""
        keys = self.apps.get(_app_of(config) or ("", ""), set())
        known = (self.organizations.get(key.namespace) for key in keys)
        return {organization.id for organization in known if organization is not None}

    def _leave_app(self, key: ObjectKey) -> None:
        before = self.configs.get(key)
        app = _app_of(before) if before else None
        if app is None:
            return
        self.apps[app].discard(key)
        if not self.apps[app]:
            del self.apps[app]

    def put_credential(self, item: Mapping[str, Any]) -> None:
        """Add or replace a SecretProviderCredential given as the API's JSON."""
        credential = Credential.from_object(item)
        self.credentials[credential.key] = credential
        self._credentials_of.setdefault(credential.key.namespace, {})[credential.key] = credential

    def drop_credential(self, item: Mapping[str, Any]) -> None:
        """Forget a credential."""
        key = ObjectKey(item["metadata"]["namespace"], item["metadata"]["name"])
        self.credentials.pop(key, None)
        _drop(self._credentials_of, key)

    def put_namespace(self, item: Mapping[str, Any]) -> None:
        """Remember whose a namespace is."""
        self.organizations[item["metadata"]["name"]] = Organization.of_namespace(item)

    def drop_namespace(self, item: Mapping[str, Any]) -> None:
        """Forget a namespace."""
        self.organizations.pop(item["metadata"]["name"], None)

    def put_node(self, item: Mapping[str, Any]) -> None:
        """Remember a Linux node."""
        name = item["metadata"]["name"]
        if node := Node.from_object(item):
            self.nodes[name] = node
        else:
            self.nodes.pop(name, None)

    def drop_node(self, item: Mapping[str, Any]) -> None:
        """Forget a node."""
        self.nodes.pop(item["metadata"]["name"], None)

    def configs_in(self, namespace: str) -> Iterable[Config]:
        """The configs of a namespace."""
        return self._configs_of.get(namespace, {}).values()

    def credentials_in(self, namespace: str) -> Iterable[Credential]:
        """The credentials of a namespace."""
        return self._credentials_of.get(namespace, {}).values()


def _drop(groups: dict[str, dict[ObjectKey, T]], key: ObjectKey) -> None:
    group = groups.get(key.namespace, {})
    group.pop(key, None)
    if not group:
        groups.pop(key.namespace, None)


def _app_of(config: Config) -> App | None:
    tenant, client = (str(config.azure.get(name, "")).lower() for name in ("tenantId", "clientId"))
    return (tenant, client) if config.provider == AZURE and client else None
