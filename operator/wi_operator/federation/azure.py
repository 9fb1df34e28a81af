"""From a config's azure block to endpoints: the cloud fixes authority, scope and audience together.

Standard library only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from wi_operator.federation.clouds import AZURE_CLOUDS, PUBLIC


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
        tenant_id, client_id = str(azure.get("tenantId", "")), str(azure.get("clientId", ""))
        cloud = AZURE_CLOUDS.get(azure.get("cloud") or PUBLIC.name)
        if cloud is not None:
            return cls(
                tenant_id=tenant_id,
                client_id=client_id,
                authority_host=f"https://{cloud.authority_host}",
                vault_scope=cloud.vault_scope,
                audience=cloud.audience,
                hosts=(*cloud.hosts, *extra_hosts),
                ca_bundle="",
            )
        custom = azure.get("custom") or {}
        return cls(
            tenant_id=tenant_id,
            client_id=client_id,
            authority_host=str(custom.get("authorityHost", "")).rstrip("/"),
            vault_scope=str(custom.get("vaultScope", "")),
            audience=PUBLIC.audience,
            hosts=extra_hosts,
            ca_bundle=str(custom.get("caBundle", "")),
        )
