"""All reads of one judgement: the index, the handshake, the vault. Errors become diagnoses."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from prometheus_client import CollectorRegistry

from wi_operator.core.clock import SystemClock
from wi_operator.federation.azure import AzureEndpoints
from wi_operator.federation.diagnosis import issuer, links
from wi_operator.federation.diagnosis.base import DiagnosedError, Diagnosis
from wi_operator.index.objects import AZURE, Config, Credential
from wi_operator.index.resolve import Refusal, find_config, unsupported
from wi_operator.reconcile import notes
from wi_operator.reconcile.decide import ConfigOutcome, CredentialOutcome, Finding, is_checked, mirror
from wi_operator.reconcile.handshake import Granted, Handshaker, LaggingError
from wi_operator.reconcile.metrics import CheckMetrics, Timer
from wi_operator.reconcile.probes import NOT_TRIED, Probes, Reads
from wi_operator.reconcile.publication import Publication
from wi_operator.reconcile.store import Item, Store, status_of

AWS_AUDIENCE = "sts.amazonaws.com"


@dataclass(frozen=True, slots=True)
class ConfigFacts:
    """What is known of a config after its check.

    ``disputed`` says that the namespace's organization is not believed; ``is_behind``: the issuer has yet to judge it.
    """

    outcome: ConfigOutcome
    federation: Mapping[str, str]
    disputed: str = ""
    is_behind: bool = False


@dataclass(frozen=True, slots=True)
class CredentialFacts:
    """What is known of a credential after its check; ``default_changed`` names the default config before, if another."""

    outcome: CredentialOutcome
    config: Config | None
    secret_names: tuple[str, ...] = ()
    default_changed: str = ""


@dataclass(frozen=True, slots=True)
class Gatherer:
    """Collects facts; ``public_url`` is the issuer's, or empty."""

    store: Store
    handshaker: Handshaker
    publication: Publication
    public_url: str
    probes: Probes = field(default_factory=Probes)
    metrics: CheckMetrics = field(default_factory=lambda: CheckMetrics(CollectorRegistry(), SystemClock()))

    async def gather_config(self, item: Item, *, asked: bool = False) -> ConfigFacts:
        """Check a WorkloadIdentityConfig; raises ``LaggingError``."""
        config = Config.from_object(item)
        federation = self._federation(config)
        remarks = notes.of_config(self.store.index, config)
        failure = self._obstacle(config)
        if failure is not None:
            return ConfigFacts(ConfigOutcome(failure, tested=False, notes=remarks), federation)
        timer = self.metrics.handshakes.start()
        try:
            granted = await self.handshaker.request_assertion(config)
        except DiagnosedError as error:
            timer.end(error.diagnosis.reason)
            return ConfigFacts(ConfigOutcome(error.diagnosis, tested=False, notes=remarks), federation)
        federation = {
            "issuer": granted.issuer,
            "subject": granted.subject,
            "audience": granted.audience,
            "organization": granted.organization,
        }
        failure, published = await asyncio.gather(
            self._exchange(config, granted, timer),
            self.publication.check(granted.issuer, granted.documents, asked=asked),
        )
        proof = (
            f"Tenant {config.azure.get('tenantId', '')} gave app {config.azure.get('clientId', '')} a token for subject "
            f"'{granted.subject}'."
        )
        disputed = notes.disputed_organization(config, granted.organization, granted.disputed)
        outcome = ConfigOutcome(failure, issuer=published, proof=proof, notes=(*remarks, *filter(None, [disputed])))
        return ConfigFacts(outcome, federation, disputed, self._is_behind(config, granted))

    def _is_behind(self, config: Config, granted: Granted) -> bool:
        """Tell whether the issuer has yet to judge an organization that the watch already shows."""
        shown = self.store.index.organizations.get(config.key.namespace)
        return not granted.disputed and shown is not None and shown.id != granted.organization

    async def _exchange(self, config: Config, granted: Granted, timer: Timer) -> Diagnosis | None:
        try:
            await self.handshaker.exchange(config, granted)
        except DiagnosedError as error:
            timer.end(error.diagnosis.reason)
            return error.diagnosis
        timer.end()
        return None

    async def gather_credential(self, item: Item, *, asked: bool, patient: bool = False) -> CredentialFacts:
        """Check a SecretProviderCredential; an asked test repeats the handshake of its config too.

        Raises ``LaggingError`` while its config has not been judged and the caller is ``patient``: one write then says all.
        """
        credential = Credential.from_object(item)
        remarks = notes.of_credential(self.store.index, credential)
        found = unsupported(credential) or find_config(self.store.index, credential)
        if isinstance(found, Refusal):
            return CredentialFacts(CredentialOutcome(refusal=found.diagnosis, notes=remarks), None)
        mirrored = mirror(self.store.config_item(found.key) or {"metadata": {"name": found.key.name}})
        if patient and not is_checked(mirrored):
            raise LaggingError
        handshake_failure, granted = None, None
        if mirrored.condition.status == "True" and (asked or self.probes.wants_token(credential, item)):
            handshake_failure, granted = await self._open(found, asked=asked)
        timer = self.metrics.vaults.start()
        vault = await self._ask_vault(found, credential)
        reads = await self._read(found, credential, item, granted, vault, asked=asked)
        timer.end(_first_reason(vault, reads.secret, reads.listing))
        resolved, changed = notes.resolution(credential, found, item)
        outcome = CredentialOutcome(
            resolved=resolved,
            handshake=mirrored,
            asked_handshake=handshake_failure,
            vault=vault,
            secret=reads.secret,
            secret_untested=reads.secret_untested,
            listing=reads.listing,
            listing_untested=reads.listing_untested,
            notes=remarks,
        )
        return CredentialFacts(outcome, found, reads.names, changed)

    async def _open(self, config: Config, *, asked: bool) -> tuple[Diagnosis | None, Granted | None]:
        """Get an assertion to read with; an asked test presents it at once, to tell the handshake's failure by itself."""
        timer = self.metrics.handshakes.start()
        try:
            granted = await self.handshaker.request_assertion(config)
        except DiagnosedError as error:
            timer.end(error.diagnosis.reason)
            return error.diagnosis, None
        failure = await self._exchange(config, granted, timer) if asked else None
        return failure, None if failure else granted

    async def _ask_vault(self, config: Config, credential: Credential) -> Finding:
        try:
            return await self.handshaker.probe_vault(config, credential.vault_url)
        except DiagnosedError as error:
            return error.diagnosis

    async def _read(
        self,
        config: Config,
        credential: Credential,
        item: Item,
        granted: Granted | None,
        vault: Finding,
        *,
        asked: bool,
    ) -> Reads:
        if granted is None or isinstance(vault, Diagnosis):
            return self.probes.skip(credential, item, NOT_TRIED)
        try:
            async with self.handshaker.open_vault(config, granted, credential.vault_url) as client:
                return await self.probes.run(client, credential, item, asked=asked)
        except DiagnosedError as error:
            return self.probes.fail(credential, item, error.diagnosis)

    def forget(self, uid: str) -> None:
        """Drop what is remembered of a deleted credential."""
        self.probes.forget(uid)

    def _obstacle(self, config: Config) -> Diagnosis | None:
        """Return what keeps us from even trying; raises ``LaggingError``."""
        if config.provider != AZURE:
            return links.NOT_SUPPORTED_YET.diagnose(
                object=f"WorkloadIdentityConfig '{config.key}'", what=config.provider
            )
        if not self.public_url:
            return issuer.URL_MISSING.diagnose()
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


def _first_reason(*findings: Finding) -> str:
    return next((finding.reason for finding in findings if isinstance(finding, Diagnosis)), "")


def credential_extra(item: Item, facts: CredentialFacts) -> dict[str, Any]:
    """Return the credential's own status fields; what is not there is removed by the apply.

    The last config stays while none can be resolved: no default changes to another without a moment of none or two.
    """
    last = status_of(item).get("workloadIdentityConfig")
    extra: dict[str, Any] = {"workloadIdentityConfig": last} if last else {}
    if facts.config is not None:
        extra["workloadIdentityConfig"] = {"name": facts.config.key.name, "uid": facts.config.uid}
    if facts.secret_names:
        extra["secretNames"] = list(facts.secret_names)
    return extra
