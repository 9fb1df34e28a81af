"""Signing keys: what stands in Secret ``wi-issuer-keys``, one entry for each, and the fingerprint key beside them.

Pure. RS256 with RSA 2048; key ids are RFC 7638 thumbprints, so that the same key always has the same id. One entry a key, so
that the controller can add and remove keys by patches, without ever reading one.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey, generate_private_key
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from wi_operator.core.errors import WorkloadIdentityError

PEM_SUFFIX = ".pem"
FINGERPRINT_ENTRY = "fingerprint.key"
KEY_BITS = 2048
PUBLIC_EXPONENT = 65537
FINGERPRINT_KEY_BYTES = 32
FINGERPRINT_PURPOSE = b"workload-identity-operator fingerprint v1 "
DERIVED_PURPOSE = b"workload-identity-operator fingerprint key of own keys v1"
_PEM = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?-----END [A-Z ]*PRIVATE KEY-----", re.DOTALL)


class KeysError(WorkloadIdentityError):
    """Signing keys or their timetable are missing or unusable; the text says which part and holds no key material."""


@dataclass(frozen=True, slots=True, repr=False)
class SigningKey:
    """A private key, parsed once (parsing costs 100 times more than signing)."""

    kid: str
    private_key: RSAPrivateKey

    def __repr__(self) -> str:
        return f"SigningKey(kid={self.kid!r})"

    @property
    def entry(self) -> str:
        """Name of its entry in the Secret."""
        return self.kid + PEM_SUFFIX

    def render(self) -> bytes:
        """Return the PEM: secret bytes, for the Secret only."""
        return self.private_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


@dataclass(frozen=True, slots=True, repr=False)
class KeySet:
    """The content of the Secret; the fingerprint key outlives every rotation of the signing keys."""

    keys: tuple[SigningKey, ...]
    fingerprint_key: bytes

    def __repr__(self) -> str:
        return f"KeySet(kids={[key.kid for key in self.keys]!r})"

    @classmethod
    def parse(cls, entries: Mapping[str, bytes]) -> KeySet:
        """Read the Secret's entries; others than ``<kid>.pem`` and ``fingerprint.key`` are none of ours. Raises ``KeysError``."""
        names = sorted(name for name in entries if name.endswith(PEM_SUFFIX))
        if not names:
            raise KeysError("the Secret holds no signing key")
        fingerprint_key = entries.get(FINGERPRINT_ENTRY, b"")
        if len(fingerprint_key) != FINGERPRINT_KEY_BYTES:
            raise KeysError(f"{FINGERPRINT_ENTRY} must be {FINGERPRINT_KEY_BYTES} bytes")
        return cls(tuple(_read_entry(name, entries[name]) for name in names), fingerprint_key)

    @classmethod
    def parse_own(cls, text: str) -> KeySet:
        """Read keys of an administrator, one or more in PEM, in their order; raises ``KeysError``.

        The fingerprint key is derived from the last one: put a new key before it, and fingerprints stay comparable.
        """
        found = _PEM.findall(text)
        if not found:
            raise KeysError("OIDC_PRIVATE_KEY holds no private key in PEM")
        keys = tuple(_read_key(f"key {number} of OIDC_PRIVATE_KEY", pem.encode()) for number, pem in enumerate(found))
        last = keys[-1].private_key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
        return cls(keys, _derive(last, DERIVED_PURPOSE))

    def render(self) -> dict[str, bytes]:
        """Return the Secret's entries: secret bytes."""
        return {FINGERPRINT_ENTRY: self.fingerprint_key, **{key.entry: key.render() for key in self.keys}}

    def find(self, kid: str) -> SigningKey | None:
        """Return the key of that id."""
        return next((key for key in self.keys if key.kid == kid), None)

    def fingerprint_key_of(self, organization: str) -> bytes:
        """Derive an organization's own 32 bytes (RFC 5869): fingerprints of two organizations cannot be compared."""
        return _derive(self.fingerprint_key, FINGERPRINT_PURPOSE + organization.encode())


def _derive(secret: bytes, info: bytes) -> bytes:
    return HKDF(algorithm=hashes.SHA256(), length=FINGERPRINT_KEY_BYTES, salt=None, info=info).derive(secret)


def generate_signing_key() -> SigningKey:
    """Make a key; 50 ms and more of computing, so not on an event loop."""
    private = generate_private_key(PUBLIC_EXPONENT, KEY_BITS)
    return SigningKey(thumbprint(private.public_key()), private)


def generate_key_set() -> KeySet:
    """Make the first key set of an installation."""
    return KeySet((generate_signing_key(),), secrets.token_bytes(FINGERPRINT_KEY_BYTES))


def public_jwk(key: RSAPublicKey) -> dict[str, str]:
    """Return the members that RFC 7638 section 3.2 hashes: ``e``, ``kty``, ``n``."""
    numbers = key.public_numbers()
    return {"e": _encode_number(numbers.e), "kty": "RSA", "n": _encode_number(numbers.n)}


def thumbprint(key: RSAPublicKey) -> str:
    """Return the RFC 7638 thumbprint (SHA-256, base64url without padding)."""
    canonical = json.dumps(public_jwk(key), sort_keys=True, separators=(",", ":"))
    return _encode(hashlib.sha256(canonical.encode()).digest())


def _encode_number(number: int) -> str:
    return _encode(number.to_bytes((number.bit_length() + 7) // 8, "big"))


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _read_entry(name: str, pem: bytes) -> SigningKey:
    key = _read_key(name, pem)
    if key.entry != name:
        raise KeysError(f"{name} does not bear the name of its key: {key.entry}")
    return key


def _read_key(where: str, pem: bytes) -> SigningKey:
    try:
        private = load_pem_private_key(pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        # The cause is cut off: its text may quote the key.
        raise KeysError(f"{where} is not an unencrypted private key in PEM") from None
    if not isinstance(private, RSAPrivateKey) or private.key_size < KEY_BITS:
        raise KeysError(f"{where} must be RSA with at least {KEY_BITS} bits")
    return SigningKey(thumbprint(private.public_key()), private)
