"""From the name in a reference to a credential and its config, or to the reason why not. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from wi_operator.federation.diagnosis import links
from wi_operator.federation.diagnosis.base import Diagnosis
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
    """Why there is no link: a row of the diagnosis table; ``status`` is the HTTP status that a grant answers with."""

    status: int
    diagnosis: Diagnosis

    @property
    def reason(self) -> str:
        """CamelCase reason."""
        return self.diagnosis.reason

    @property
    def message(self) -> str:
        """What happened and what to do."""
        return self.diagnosis.message


def find_credential(index: Index, namespace: str, name: str) -> Credential | Refusal:
    """Find the credential ``name`` of ``namespace``; an empty name is the default one."""
    if name:
        return index.credentials.get(ObjectKey(namespace, name)) or Refusal(
            404, links.CREDENTIAL_NOT_FOUND.diagnose(namespace=namespace, name=name)
        )
    defaults = [credential for credential in index.credentials_in(namespace) if credential.is_default]
    if len(defaults) == 1:
        return defaults[0]
    if defaults:
        return _ambiguous(namespace, "SecretProviderCredential", [credential.key for credential in defaults])
    return Refusal(404, links.NO_DEFAULT_CREDENTIAL.diagnose(namespace=namespace))


def ambiguous_default(namespace: str, kind: str, keys: Iterable[ObjectKey]) -> Diagnosis:
    """Return what two defaults of ``kind`` in ``namespace`` mean."""
    listed = sorted(key.name for key in keys)
    return links.AMBIGUOUS_DEFAULT.diagnose(
        namespace=namespace, kind=kind, count=str(len(listed)), names=", ".join(listed)
    )


def _ambiguous(namespace: str, kind: str, keys: Iterable[ObjectKey]) -> Refusal:
    return Refusal(409, ambiguous_default(namespace, kind, keys))


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
        return _ambiguous(namespace, f"{cloud} WorkloadIdentityConfig", [config.key for config in candidates])
    wanted = f"a default one for {cloud} in namespace '{namespace}'"
    return Refusal(409, links.CONFIG_NOT_FOUND.diagnose(credential=str(credential.key), wanted=wanted))


def _named_config(index: Index, credential: Credential, cloud: str) -> Config | Refusal:
    key = ObjectKey(credential.key.namespace, credential.config_ref)
    config = index.configs.get(key)
    if config is None:
        return Refusal(409, links.CONFIG_NOT_FOUND.diagnose(credential=str(credential.key), wanted=f"'{key}'"))
    if config.provider != cloud:
        return Refusal(
            409,
            links.PROVIDER_MISMATCH.diagnose(
                credential=str(credential.key),
                provider=credential.provider,
                config=str(key),
                cloud=config.provider,
                wanted=cloud,
            ),
        )
    return config


def unsupported(credential: Credential) -> Refusal | None:
    """Say what is accepted but not built yet, else ``None``."""
    if credential.provider == AZURE_KEY_VAULT and credential.auth_method == WORKLOAD_IDENTITY:
        return None
    what = credential.provider if credential.provider != AZURE_KEY_VAULT else f"authMethod {credential.auth_method}"
    asking = f"SecretProviderCredential '{credential.key}'"
    return Refusal(409, links.NOT_SUPPORTED_YET.diagnose(object=asking, what=what))


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
        links.SERVICE_ACCOUNT_NOT_ALLOWED.diagnose(
            account=f"{credential.key.namespace}/{account}", credential=str(credential.key), names=", ".join(allowed)
        ),
    )
