"""Signing of assertions: RS256 with the key that the state names. Pure but for the key material.

Source: RFC 7515; Microsoft Learn, "Workload identity federation" (only RS256 is supported, ``kid`` and ``typ`` are needed).
"""

from __future__ import annotations

import jwt

from wi_operator.core.secret import SecretValue
from wi_operator.federation.claims import Claims
from wi_operator.federation.keys import SigningKey


def mint(claims: Claims, key: SigningKey) -> SecretValue:
    """Return the signed assertion."""
    return SecretValue(
        jwt.encode(claims.render(), key.private_key, algorithm="RS256", headers={"kid": key.kid, "typ": "JWT"})
    )
