"""Why a reference leads to no credential and no config; admission, conditions, grants and kickoffs say the same."""

from __future__ import annotations

from wi_operator.federation.diagnosis.base import Provenance, Retry, Row, Surface

KICKOFF = frozenset({Surface.ADMISSION, Surface.KICKOFF})
EVERYWHERE = KICKOFF | {Surface.CREDENTIAL}


def _row(reason: str, cause: str, remedy: str, surfaces: frozenset[Surface]) -> Row:
    return Row(reason, reason, cause, remedy, Retry.CONFIG, Provenance.DOCUMENTED, surfaces)


CREDENTIAL_NOT_FOUND = _row(
    "CredentialNotFound",
    "There is no SecretProviderCredential '{namespace}/{name}'.",
    "Create it, or correct the reference secret://{name}/<secret-name> (kubectl -n {namespace} get spcred).",
    KICKOFF,
)
NO_DEFAULT_CREDENTIAL = _row(
    "NoDefaultCredential",
    "Namespace '{namespace}' has no default SecretProviderCredential.",
    "Set spec.default: true on one, or name the credential: secret://<credential>/<secret-name>.",
    KICKOFF,
)
AMBIGUOUS_DEFAULT = _row(
    "AmbiguousDefault",
    "Namespace '{namespace}' has {count} default {kind}s: {names}.",
    "Keep spec.default: true on one of them, or name the one that is meant.",
    EVERYWHERE | {Surface.CONFIG},
)
CONFIG_NOT_FOUND = _row(
    "ConfigNotFound",
    "SecretProviderCredential '{credential}' needs a WorkloadIdentityConfig that does not exist: {wanted}.",
    "Create it, or correct spec.workloadIdentityRef.name; without one a config needs spec.default: true.",
    EVERYWHERE,
)
PROVIDER_MISMATCH = _row(
    "ProviderMismatch",
    "SecretProviderCredential '{credential}' ({provider}) refers to WorkloadIdentityConfig '{config}', which is for {cloud}.",
    "Refer to a config whose spec.provider is {wanted}.",
    EVERYWHERE,
)
NOT_SUPPORTED_YET = _row(
    "NotSupportedYet",
    "{object} asks for {what}, which this version does not use yet.",
    "Use provider: Azure, and provider: AzureKeyVault with authMethod: WorkloadIdentity, until then.",
    EVERYWHERE | {Surface.CONFIG},
)
SERVICE_ACCOUNT_NOT_ALLOWED = _row(
    "ServiceAccountNotAllowed",
    "Service account '{account}' may not use SecretProviderCredential '{credential}'.",
    "Add it to spec.allowedServiceAccounts (now: {names}), or run the pod with one of these.",
    KICKOFF,
)
FORBIDDEN_HOST = _row(
    "ForbiddenHost",
    "{detail}.",
    "Correct the URL, or let an administrator add the host to the chart's value allowedHosts.",
    frozenset({Surface.CONFIG, Surface.CREDENTIAL, Surface.KICKOFF}),
)
VAULT_URL_MISSING = _row(
    "VaultUrlMissing",
    "azure_vault_url is required for Azure secret resolution.",
    "Set spec.azureKeyVault.vaultUrl of the SecretProviderCredential: az keyvault show --name <vault> --query "
    "properties.vaultUri .",
    frozenset({Surface.ADMISSION}),
)
ROWS = (
    VAULT_URL_MISSING,
    CREDENTIAL_NOT_FOUND,
    NO_DEFAULT_CREDENTIAL,
    AMBIGUOUS_DEFAULT,
    CONFIG_NOT_FOUND,
    PROVIDER_MISMATCH,
    NOT_SUPPORTED_YET,
    SERVICE_ACCOUNT_NOT_ALLOWED,
    FORBIDDEN_HOST,
)
