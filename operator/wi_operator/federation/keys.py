"""Signing keys and their timetable: what stands in ``wi-issuer-keys`` (secret) and ``wi-issuer-state`` (public).

Pure. RS256 with RSA 2048; key ids are RFC 7638 thumbprints, so that the same key always has the same id.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

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

from wi_operator.core.clock import format_rfc3339, parse_rfc3339
from wi_operator.core.errors import WorkloadIdentityError

KEYS_FILE = "keys.json"
STATE_FILE = "state.json"
KEY_BITS = 2048
PUBLIC_EXPONENT = 65537
FINGERPRINT_KEY_BYTES = 32
FINGERPRINT_PURPOSE = b"workload-identity-operator fingerprint v1 "


class KeysError(WorkloadIdentityError):
    """Signing keys or their state are missing or unusable; the text says which part and holds no key material."""


@dataclass(frozen=True, slots=True, repr=False)
class SigningKey:
    """A private key, parsed once (parsing costs 100 times more than signing); ``created_at`` in seconds."""

    kid: str
    private_key: RSAPrivateKey
    created_at: float

    def __repr__(self) -> str:
        return f"SigningKey(kid={self.kid!r})"


@dataclass(frozen=True, slots=True, repr=False)
class KeySet:
    """The content of ``keys.json``; the fingerprint key outlives every rotation of the signing keys."""

    keys: tuple[SigningKey, ...]
    fingerprint_key: bytes

    def __repr__(self) -> str:
        return f"KeySet(kids={[key.kid for key in self.keys]!r})"

    @classmethod
    def parse(cls, text: str) -> KeySet:
        """Read ``keys.json``; raises ``KeysError``."""
        document = _read_object(text, KEYS_FILE)
        entries = document.get("keys")
        if not isinstance(entries, list) or not entries:
            raise KeysError(f"{KEYS_FILE} holds no keys")
        keys = tuple(_read_key(entry, number) for number, entry in enumerate(entries))
        if len({key.kid for key in keys}) != len(keys):
            raise KeysError(f"{KEYS_FILE} holds the same key twice")
        return cls(keys, _read_fingerprint_key(document.get("fingerprintKey")))

    def render(self) -> str:
        """Write ``keys.json``: secret text, for the Secret only."""
        return json.dumps(
            {
                "keys": [
                    {"kid": key.kid, "pem": _to_pem(key.private_key), "createdAt": format_rfc3339(key.created_at)}
                    for key in self.keys
                ],
                "fingerprintKey": base64.b64encode(self.fingerprint_key).decode(),
            }
        )

    def find(self, kid: str) -> SigningKey | None:
        """Return the key of that id."""
        return next((key for key in self.keys if key.kid == kid), None)

    def fingerprint_key_of(self, organization: str) -> bytes:
        """Derive an organization's own 32 bytes (RFC 5869): fingerprints of two organizations cannot be compared."""
        info = FINGERPRINT_PURPOSE + organization.encode()
        return HKDF(algorithm=hashes.SHA256(), length=FINGERPRINT_KEY_BYTES, salt=None, info=info).derive(
            self.fingerprint_key
        )


@dataclass(frozen=True, slots=True)
class KeyEntry:
    """When a key is published, signs and retires; seconds since the epoch, ``retire_after`` is ``None`` for never."""

    kid: str
    published_at: float
    sign_after: float
    retire_after: float | None = None

    def is_published(self, now: float) -> bool:
        """True from its publication until it retires."""
        return self.published_at <= now and (self.retire_after is None or now < self.retire_after)


@dataclass(frozen=True, slots=True)
class KeyState:
    """The content of ``state.json``; every replica acts on it by the clock, so that all agree without talking.

    ``epoch`` counts changes that must make grants be minted anew.
    """

    entries: tuple[KeyEntry, ...]
    epoch: int = 1

    @classmethod
    def parse(cls, text: str) -> KeyState:
        """Read ``state.json``; raises ``KeysError``."""
        document = _read_object(text, STATE_FILE)
        entries, epoch = document.get("keys"), document.get("epoch")
        if not isinstance(entries, list) or not isinstance(epoch, int):
            raise KeysError(f"{STATE_FILE} needs the list 'keys' and the number 'epoch'")
        return cls(tuple(_read_entry(entry, number) for number, entry in enumerate(entries)), epoch)

    def render(self) -> str:
        """Write ``state.json``; times lose their fractions of a second."""
        return json.dumps({"keys": [_render_entry(entry) for entry in self.entries], "epoch": self.epoch})

    def published(self, now: float) -> tuple[str, ...]:
        """Return the ids that the JWKS shows, in the state's order."""
        return tuple(entry.kid for entry in self.entries if entry.is_published(now))

    def signing(self, now: float) -> str | None:
        """Return the id of the key that signs: the newest published one whose ``sign_after`` has come."""
        ripe = [entry for entry in self.entries if entry.is_published(now) and entry.sign_after <= now]
        return max(ripe, key=lambda entry: entry.sign_after).kid if ripe else None


