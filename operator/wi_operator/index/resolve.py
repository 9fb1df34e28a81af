"""From the name in a reference to a credential and its config, or to the reason why not. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from wi_operator.api import reasons
from wi_operator.index.objects import (
    AZURE_KEY_VAULT,
    CLOUD_OF_PROVIDER,
    WORKLOAD_IDENTITY,
    Config,
    Credential,
    ObjectKey,
)
from wi_operator.index.store import Index


@dataclass(frozen=True, slots=True)
class Link:
    """A credential and the config it uses."""

    credential: Credential
    config: Config


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why there is no link; ``status`` is the HTTP status that a grant answers with."""

    status: int
    reason: str
    detail: str
    remedy: str

    @property
    def message(self) -> str:
        """What happened and what to do."""
        return f"{self.detail} {self.remedy}"


def find_credential(index: Index, namespace: str, name: str) -> Credential | Refusal:
    """Find the credential ``name`` of ``namespace``; an empty name is the default one."""
    if name:
        return index.credentials.get(ObjectKey(namespace, name)) or Refusal(
            404,
            reasons.CREDENTIAL_NOT_FOUND,
            f"There is no SecretProviderCredential '{namespace}/{name}'.",
            f"Create it, or correct the reference secret://{name}/… (kubectl -n {namespace} get spcred).",
        )
    defaults = [credential for credential in index.credentials_in(namespace) if credential.is_default]
    if len(defaults) == 1:
        return defaults[0]
    return _default_refusal(namespace, sorted(credential.key.name for credential in defaults))


def _default_refusal(namespace: str, candidates: list[str]) -> Refusal:
    if candidates:
        return Refusal(
            409,
            reasons.AMBIGUOUS_DEFAULT,
            f"Namespace '{namespace}' has {len(candidates)} default SecretProviderCredentials: {', '.join(candidates)}.",
            "Keep spec.default: true on one of them, or name the credential in the reference.",
        )
    return Refusal(
        404,
        reasons.NO_DEFAULT_CREDENTIAL,
        f"Namespace '{namespace}' has no default SecretProviderCredential.",
        "Set spec.default: true on one, or name the credential: secret://<credential>/<secret-name>.",
    )


def find_config(index: Index, credential: Credential) -> Config | Refusal:
    """Find the config that ``credential`` links to, or the namespace's default of its cloud."""
    namespace = credential.key.namespace
    cloud = CLOUD_OF_PROVIDER.get(credential.provider, credential.provider)
    if credential.config_ref:
        return _named_config(index, credential, cloud)
    candidates = [c for c in index.configs_in(namespace) if c.provider == cloud and c.is_default]
    if len(candidates) == 1:
        return candidates[0]
    if candidates:
        listed = ", ".join(sorted(config.key.name for config in candidates))
        return Refusal(
            409,
            reasons.AMBIGUOUS_DEFAULT,
            f"Namespace '{namespace}' has {len(candidates)} default {cloud} WorkloadIdentityConfigs: {listed}.",
            "Keep spec.default: true on one of them, or set spec.workloadIdentityRef.",
        )
    return Refusal(
        409,
        reasons.CONFIG_NOT_FOUND,
        f"Namespace '{namespace}' has no default {cloud} WorkloadIdentityConfig.",
        f"Set spec.workloadIdentityRef on SecretProviderCredential '{credential.key}', or spec.default: true on a config.",
    )


def _named_config(index: Index, credential: Credential, cloud: str) -> Config | Refusal:
    key = ObjectKey(credential.key.namespace, credential.config_ref)
    config = index.configs.get(key)
    if config is None:
        return Refusal(
            409,
            reasons.CONFIG_NOT_FOUND,
            f"SecretProviderCredential '{credential.key}' refers to WorkloadIdentityConfig '{key}', which does not exist.",
            "Create it, or correct spec.workloadIdentityRef.name.",
        )
    if config.provider != cloud:
        return Refusal(
            409,
            reasons.PROVIDER_MISMATCH,
            f"SecretProviderCredential '{credential.key}' ({credential.provider}) refers to WorkloadIdentityConfig '{key}', "
            f"which is for {config.provider}.",
            f"Refer to a config with provider: {cloud}.",
        )
    return config


def unsupported(credential: Credential) -> Refusal | None:
    """Say what is accepted but not built yet, else ``None``."""
    if credential.provider == AZURE_KEY_VAULT and credential.auth_method == WORKLOAD_IDENTITY:
        return None
    what = credential.provider if credential.provider != AZURE_KEY_VAULT else f"authMethod {credential.auth_method}"
    return Refusal(
        409,
        reasons.NOT_SUPPORTED_YET,
        f"SecretProviderCredential '{credential.key}' asks for {what}, which this version does not read yet.",
        "Use provider: AzureKeyVault with authMethod: WorkloadIdentity.",
    )


def resolve(index: Index, namespace: str, name: str) -> Link | Refusal:
    """Resolve the credential ``name`` (empty: the default) of ``namespace`` to a link."""
    credential = find_credential(index, namespace, name)
    if isinstance(credential, Refusal):
        return credential
    if refusal := unsupported(credential):
        return refusal
    config = find_config(index, credential)
    return config if isinstance(config, Refusal) else Link(credential, config)


def check_service_account(credential: Credential, account: str) -> Refusal | None:
    """Refuse an account that ``allowedServiceAccounts`` does not list; an empty list allows every one."""
    allowed = credential.allowed_service_accounts
    if not allowed or account in allowed:
        return None
    return Refusal(
        403,
        reasons.SERVICE_ACCOUNT_NOT_ALLOWED,
        f"Service account '{credential.key.namespace}/{account}' may not use SecretProviderCredential '{credential.key}'.",
        f"Add it to spec.allowedServiceAccounts (now: {', '.join(allowed)}), or run the pod with one of these.",
    )
