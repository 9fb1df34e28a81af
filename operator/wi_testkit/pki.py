"""A small certificate authority for tests: certificates for names and addresses, nothing more."""

from __future__ import annotations

import datetime
import ipaddress
import ssl
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

LIFETIME = datetime.timedelta(days=7)
# Clocks of containers and of their node differ a little.
BACKDATED = datetime.timedelta(minutes=10)


@dataclass(frozen=True)
class Leaf:
    """A server certificate with its private key, both PEM."""

    cert_pem: bytes
    key_pem: bytes = field(repr=False)

    def write(self, folder: Path) -> Path:
        """Write ``tls.crt`` and ``tls.key`` into the folder and return the path of the certificate."""
        folder.mkdir(parents=True, exist_ok=True)
        key = folder / "tls.key"
        key.touch(mode=0o600)
        key.write_bytes(self.key_pem)
        cert = folder / "tls.crt"
        cert.write_bytes(self.cert_pem)
        return cert


class CertificateAuthority:
    """A root that signs server certificates. P-256, because tests make many."""

    def __init__(self, common_name: str = "wi-testkit CA") -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
        self._cert = self._self_signed()

    @property
    def pem(self) -> bytes:
        """Return the root certificate, PEM."""
        return self._cert.public_bytes(serialization.Encoding.PEM)

    def write(self, file: Path) -> Path:
        """Write the root certificate and return its path."""
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(self.pem)
        return file

    def client_context(self) -> ssl.SSLContext:
        """Return a verifying TLS context that trusts this root only."""
        return ssl.create_default_context(cadata=self.pem.decode())

    def issue(self, names: Sequence[str], lifetime: datetime.timedelta = LIFETIME) -> Leaf:
        """Issue a server certificate for DNS names, wildcards and IP addresses."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0][:64])])
        own = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        alternatives = x509.SubjectAlternativeName([general_name(name) for name in dict.fromkeys(names)])
        cert = (
            builder(subject, self._name, key.public_key(), lifetime)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(alternatives, critical=False)
            .add_extension(own, critical=False)
            .add_extension(issuer, critical=False)
            .sign(self._key, hashes.SHA256())
        )
        return Leaf(cert.public_bytes(serialization.Encoding.PEM), private_pem(key))

    def _self_signed(self) -> x509.Certificate:
        public = self._key.public_key()
        # Python 3.13 verifies strictly: a root without these extensions is refused there.
        usage = x509.KeyUsage(
            digital_signature=True, key_cert_sign=True, crl_sign=True, content_commitment=False,
            key_encipherment=False, data_encipherment=False, key_agreement=False, encipher_only=False,
            decipher_only=False,
        )  # fmt: skip
        return (
            builder(self._name, self._name, public, LIFETIME * 4)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(usage, critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
            .sign(self._key, hashes.SHA256())
        )


def builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, lifetime: datetime.timedelta
) -> x509.CertificateBuilder:
    """Begin a certificate with what every one has."""
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATED)
        .not_valid_after(now + lifetime)
    )


def general_name(name: str) -> x509.GeneralName:
    """Return the name as an IP address if it is one, else as a DNS name."""
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def private_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    """Write a private key as unencrypted PKCS #8."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