def generate_signing_key(now: float) -> SigningKey:
    """Make a key; 50 ms and more of computing, so not on an event loop."""
    private = generate_private_key(PUBLIC_EXPONENT, KEY_BITS)
    return SigningKey(thumbprint(private.public_key()), private, float(int(now)))


def generate_key_set(now: float) -> KeySet:
    """Make the first key set of an installation."""
    return KeySet((generate_signing_key(now),), secrets.token_bytes(FINGERPRINT_KEY_BYTES))


def initial_state(key_set: KeySet, now: float) -> KeyState:
    """Return the timetable of a first key set: published and signing at once, since nobody can have cached another."""
    # The state keeps whole seconds: rounding down makes the key usable now, not in a second.
    moment = float(int(now))
    return KeyState(tuple(KeyEntry(key.kid, moment, moment) for key in key_set.keys))


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


def _to_pem(key: RSAPrivateKey) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def _read_object(text: str, file: str) -> Mapping[str, Any]:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        raise KeysError(f"{file} is not JSON") from None
    if not isinstance(document, dict):
        raise KeysError(f"{file} is not a JSON object")
    return document


def _read_key(entry: Any, number: int) -> SigningKey:
    where = f"key {number} of {KEYS_FILE}"
    if not isinstance(entry, dict) or not isinstance(entry.get("pem"), str):
        raise KeysError(f"{where} has no pem")
    try:
        private = load_pem_private_key(entry["pem"].encode(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        # The cause is cut off: its text may quote the key.
        raise KeysError(f"{where} is not an unencrypted private key in PEM") from None
    if not isinstance(private, RSAPrivateKey) or private.key_size < KEY_BITS:
        raise KeysError(f"{where} must be RSA with at least {KEY_BITS} bits")
    kid = thumbprint(private.public_key())
    if entry.get("kid", kid) != kid:
        raise KeysError(f"{where} has a kid that is not its thumbprint {kid}")
    return SigningKey(kid, private, _read_time(entry.get("createdAt"), f"createdAt of {where}"))


def _read_fingerprint_key(text: Any) -> bytes:
    try:
        key = base64.b64decode(text, validate=True) if isinstance(text, str) else b""
    except (ValueError, binascii.Error):
        key = b""
    if len(key) != FINGERPRINT_KEY_BYTES:
        raise KeysError(f"fingerprintKey of {KEYS_FILE} must be {FINGERPRINT_KEY_BYTES} bytes in base64")
    return key


def _read_entry(entry: Any, number: int) -> KeyEntry:
    where = f"key {number} of {STATE_FILE}"
    if not isinstance(entry, dict) or not isinstance(entry.get("kid"), str):
        raise KeysError(f"{where} has no kid")
    retire_after = entry.get("retireAfter")
    return KeyEntry(
        kid=entry["kid"],
        published_at=_read_time(entry.get("publishedAt"), f"publishedAt of {where}"),
        sign_after=_read_time(entry.get("signAfter"), f"signAfter of {where}"),
        retire_after=None if retire_after is None else _read_time(retire_after, f"retireAfter of {where}"),
    )


def _read_time(text: Any, where: str) -> float:
    try:
        return parse_rfc3339(text)
    except (ValueError, TypeError):
        raise KeysError(f"{where} is not a time as RFC 3339 writes it") from None


def _render_entry(entry: KeyEntry) -> dict[str, Any]:
    return {
        "kid": entry.kid,
        "publishedAt": format_rfc3339(entry.published_at),
        "signAfter": format_rfc3339(entry.sign_after),
        "retireAfter": None if entry.retire_after is None else format_rfc3339(entry.retire_after),
    }
