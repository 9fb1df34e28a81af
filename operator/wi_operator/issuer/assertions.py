"""The one place where an assertion is made: no mint without its audit line, and no token in it."""

from __future__ import annotations

import logging
import uuid

from wi_operator.core.log import fields
from wi_operator.core.secret import SecretValue
from wi_operator.federation.claims import Claims, make_claims
from wi_operator.federation.keys import SigningKey
from wi_operator.federation.mint import mint

audit = logging.getLogger("wi_operator.audit")


def issue_assertion(
    key: SigningKey,
    *,
    issuer: str,
    organization: str,
    audience: str,
    now: float,
    lifetime: int,
    purpose: str,
    **who: str,
) -> tuple[Claims, SecretValue]:
    """Return claims valid from ``now`` for ``lifetime`` seconds, and the signed assertion; ``who`` goes into the audit line."""
    claims = make_claims(
        issuer=issuer,
        organization=organization,
        audience=audience,
        now=now,
        lifetime=lifetime,
        token_id=str(uuid.uuid4()),
    )
    line = fields(purpose=purpose, organization=organization, kid=key.kid, jti=claims.token_id, **who)
    audit.info("assertion minted", extra=line)
    return claims, mint(claims, key)
