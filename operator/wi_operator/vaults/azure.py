"""Azure Key Vault's data plane: reading one secret. No I/O.

Source: Microsoft Learn, "Azure Key Vault REST API: Get Secret". The token's tenant and audience are known, so the
request carries it at once; the vault's challenge is read only to compare its tenant with ours.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from wi_operator.core.secret import SecretValue
from wi_operator.federation.diagnosis import keyvault
from wi_operator.federation.diagnosis.base import DiagnosedError
from wi_operator.federation.diagnosis.bodies import json_object, member, text_of
from wi_operator.federation.exchange.base import HttpRequest, HttpResponse
from wi_operator.federation.hosts import Endpoint
from wi_operator.vaults.base import VaultSecret

API_VERSION = "7.6"
OK = 200
UNAUTHORIZED = 401


@dataclass(frozen=True, slots=True)
class KeyVault:
    """One vault; ``facts`` (``client_id``, ``tenant_id``, ``scope``) fill the diagnosis."""

    endpoint: Endpoint
    facts: dict[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The vault's own name, the first label of its host."""
        return self.endpoint.host.partition(".")[0]

    def build_read(self, secret: str, version: str, token: SecretValue) -> HttpRequest:
        """Return the request that reads a secret; an empty version means the latest."""
        path = "/".join(quote(part, safe="") for part in ("secrets", secret, version) if part)
        return HttpRequest(
            method="GET",
            endpoint=self.endpoint,
            target=f"/{path}?api-version={API_VERSION}",
            headers=(("authorization", f"Bearer {token.reveal()}"), ("accept", "application/json")),
        )

    def read_answer(self, secret: str, version: str, response: HttpResponse) -> VaultSecret:
        """Return the secret; raises ``DiagnosedError``."""
        facts = {**self.facts, "vault": self.name, "vault_host": self.endpoint.netloc}
        facts |= {"secret": secret, "version": version}
        if response.status != OK:
            challenge = response.headers.get("www-authenticate", "")
            raise DiagnosedError(
                keyvault.diagnose(
                    response.status, response.body, retry_after=response.retry_after, challenge=challenge, **facts
                )
            )
        bundle = json_object(response.body)
        value = bundle.get("value")
        if not isinstance(value, str):
            raise DiagnosedError(keyvault.UNREADABLE.diagnose(status=str(response.status), **facts))
        attributes = member(bundle, "attributes")
        return VaultSecret(
            value=SecretValue(value),
            version=_version_of(text_of(bundle, "id")),
            not_before=_time(attributes.get("nbf")),
            expires=_time(attributes.get("exp")),
            created=_time(attributes.get("created")),
        )


def _version_of(identifier: str) -> str:
    # Only shown: the last segment of https://<vault>/secrets/<name>/<version>.
    version = identifier.rpartition("/")[2]
    return version if version.isalnum() and len(version) <= 64 else ""


def _time(value: Any) -> float | None:
    return float(value) if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**11 else None
