"""WorkloadIdentityConfig: who we are in a cloud."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from wi_operator.api import names
from wi_operator.api.v1alpha1.common import (
    Conditions,
    Handshake,
    HttpsOrigin,
    Kind,
    PrinterColumn,
    Rule,
    Strict,
)

TENANT = (
    r"^([0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}|[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9-]+)+)$"
)
GUID = r"^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$"
ROLE_ARN = r"^arn:(aws|aws-cn|aws-us-gov):iam::[0-9]{12}:role/[A-Za-z0-9+=,.@_/-]{1,512}$"
REGION = r"^[a-z]{2}(-[a-z]+)+-[0-9]$"
GCP_PROVIDER = (
    r"^projects/[0-9]+/locations/global/workloadIdentityPools/[a-z][a-z0-9-]{2,30}[a-z0-9]"
    r"/providers/[a-z][a-z0-9-]{2,30}[a-z0-9]$"
)
GCP_ACCOUNT = r"^[a-z][a-z0-9-]{4,28}[a-z0-9]@[a-z][a-z0-9-]{4,28}[a-z0-9]\.iam\.gserviceaccount\.com$"


class CustomCloud(Strict):
    """A private or test cloud. Its hosts must stand on the chart's allow-list (hosts.azure)."""

    authority_host: HttpsOrigin = Field(
        description="Authority that issues the tokens, for example https://login.example.com."
    )
    vault_scope: Annotated[str, Field(pattern=r"^https://[a-z0-9.-]+/\.default$", max_length=253)] = Field(
        description="Scope of a vault token, for example https://vault.example.com/.default."
    )
    ca_bundle: Annotated[str, Field(max_length=65536)] = Field(
        default="", description="PEM certificates that sign the cloud's hosts; empty: the system's authorities."
    )


class AzureIdentity(Strict):
    """An app registration (or user-assigned managed identity) that trusts this issuer by a federated credential."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "(has(self.cloud) && self.cloud == 'Custom') == has(self.custom)",
            "cloud: Custom and the block custom go together: write both, or neither",
        ),
    )

    tenant_id: Annotated[str, Field(pattern=TENANT, max_length=253)] = Field(
        description="Directory (tenant) id, a GUID, or a verified domain of the tenant."
    )
    client_id: Annotated[str, Field(pattern=GUID, max_length=36)] = Field(
        description="Application (client) id of the app registration; not its object id."
    )
    cloud: Literal["Public", "USGovernment", "China", "Custom"] = Field(
        default="Public", description="Fixes authority, vault suffix, scope and audience together."
    )
    custom: CustomCloud | None = Field(default=None, description="The endpoints of cloud: Custom.")


class AwsIdentity(Strict):
    """An IAM role that trusts this issuer. Accepted now; not used yet (reason NotSupportedYet)."""

    role_arn: Annotated[str, Field(pattern=ROLE_ARN, max_length=600)] = Field(
        description="ARN of the IAM role to assume."
    )
    region: Annotated[str, Field(pattern=REGION, max_length=32)] = Field(description="Region of the token service.")


class GcpIdentity(Strict):
    """A workload identity pool provider that trusts this issuer. Accepted now; not used yet (reason NotSupportedYet)."""

    provider_resource_name: Annotated[str, Field(pattern=GCP_PROVIDER, max_length=253)] = Field(
        description="projects/<number>/locations/global/workloadIdentityPools/<pool>/providers/<provider>."
    )
    service_account: Annotated[str, Field(pattern=GCP_ACCOUNT, max_length=100)] | None = Field(
        default=None, description="Service account to impersonate; omitted: direct access."
    )


class WorkloadIdentityConfigSpec(Strict):
    """Who we are in one cloud; exactly the block that matches ``provider``."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "(self.provider == 'Azure') == has(self.azure)", "provider: Azure needs the block azure, and only with it"
        ),
        Rule("(self.provider == 'AWS') == has(self.aws)", "provider: AWS needs the block aws, and only with it"),
        Rule("(self.provider == 'GCP') == has(self.gcp)", "provider: GCP needs the block gcp, and only with it"),
    )

    provider: Literal["Azure", "AWS", "GCP"] = Field(description="The cloud; the block of the same name must be given.")
    default: bool = Field(
        default=False,
        description="Use this config for credentials of this cloud without a workloadIdentityRef; one per cloud and namespace.",
    )
    azure: AzureIdentity | None = Field(default=None, description="Identity in Microsoft Entra.")
    aws: AwsIdentity | None = Field(default=None, description="Identity in AWS.")
    gcp: GcpIdentity | None = Field(default=None, description="Identity in Google Cloud.")


class Federation(Strict):
    """What to enter in the cloud, byte for byte."""

    issuer: str = Field(default="", max_length=600, description="Issuer of the assertion.")
    subject: str = Field(default="", max_length=600, description="Subject of the assertion.")
    audience: str = Field(default="", max_length=600, description="Audience of the assertion.")
    organization: str = Field(default="", max_length=253, description="UUID of the namespace's organization.")


class WorkloadIdentityConfigStatus(Strict):
    """What was proven, and when."""

    observed_generation: int | None = Field(
        default=None, description="Generation of the spec that the status speaks of."
    )
    conditions: Conditions = Field(default_factory=list, description="IssuerPublished, HandshakeSucceeded, Ready.")
    federation: Federation | None = Field(default=None, description="The federated credential to create in the cloud.")
    handshake: Handshake | None = Field(default=None, description="The last handshake with the cloud.")


WORKLOAD_IDENTITY_CONFIG = Kind(
    kind=names.CONFIG_KIND,
    plural=names.CONFIG_PLURAL,
    short_name=names.CONFIG_SHORT,
    description="Who the pods of a namespace are in a cloud, without any stored secret.",
    spec=WorkloadIdentityConfigSpec,
    status=WorkloadIdentityConfigStatus,
    columns=(
        PrinterColumn("Ready", ".status.conditions[?(@.type=='Ready')].status"),
        PrinterColumn("Reason", ".status.conditions[?(@.type=='Ready')].reason"),
        PrinterColumn("Provider", ".spec.provider"),
        PrinterColumn("Tenant", ".spec.azure.tenantId"),
        PrinterColumn("Age", ".metadata.creationTimestamp", type="date"),
        PrinterColumn("Subject", ".status.federation.subject", priority=1),
        PrinterColumn("Last Success", ".status.handshake.lastSuccessTime", type="date", priority=1),
    ),
)
