"""From a config's azure block to endpoints: the cloud fixes authority, scope and audience together.

Standard library only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from wi_operator.federation.clouds import AZURE_CLOUDS, CUSTOM, PUBLIC


@dataclass(frozen=True, slots=True)
class AzureEndpoints:
    """Where an identity of Entra is used; ``hosts`` is the allow-list for its tokens."""

    tenant_id: str
    client_id: str
    authority_host: str
    vault_scope: str
    audience: str
    hosts: tuple[str, ...]
    ca_bundle: str

    @classmethod
    def from_block(cls, azure: Mapping[str, Any], *, extra_hosts: tuple[str, ...] = ()) -> AzureEndpoints:
        """Read ``spec.azure``; a Custom cloud has no hosts of its own: only ``extra_hosts`` of the chart cover it."""
        cloud = AZURE_CLOUDS.get(azure.get("cloud") or PUBLIC.name)
        custom = azure.get("custom") or {}
        is_custom = azure.get("cloud") == CUSTOM or cloud is None
        return cls(
            tenant_id=str(azure.get("tenantId", "")),
            client_id=str(azure.get("clientId", "")),
            authority_host=str(custom.get("authorityHost", "")).rstrip("/")
            if is_custom or cloud is None
            else f"https://{cloud.authority_host}",
            vault_scope=str(custom.get("vaultScope", "")) if is_custom or cloud is None else cloud.vault_scope,
            audience=PUBLIC.audience if is_custom or cloud is None else cloud.audience,
            hosts=extra_hosts if is_custom or cloud is None else (*cloud.hosts, *extra_hosts),
            ca_bundle=str(custom.get("caBundle", "")) if is_custom else "",
        )
