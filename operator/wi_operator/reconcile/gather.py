"""All reads of one judgement: the index, the handshake, the vault's challenge. Errors become diagnoses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from wi_operator.api import names
from wi_operator.federation.azure import AzureEndpoints
from wi_operator.federation.diagnosis.base import DiagnosedError, Diagnosis
from wi_operator.federation.diagnosis.grants import refusal
from wi_operator.index.objects import AZURE, Config, Credential
from wi_operator.index.resolve import Refusal, find_config, unsupported
from wi_operator.reconcile import rows
from wi_operator.reconcile.decide import CredentialOutcome, mirror
from wi_operator.reconcile.handshake import Granted, Handshaker, LaggingError
from wi_operator.reconcile.store import Item, Store, status_of

AWS_AUDIENCE = "sts.amazonaws.com"


@dataclass(frozen=True, slots=True)
class ConfigFacts:
    """What is known of a config after its check; ``tested`` is false when nothing was presented to the cloud."""

    failure: Diagnosis | None
    federation: Mapping[str, str]
    ready_message: str
    tested: bool


@dataclass(frozen=True, slots=True)
class CredentialFacts:
    """What is known of a credential after its check."""

    outcome: CredentialOutcome
    config: Config | None


@dataclass(frozen=True, slots=True)
class Gatherer:
    """Collects facts; ``public_url`` is the issuer's, or empty."""

    store: Store
    handshaker: Handshaker
    public_url: str

    async def gather_config(self, item: Item) -> ConfigFacts:
        """Check a WorkloadIdentityConfig; raises ``LaggingError``."""
        config = Config.from_object(item)
        federation = self._federation(config)
        failure = self._obstacle(config)
        if failure is not None:
            return ConfigFacts(failure, federation, "", tested=False)
        granted: Granted | None = None
        try:
            granted = await self.handshaker.request_assertion(config)
            federation = {
                "issuer": granted.issuer,
                "subject": granted.subject,
                "audience": granted.audience,
                "organization": granted.organization,
            }
            await self.handshaker.exchange(config, granted)
        except DiagnosedError as error:
            return ConfigFacts(error.diagnosis, federation, "", tested=granted is not None)
        return ConfigFacts(None, federation, self._ready_message(config, federation), tested=True)

    async def gather_credential(self, item: Item, *, asked: bool) -> CredentialFacts:
        """Check a SecretProviderCredential; an asked test repeats the handshake of its config too."""
        credential = Credential.from_object(item)
        found = unsupported(credential) or find_config(self.store.index, credential)
        if isinstance(found, Refusal):
            return CredentialFacts(CredentialOutcome(refusal=_diagnose(found)), None)
        config_item = self.store.config_item(found.key)
        mirrored = mirror(config_item or {"metadata": {"name": found.key.name}})
        handshake_failure = None
        if asked and mirrored.condition.status == "True" and config_item is not None:
            handshake_failure = (await self.gather_config(config_item)).failure
        message, vault_failure = await self._probe(found, credential)
        outcome = CredentialOutcome(
            resolved=f"Uses WorkloadIdentityConfig '{found.key.name}'.",
            handshake=mirrored,
            asked_handshake=handshake_failure,
            vault_failure=vault_failure,
            vault_message=message,
        )
        return CredentialFacts(outcome, found)

    async def _probe(self, config: Config, credential: Credential) -> tuple[str, Diagnosis | None]:
        try:
            return await self.handshaker.probe_vault(config, credential.vault_url), None
        except DiagnosedError as error:
            return "", error.diagnosis

    def _obstacle(self, config: Config) -> Diagnosis | None:
        """Return what keeps us from even trying; raises ``LaggingError``."""
        if config.provider != AZURE:
            return rows.CONFIG_NOT_SUPPORTED.diagnose(provider=config.provider)
        if not self.public_url:
            return rows.ISSUER_URL_MISSING.diagnose()
        if config.key.namespace not in self.store.index.organizations:
            raise LaggingError
        return None

    def _federation(self, config: Config) -> dict[str, str]:
        """Return what to enter in the cloud, as far as known without the issuer."""
        organization = self.store.index.organizations.get(config.key.namespace)
        return {
            "issuer": self.public_url,
            "subject": "" if organization is None else organization.subject,
            "audience": self._audience(config),
            "organization": "" if organization is None else organization.id,
        }

    def _audience(self, config: Config) -> str:
        if config.provider == AZURE:
            return AzureEndpoints.from_block(config.azure).audience
        if config.provider == "AWS":
            return AWS_AUDIENCE
        item = self.store.config_item(config.key) or {}
        provider = ((item.get("spec") or {}).get("gcp") or {}).get("providerResourceName", "")
        return f"https://iam.googleapis.com/{provider}"

    def _ready_message(self, config: Config, federation: Mapping[str, str]) -> str:
        tenant, client = config.azure.get("tenantId", ""), config.azure.get("clientId", "")
        done = f"Tenant {tenant} gave app {client} a token for subject '{federation['subject']}'."
        organization = self.store.index.organizations.get(config.key.namespace)
        if organization is None or not organization.is_implicit:
            return done
        return (
            f"{done} OrganizationImplicit: the organization is the UID of namespace '{config.key.namespace}', which changes "
            f"when the namespace is made anew; set its annotation {names.ORGANIZATION_ANNOTATION} before creating federated "
            "credentials."
        )


def credential_extra(item: Item, config: Config | None) -> dict[str, Any]:
    """Return the credential's own status fields; a link that is gone is removed (null in a merge patch)."""
    if config is not None:
        return {"workloadIdentityConfig": {"name": config.key.name, "uid": config.uid}}
    return {"workloadIdentityConfig": None} if status_of(item).get("workloadIdentityConfig") else {}


def _diagnose(found: Refusal) -> Diagnosis:
    return refusal(found.status, reason=found.reason, detail=found.detail, remedy=found.remedy)
