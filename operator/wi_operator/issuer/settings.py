"""What the issuer is told; ``main`` fills it."""

from __future__ import annotations

from dataclasses import dataclass

from wi_operator.api import names
from wi_operator.federation.claims import GRANT_SECONDS, HANDSHAKE_SECONDS


@dataclass(frozen=True, slots=True)
class IssuerSettings:
    """``public_url`` is ``""`` until an administrator has set it; ``extra_ca`` is PEM text for the clouds' hosts.

    Times in seconds, rates in requests per second.
    """

    public_url: str = ""
    namespace: str = names.SYSTEM_NAMESPACE
    extra_hosts: tuple[str, ...] = ()
    extra_ca: str = ""
    grant_seconds: int = GRANT_SECONDS
    handshake_seconds: int = HANDSHAKE_SECONDS
    discovery_max_age: int = 3600
    """It changes with issuer.url only."""
    jwks_max_age: int = 300
    """Well below the hour for which a new key is published before it signs."""
    pod_rate: float = 10.0
    organization_rate: float = 100.0
    public_rate: float = 500.0

    @property
    def controller_account(self) -> tuple[str, str]:
        """Namespace and name of the one account that may ask for handshakes."""
        return self.namespace, names.CONTROLLER
