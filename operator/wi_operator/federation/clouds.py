"""The Azure clouds: authority, vault suffix, scope and audience change together.

Source: Microsoft Learn, "Azure authentication with national clouds", "Key Vault security: vault DNS suffixes",
"Workload identity federation: audiences". Standard library only: the sidecar uses it.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class AzureCloud:
    """Everything that a cloud fixes; hosts without scheme, scope with ``/.default``."""

    name: str
    authority_host: str
    vault_suffix: str
    vault_scope: str
    audience: str

    @property
    def hosts(self) -> tuple[str, ...]:
        """Hosts that may receive tokens; ``*.`` means exactly one label more."""
        return (self.authority_host, f"*.{self.vault_suffix}")


PUBLIC = AzureCloud(
    name="Public",
    authority_host="login.microsoftonline.com",
    vault_suffix="vault.azure.net",
    vault_scope="https://vault.azure.net/.default",
    audience="api://AzureADTokenExchange",
)
US_GOVERNMENT = AzureCloud(
    name="USGovernment",
    authority_host="login.microsoftonline.us",
    vault_suffix="vault.usgovcloudapi.net",
    vault_scope="https://vault.usgovcloudapi.net/.default",
    audience="api://AzureADTokenExchangeUSGov",
)
CHINA = AzureCloud(
    name="China",
    authority_host="login.partner.microsoftonline.cn",
    vault_suffix="vault.azure.cn",
    vault_scope="https://vault.azure.cn/.default",
    audience="api://AzureADTokenExchangeChina",
)
AZURE_CLOUDS = {cloud.name: cloud for cloud in (PUBLIC, US_GOVERNMENT, CHINA)}
"""By name. ``Custom`` is none of them: its endpoints come from the config, its hosts from the chart's allow-list."""
