"""The certificates of one cluster: an authority, what it issues, and the key that signs service-account tokens."""

import datetime
import ipaddress
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

# Generous to both sides: clusters live for hours, and clocks of test machines are moved.
_LIFETIME = datetime.timedelta(days=365)
_BACKDATE = datetime.timedelta(days=1)
_Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


@dataclass(frozen=True)
class KeyPair:
    """Two PEM files: a certificate (or public key) and its private key."""

    certificate: Path
    key: Path


@dataclass(frozen=True)
class Authority:
    """A certificate authority whose files stand in ``folder``, together with everything that it issued."""

    folder: Path

    @classmethod
    def create(cls, folder: Path) -> "Authority":
        """Make a new authority in ``folder``, which is created for its owner only."""
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        authority = cls(folder)
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "wi-testkit")])
        builder = _start(name, key).issuer_name(name)
        certificate = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        _write_pair(authority.pair, certificate.sign(key, hashes.SHA256()), key)
        return authority

    @property
    def pair(self) -> KeyPair:
        """Return the authority's own files."""
        return self._locate("ca")

    @property
    def bundle(self) -> Path:
        """Return the file to trust."""
        return self.pair.certificate

    def issue(
        self, name: str, common_name: str, *, organizations: Sequence[str] = (), hosts: Sequence[str] = ()
    ) -> KeyPair:
        """Issue a certificate for client and server use, as ``<name>.crt`` and ``<name>.key``.

        ``hosts`` are DNS names and IP addresses; for a client, ``common_name`` is the user and ``organizations``
        are the groups.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        pair = self._locate(name)
        _write_pair(pair, self._sign(key, common_name, organizations, hosts), key)
        return pair

    def create_signing_key(self, name: str) -> KeyPair:
        """Make an RSA key as ``<name>.key`` and its public half as ``<name>.crt``, for service-account tokens."""
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        pair = self._locate(name)
        form = serialization.PublicFormat.SubjectPublicKeyInfo
        pair.certificate.write_bytes(key.public_key().public_bytes(serialization.Encoding.PEM, form))
        _write_key(pair.key, key)
        return pair

    def _locate(self, name: str) -> KeyPair:
        return KeyPair(self.folder / f"{name}.crt", self.folder / f"{name}.key")

    def _sign(
        self, key: ec.EllipticCurvePrivateKey, common_name: str, organizations: Sequence[str], hosts: Sequence[str]
    ) -> x509.Certificate:
        signer = serialization.load_pem_private_key(self.pair.key.read_bytes(), password=None)
        issuer = x509.load_pem_x509_certificate(self.bundle.read_bytes())
        assert isinstance(signer, ec.EllipticCurvePrivateKey)
        groups = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in organizations]
        subject = x509.Name([*groups, x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
        usages = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH])
        builder = _start(subject, key).issuer_name(issuer.subject).add_extension(usages, critical=False)
        if hosts:
            names = x509.SubjectAlternativeName([_name_host(host) for host in hosts])
            builder = builder.add_extension(names, critical=False)
        return builder.sign(signer, hashes.SHA256())


def _start(subject: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder().subject_name(subject).public_key(key.public_key())
    builder = builder.serial_number(x509.random_serial_number())
    return builder.not_valid_before(now - _BACKDATE).not_valid_after(now + _LIFETIME)


def _name_host(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _write_pair(pair: KeyPair, certificate: x509.Certificate, key: _Key) -> None:
    pair.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    _write_key(pair.key, key)


def _write_key(path: Path, key: _Key) -> None:
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    with open(path, "wb", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
        file.write(pem)
