"""What the issuer answers to a request for grants, as values."""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from wi_operator.core.secret import SecretValue
from wi_operator.federation.diagnosis.base import Diagnosis
from wi_operator.federation.diagnosis.bodies import json_object
from wi_operator.federation.diagnosis.grants import refusal

AZURE_KEY_VAULT = "AzureKeyVault"
RENEWAL = 0.79
"""Part of its life after which a grant is renewed at the latest: of an hour it leaves more than the twelve minutes that an outage
of the issuer or of the API server may last without a failed kickoff."""
JITTER = 0.09
"""By how much earlier it may be, differing from grant to grant: pods that started together must not renew together."""


class UnreadableGrantsError(Exception):
    """The answer is not a grants document."""


@dataclass(frozen=True, slots=True)
class ConfigIdentity:
    """The WorkloadIdentityConfig behind a grant."""

    namespace: str
    name: str
    uid: str
    generation: int

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True)
class AzureGrant:
    """Where to exchange the assertion, and the vault; URLs as the issuer wrote them."""

    tenant_id: str
    client_id: str
    authority_host: str
    vault_url: str
    vault_scope: str


@dataclass(frozen=True, slots=True)
class Grant:
    """Leave to use one credential: ``assertion`` is presented to the cloud, to ``hosts`` only."""

    credential: str
    provider: str
    config: ConfigIdentity
    assertion: SecretValue
    lifetime: float
    hosts: tuple[str, ...]
    azure: AzureGrant | None


@dataclass(frozen=True, slots=True)
class GrantSet:
    """One answer; ``received_at`` is our own clock, so that a skewed issuer's does not shorten grants."""

    etag: str
    organization: str
    key_epoch: int
    fingerprint_key: bytes = field(repr=False)
    grants: Mapping[str, Grant]
    refusals: Mapping[str, Diagnosis]
    ca_bundle: str
    issuer_ca: str
    received_at: float
    renewal: float = RENEWAL

    @property
    def lifetime(self) -> float:
        """Seconds that the shortest grant lives."""
        return min((grant.lifetime for grant in self.grants.values()), default=3600.0)

    def is_usable(self, now: float) -> bool:
        """Tell whether no grant has expired."""
        return now < self.received_at + self.lifetime

    def is_due(self, now: float) -> bool:
        """Tell whether it is time for new grants."""
        return now >= self.renew_at

    @property
    def renew_at(self) -> float:
        """Seconds since the epoch."""
        return self.received_at + self.renewal * self.lifetime


def read_grants(body: bytes, *, etag: str, now: float) -> GrantSet:
    """Read a 200 answer; raises ``UnreadableGrantsError``."""
    document = json_object(body)
    try:
        grants = [_grant(entry) for entry in document["grants"]]
        return GrantSet(
            etag=etag,
            organization=_text(document, "organization"),
            key_epoch=int(document.get("keyEpoch", 0)),
            fingerprint_key=base64.b64decode(document.get("fingerprintKey", ""), validate=True),
            grants={grant.credential: grant for grant in grants},
            refusals={entry["credential"]: _refusal(entry) for entry in document.get("refusals", ())},
            ca_bundle=str(document.get("caBundle") or ""),
            issuer_ca=str(document.get("issuerCaBundle") or ""),
            received_at=now,
            renewal=RENEWAL - JITTER * os.urandom(1)[0] / 255,
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UnreadableGrantsError(type(error).__name__) from error


def _grant(entry: dict[str, Any]) -> Grant:
    config = entry["config"]
    azure = entry.get("azure")
    lifetime = float(entry["expiresAt"]) - float(entry["issuedAt"])
    if lifetime <= 0:
        raise ValueError("a grant that has expired")
    return Grant(
        credential=_text(entry, "credential"),
        provider=_text(entry, "provider"),
        config=ConfigIdentity(
            _text(config, "namespace"), _text(config, "name"), _text(config, "uid"), int(config["generation"])
        ),
        assertion=SecretValue(_text(entry, "assertion")),
        lifetime=lifetime,
        hosts=tuple(str(host) for host in entry["hosts"]),
        azure=_azure(azure) if azure else None,
    )


def _azure(entry: dict[str, Any]) -> AzureGrant:
    return AzureGrant(
        tenant_id=_text(entry, "tenantId"),
        client_id=_text(entry, "clientId"),
        authority_host=_text(entry, "authorityHost"),
        vault_url=_text(entry, "vaultUrl"),
        vault_scope=_text(entry, "vaultScope"),
    )


def _refusal(entry: dict[str, Any]) -> Diagnosis:
    return refusal(
        int(entry.get("status", 403)),
        reason=str(entry.get("reason", "")),
        detail=str(entry.get("detail", "")),
        remedy=str(entry.get("remedy", "")),
    )


def _text(entry: dict[str, Any], name: str) -> str:
    value = entry[name]
    if not isinstance(value, str):
        raise TypeError(name)
    return value
