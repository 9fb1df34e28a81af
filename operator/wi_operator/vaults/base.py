"""What every vault is: a request for one secret, and the reading of its answer. No I/O."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from wi_operator.core.secret import SecretValue
from wi_operator.federation.exchange.base import HttpRequest, HttpResponse


@dataclass(frozen=True, slots=True)
class VaultSecret:
    """One version of a secret; times are seconds since the epoch, informational (the vault gives it out anyway)."""

    value: SecretValue
    version: str
    not_before: float | None = None
    expires: float | None = None
    created: float | None = None


class Vault(Protocol):
    """A vault as the sidecar drives it."""

    def build_read(self, secret: str, version: str, token: SecretValue) -> HttpRequest:
        """Return the request that reads a secret; an empty version means the latest."""

    def read_answer(self, secret: str, version: str, response: HttpResponse) -> VaultSecret:
        """Return the secret; raises ``DiagnosedError``."""
