"""The internal CA: certificates between our own processes, as pure functions over PEM.

P-256, because they are only ours; Python 3.13 verifies strictly, so every extension that RFC 5280 asks for is there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from wi_operator.core.errors import WorkloadIdentityError

DAY = 86400.0
AUTHORITY_SECONDS = 3650 * DAY
LEAF_SECONDS = 90 * DAY
RENEWAL_SHARE = 2 / 3
BACKDATED = timedelta(minutes=10)  # the clocks of two nodes differ a little


class CertificateError(WorkloadIdentityError):
    """A certificate or key cannot be used; the text holds neither."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate and its private key, PEM; the key is never shown."""

    certificate: str
    key: str = field(repr=False)


def generate_authority(now: float) -> Pair:
    """Make the CA of an installation; ten years."""
    key = generate_private_key(SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "workload-identity-operator internal CA")])
    usage = x509.KeyUsage(
        digital_signature=False, key_cert_sign=True, crl_sign=True, content_commitment=False, key_encipherment=False,
        data_encipherment=False, key_agreement=False, encipher_only=False, decipher_only=False,
    )  # fmt: skip
    certificate = (
        _begin(name, name, key, now, AUTHORITY_SECONDS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .sign(key, SHA256())
    )
    return _pair(certificate, key)


def issue_leaf(authority: Pair, names: Sequence[str], *, now: float, lifetime: float = LEAF_SECONDS) -> Pair:
    """Issue a server certificate for DNS ``names``; raises ``CertificateError`` when the authority is unusable."""
    signer, signer_key = _load(authority)
    key = generate_private_key(SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0][:64])])
    usage = x509.KeyUsage(
        digital_signature=True, key_cert_sign=False, crl_sign=False, content_commitment=False, key_encipherment=False,
        data_encipherment=False, key_agreement=False, encipher_only=False, decipher_only=False,
    )  # fmt: skip
    own = signer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    certificate = (
        _begin(subject, signer.subject, key, now, lifetime)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(own), critical=False)
        .sign(signer_key, SHA256())
    )
    return _pair(certificate, key)


def renewal_time(certificate: str) -> float:
    """Return when two thirds of its life are over, in seconds since the epoch; raises ``CertificateError``."""
    parsed = _parse(certificate)
    start, end = parsed.not_valid_before_utc.timestamp(), parsed.not_valid_after_utc.timestamp()
    return start + (end - start) * RENEWAL_SHARE


def expiry_time(certificates: str) -> float:
    """Return when the last of PEM ``certificates`` ends, seconds since the epoch; 0 when none can be read."""
    try:
        found = x509.load_pem_x509_certificates(certificates.encode())
    except ValueError:
        return 0.0
    return max((one.not_valid_after_utc.timestamp() for one in found), default=0.0)


def is_usable(pair: Pair, authority: str, names: Sequence[str], *, now: float) -> bool:
    """Tell whether a leaf fits its key and its CA, covers exactly ``names``, and is not due for renewal."""
    try:
        certificate, key = _load(pair)
        certificate.verify_directly_issued_by(_parse(authority))
        alternatives = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (CertificateError, ValueError, TypeError, InvalidSignature, x509.ExtensionNotFound):
        return False
    covers = set(alternatives.get_values_for_type(x509.DNSName)) == set(names)
    return covers and certificate.public_key() == key.public_key() and now < renewal_time(pair.certificate)


def _begin(
    subject: x509.Name, issuer: x509.Name, key: EllipticCurvePrivateKey, now: float, lifetime: float
) -> x509.CertificateBuilder:
    moment = datetime.fromtimestamp(int(now), UTC)
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(moment - BACKDATED)
        .not_valid_after(moment + timedelta(seconds=lifetime))
        .add_extension(identifier, critical=False)
    )


def _pair(certificate: x509.Certificate, key: EllipticCurvePrivateKey) -> Pair:
    return Pair(
        certificate.public_bytes(Encoding.PEM).decode(),
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode(),
    )


def _parse(certificate: str) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(certificate.encode())
    except ValueError:
        raise CertificateError("not a certificate in PEM") from None


def _load(pair: Pair) -> tuple[x509.Certificate, EllipticCurvePrivateKey]:
    try:
        key = load_pem_private_key(pair.key.encode(), password=None)
    except (ValueError, TypeError):
        raise CertificateError("not an unencrypted private key in PEM") from None
    if not isinstance(key, EllipticCurvePrivateKey):
        raise CertificateError("not an elliptic-curve key")
    return _parse(pair.certificate), key
