"""SecretProviderCredential: which vault, and how to authenticate to it."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from wi_operator.api import names
from wi_operator.api.v1alpha1.common import Conditions, Handshake, Kind, PrinterColumn, Rule, Strict

DNS_SUBDOMAIN = r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$"
VAULT_URL_MISSING = "azure_vault_url is required for Azure secret resolution"
VAULT_URL = r"^https://[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?(:[0-9]{1,5})?/?$"

ObjectName = Annotated[str, Field(pattern=DNS_SUBDOMAIN, min_length=1, max_length=253)]


class WorkloadIdentityRef(Strict):
    """A WorkloadIdentityConfig of the same namespace."""

    name: ObjectName = Field(description="Name of the WorkloadIdentityConfig.")


class AzureKeyVault(Strict):
    """A Key Vault that uses Azure RBAC."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule("has(self.vaultUrl) && size(self.vaultUrl) > 0", VAULT_URL_MISSING),
        Rule(
            f"!has(self.vaultUrl) || size(self.vaultUrl) == 0 || self.vaultUrl.matches('{VAULT_URL}')",
            "vaultUrl must be https://<vault>.vault.azure.net: https, a host, no user, path or query",
        ),
    )

    vault_url: Annotated[str, Field(max_length=253)] | None = Field(
        default=None, description="URL of the vault, for example https://demo.vault.azure.net. Required."
    )
    probe_secret: Annotated[str, Field(pattern=r"^[0-9a-zA-Z_-]{1,127}$", max_length=127)] | None = Field(
        default=None,
        description="A secret that the controller may read to prove permission; its value is dropped unread.",
    )


class SecretProviderCredentialSpec(Strict):
    """Which vault a reference ``secret://<this name>/...`` reads."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "self.provider != 'AzureKeyVault' || self.authMethod != 'WorkloadIdentity' || has(self.azureKeyVault)",
            VAULT_URL_MISSING,
        ),
        Rule(
            "self.provider == 'AzureKeyVault' || !has(self.azureKeyVault)",
            "the block azureKeyVault goes only with provider: AzureKeyVault",
        ),
        Rule(
            "self.authMethod == 'WorkloadIdentity' || !has(self.workloadIdentityRef)",
            "workloadIdentityRef goes only with authMethod: WorkloadIdentity",
        ),
    )

    provider: Literal["AzureKeyVault", "AWSSecretsManager", "GCPSecretManager"] = Field(description="Kind of vault.")
    auth_method: Annotated[
        Literal["WorkloadIdentity", "ClientSecret"],
        Field(
            json_schema_extra={
                "x-kubernetes-validations": [
                    {
                        "rule": "self == oldSelf",
                        "message": "authMethod is immutable: create another SecretProviderCredential",
                    }
                ]
            }
        ),
    ] = Field(
        default="WorkloadIdentity", description="How to authenticate; ClientSecret is not supported yet. Immutable."
    )
    workload_identity_ref: WorkloadIdentityRef | None = Field(
        default=None, description="Config to use; omitted: the namespace's default config of that cloud."
    )
    default: bool = Field(default=False, description="Serve references without a credential name; one per namespace.")
    allowed_service_accounts: Annotated[
        list[ObjectName], Field(max_length=64, json_schema_extra={"x-kubernetes-list-type": "set"})
    ] = Field(
        default_factory=list,
        description="Service accounts that may use it; empty: every one of the namespace. A guard rail, no isolation.",
    )
    azure_key_vault: AzureKeyVault | None = Field(default=None, description="The Azure Key Vault.")
    list_secret_names: bool = Field(
        default=False, description="Keep the names of the vault's secrets in status; needs a role on the whole vault."
    )


class ConfigReference(Strict):
    """The config that was resolved."""

    name: str = Field(max_length=253, description="Name of the WorkloadIdentityConfig.")
    uid: str = Field(max_length=64, description="UID of the WorkloadIdentityConfig.")


class SecretProviderCredentialStatus(Strict):
    """What was proven, and when."""

    observed_generation: int | None = Field(
        default=None, description="Generation of the spec that the status speaks of."
    )
    conditions: Conditions = Field(
        default_factory=list,
        description="ConfigResolved, HandshakeSucceeded, VaultReachable, SecretReadable, SecretsListable, Ready.",
    )
    workload_identity_config: ConfigReference | None = Field(
        default=None, description="The config in use; while none can be resolved, the last one."
    )
    handshake: Handshake | None = Field(default=None, description="The last handshake with the cloud.")
    secret_names: Annotated[list[Annotated[str, Field(max_length=127)]], Field(max_length=200)] = Field(
        default_factory=list, description="Names of secrets, where listSecretNames is on; never values."
    )


SECRET_PROVIDER_CREDENTIAL = Kind(
    kind=names.CREDENTIAL_KIND,
    plural=names.CREDENTIAL_PLURAL,
    short_name=names.CREDENTIAL_SHORT,
    description="Which vault to read, and how to authenticate to it.",
    spec=SecretProviderCredentialSpec,
    status=SecretProviderCredentialStatus,
    columns=(
        PrinterColumn("Ready", ".status.conditions[?(@.type=='Ready')].status"),
        PrinterColumn("Reason", ".status.conditions[?(@.type=='Ready')].reason"),
        PrinterColumn("Provider", ".spec.provider"),
        PrinterColumn("Vault", ".spec.azureKeyVault.vaultUrl"),
        PrinterColumn("Age", ".metadata.creationTimestamp", type="date"),
        PrinterColumn("Config", ".status.workloadIdentityConfig.name", priority=1),
        PrinterColumn("Last Success", ".status.handshake.lastSuccessTime", type="date", priority=1),
    ),
)
