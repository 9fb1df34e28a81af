"""The claims of an assertion. Pure.

Source: RFC 7519 section 4.1, RFC 7523 section 3; Microsoft Learn, "Workload identity federation" (issuer, subject and
audience are compared byte for byte).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

GRANT_SECONDS = 3600
"""Life of a subject token handed to a sidecar."""
HANDSHAKE_SECONDS = 300
"""Life of an assertion minted for the controller's check."""


@dataclass(frozen=True, slots=True)
class Claims:
    """What an assertion says; times in whole seconds since the epoch."""

    issuer: str
    organization: str
    audience: str
    issued_at: int
    expires_at: int
    token_id: str

    @property
    def subject(self) -> str:
        """``organization:<uuid>``."""
        return f"organization:{self.organization}"

    def render(self) -> dict[str, Any]:
        """Return the JWT claims set."""
        return {
            "iss": self.issuer,
            "sub": self.subject,
            "aud": self.audience,
            "iat": self.issued_at,
            "nbf": self.issued_at,
            "exp": self.expires_at,
            "jti": self.token_id,
            "organization_id": self.organization,
        }


def make_claims(*, issuer: str, organization: str, audience: str, now: float, lifetime: int, token_id: str) -> Claims:
    """Return claims valid from ``now`` for ``lifetime`` seconds."""
    issued_at = int(now)
    return Claims(
        issuer=issuer,
        organization=organization,
        audience=audience,
        issued_at=issued_at,
        expires_at=issued_at + lifetime,
        token_id=token_id,
    )
