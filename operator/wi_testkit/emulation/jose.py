"""Reading of compact JWTs in separate steps, so that each named check can object to one thing.

A library call that verifies everything at once would decide the order of the checks for us.
"""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey, RSAPublicNumbers


@dataclass(frozen=True)
class Jwt:
    """The parts of a compact JWT. ``well_formed`` is false, and everything empty, when it cannot be read."""

    well_formed: bool = False
    header: dict[str, Any] = field(default_factory=dict)
    claims: dict[str, Any] = field(default_factory=dict)
    signed: bytes = b""
    signature: bytes = field(default=b"", repr=False)
    raw_header: str = ""

    def text(self, claim: str) -> str:
        """Return a claim if it is text, else nothing."""
        value = self.claims.get(claim)
        return value if isinstance(value, str) else ""

    def moment(self, claim: str) -> float:
        """Return a NumericDate claim, or 0, which Entra also prints for a missing one (1970-01-01)."""
        value = self.claims.get(claim)
        if not isinstance(value, int | float) or isinstance(value, bool):
            return 0.0
        try:
            return float(value)
        except OverflowError:
            return float("inf")

    @property
    def audiences(self) -> tuple[str, ...]:
        """Return the audiences: RFC 7519 section 4.1.3 allows one string or an array."""
        value = self.claims.get("aud")
        values = value if isinstance(value, list) else [value]
        return tuple(item for item in values if isinstance(item, str))


def parse(compact: str) -> Jwt:
    """Take a compact JWT apart; never raises, because unreadable input is one of the things to answer."""
    parts = compact.split(".")
    if len(parts) != 3:
        return Jwt()
    try:
        header, claims = (json.loads(decode(part)) for part in parts[:2])
        signature = decode(parts[2])
    except (ValueError, RecursionError):
        return Jwt()
    if not isinstance(header, dict) or not isinstance(claims, dict):
        return Jwt()
    return Jwt(True, header, claims, f"{parts[0]}.{parts[1]}".encode(), signature, parts[0])


def decode(part: str) -> bytes:
    """Decode unpadded base64url strictly (RFC 7515 section 2): anything outside the alphabet is an error."""
    if "=" in part or "+" in part or "/" in part:
        raise binascii.Error("base64url of a JWT carries no padding and none of '+' or '/'")
    return base64.b64decode(part + "=" * (-len(part) % 4), altchars=b"-_", validate=True)


def encode(raw: bytes) -> str:
    """Encode as unpadded base64url."""
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def public_key(jwk: dict[str, Any]) -> RSAPublicKey | None:
    """Read the RSA key of a JWK, or nothing if it is no usable RSA key."""
    return rsa_key(str(jwk.get("n")), str(jwk.get("e"))) if jwk.get("kty") == "RSA" else None


@lru_cache(maxsize=1024)
def rsa_key(modulus: str, exponent: str) -> RSAPublicKey | None:
    """Return the key of two encoded numbers; the same few keys verify everything, and reading one takes its time."""
    try:
        numbers = RSAPublicNumbers(int.from_bytes(decode(exponent)), int.from_bytes(decode(modulus)))
        return numbers.public_key()
    except ValueError:
        return None


def jwk_of(key: RSAPublicKey, kid: str) -> dict[str, Any]:
    """Write an RSA key as the members that Microsoft's documentation shows for an issuer's key set."""
    numbers = key.public_numbers()
    modulus, exponent = (encode(number.to_bytes((number.bit_length() + 7) // 8)) for number in (numbers.n, numbers.e))
    return {"use": "sig", "kty": "RSA", "kid": kid, "alg": "RS256", "n": modulus, "e": exponent}


def is_signed_by(token: Jwt, jwk: dict[str, Any] | None) -> bool:
    """Verify RS256 with one key, whatever the header claims: the header is the attacker's."""
    key = public_key(jwk) if jwk else None
    if key is None:
        return False
    try:
        key.verify(token.signature, token.signed, padding.PKCS1v15(), hashes.SHA256())
    except InvalidSignature:
        return False
    return True
