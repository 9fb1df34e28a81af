"""The public keys as a JWK set. Pure.

Source: RFC 7517, RFC 7518 section 6.3.1 (RSA), RFC 7638 (thumbprint as ``kid``).
"""

from __future__ import annotations

from collections.abc import Iterable

from wi_operator.federation.keys import SigningKey, public_jwk


def render_jwks(keys: Iterable[SigningKey]) -> dict[str, list[dict[str, str]]]:
    """Return the JWK set of the given keys; only the members that every cloud accepts."""
    return {"keys": [render_jwk(key) for key in keys]}


def render_jwk(key: SigningKey) -> dict[str, str]:
    """Return one public key."""
    return {"use": "sig", "kid": key.kid, "alg": "RS256", **public_jwk(key.private_key.public_key())}
