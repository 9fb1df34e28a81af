"""What a credential asks to be proven of its vault: that one secret can be read, and which names there are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from wi_operator.core.clock import Clock, SystemClock, format_rfc3339
from wi_operator.federation.diagnosis import keyvault
from wi_operator.federation.diagnosis.base import DiagnosedError, Diagnosis, Retry
from wi_operator.index.objects import Credential
from wi_operator.reconcile.decide import Finding
from wi_operator.vaults.azure_sdk import Probed, VaultClient

LISTING_SECONDS = 6 * 3600.0
NAMES_LIMIT = 200
NO_PROBE = "No secret was read: set spec.azureKeyVault.probeSecret to the name of one that may be."
NO_LISTING = "The names of the secrets were not listed: spec.listSecretNames is false."
NOT_TRIED = "Not tried: an earlier step failed."


@dataclass(frozen=True, slots=True)
class Reads:
    """What was found; ``names`` are those to show in the status."""

    secret: Finding = None
    secret_untested: str = ""
    listing: Finding = None
    listing_untested: str = ""
    names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Listed:
    generation: int
    at: float
    finding: Finding
    names: tuple[str, ...]


@dataclass(slots=True)
class Probes:
    """Runs the reads; remembers a listing for six hours by the credential's uid, values never."""

    clock: Clock = field(default_factory=SystemClock)
    listing_seconds: float = LISTING_SECONDS
    _listed: dict[str, _Listed] = field(default_factory=dict)

    def wants_token(self, credential: Credential, item: Mapping[str, Any]) -> bool:
        """Tell whether a read is due."""
        return bool(_probe_secret(item)) or (_wants_names(item) and not self._is_fresh(credential))

    def skip(self, credential: Credential, item: Mapping[str, Any], why: str) -> Reads:
        """Return what there is to say without a read."""
        listed = self._listed.get(credential.uid) if _wants_names(item) else None
        return Reads(
            secret_untested=why if _probe_secret(item) else NO_PROBE,
            listing=listed.finding if listed else None,
            listing_untested=why if _wants_names(item) else NO_LISTING,
            names=listed.names if listed else _names_before(item),
        )

    def fail(self, credential: Credential, item: Mapping[str, Any], failure: Diagnosis) -> Reads:
        """Return what an error before the first read means."""
        reads = self.skip(credential, item, NOT_TRIED)
        return replace(reads, secret=failure) if _probe_secret(item) else reads

    def forget(self, uid: str) -> None:
        """Drop what is known of a deleted credential."""
        self._listed.pop(uid, None)

    async def run(self, client: VaultClient, credential: Credential, item: Mapping[str, Any], *, asked: bool) -> Reads:
        """Read what is due; errors become findings."""
        reads = self.skip(credential, item, NOT_TRIED)
        name = _probe_secret(item)
        if name:
            reads = replace(reads, secret=await self._probe(client, name))
        if _wants_names(item) and (asked or not self._is_fresh(credential)):
            listed = await self._list(client, credential)
            reads = replace(reads, listing=listed.finding, names=listed.names)
        return reads

    async def _probe(self, client: VaultClient, name: str) -> Finding:
        # Azure names have hyphens where a reference may have underscores.
        secret = name.replace("_", "-")
        try:
            return self._describe(client.endpoint.host.partition(".")[0], secret, await client.probe(secret))
        except DiagnosedError as error:
            return error.diagnosis

    def _describe(self, vault: str, secret: str, probed: Probed) -> str:
        facts = {
            "vault": vault,
            "secret": secret,
            "expires": _moment(probed.expires),
            "starts": _moment(probed.not_before),
        }
        said = f"Secret '{secret}' was read; its value was dropped."
        now = self.clock.now()
        if probed.expires is not None and probed.expires <= now:
            return f"{said} {keyvault.SECRET_EXPIRED.diagnose(**facts).message}"
        if probed.not_before is not None and probed.not_before > now:
            return f"{said} {keyvault.SECRET_NOT_YET_VALID.diagnose(**facts).message}"
        return said

    async def _list(self, client: VaultClient, credential: Credential) -> _Listed:
        before = self._listed.get(credential.uid)
        try:
            found = await client.list_names(NAMES_LIMIT)
        except DiagnosedError as error:
            if before is not None and error.diagnosis.row.retry is Retry.TRANSIENT:
                return before  # tried again at the next check: the old names still say more than none
            listed = _Listed(credential.generation, self.clock.monotonic(), error.diagnosis, ())
        else:
            count = f"the first {len(found.names)}" if found.more else str(len(found.names))
            said = f"Listed {count} secret name(s); see status.secretNames."
            listed = _Listed(credential.generation, self.clock.monotonic(), said, found.names)
        self._listed[credential.uid] = listed
        return listed

    def _is_fresh(self, credential: Credential) -> bool:
        listed = self._listed.get(credential.uid)
        if listed is None or listed.generation != credential.generation:
            return False
        # What failed is tried at every check: roles arrive late.
        age = self.clock.monotonic() - listed.at
        return isinstance(listed.finding, str) and age < self.listing_seconds


def _block(item: Mapping[str, Any]) -> Mapping[str, Any]:
    block: Mapping[str, Any] = (item.get("spec") or {}).get("azureKeyVault") or {}
    return block


def _probe_secret(item: Mapping[str, Any]) -> str:
    return str(_block(item).get("probeSecret") or "")


def _wants_names(item: Mapping[str, Any]) -> bool:
    return bool((item.get("spec") or {}).get("listSecretNames"))


def _names_before(item: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple((item.get("status") or {}).get("secretNames") or ()) if _wants_names(item) else ()


def _moment(seconds: float | None) -> str:
    return "" if seconds is None else format_rfc3339(seconds)
