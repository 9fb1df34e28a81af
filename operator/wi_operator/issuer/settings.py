"""What the issuer is told; ``main`` fills it."""

from __future__ import annotations

from dataclasses import dataclass

from wi_operator.api import names


@dataclass(frozen=True, slots=True)
class IssuerSettings:
    """``public_url`` is ``""`` until an administrator has set it; ``extra_ca`` is PEM text for the clouds' hosts."""

    public_url: str = ""
    namespace: str = names.SYSTEM_NAMESPACE
    extra_hosts: tuple[str, ...] = ()
    extra_ca: str = ""

    @property
    def controller_account(self) -> tuple[str, str]:
        """Namespace and name of the one account that may ask for handshakes."""
        return self.namespace, names.CONTROLLER
