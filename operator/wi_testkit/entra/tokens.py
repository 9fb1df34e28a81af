"""The emulator's own signing key and the access tokens it issues."""

from __future__ import annotations

import base64
import datetime
import secrets
import uuid
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import jwt
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from wi_testkit.emulation.jose import encode, jwk_of
from wi_testkit.entra.state import Application, Tenant

LIFETIME = 3599


@dataclass
class SigningKey:
    """An RSA key in a self-signed certificate; ``kid`` and ``x5t`` are both its SHA-1 thumbprint, as in Entra's set."""

    private: rsa.RSAPrivateKey
    certificate: x509.Certificate

    @cached_property
    def kid(self) -> str:
        """Return the key id."""
        return encode(self.certificate.fingerprint(hashes.SHA1()))  # noqa: S303  x5t is SHA-1 by RFC 7515

    @cached_property
    def jwk(self) -> dict[str, Any]:
        """Return the public key as Entra's key set shows it."""
        der = self.certificate.public_bytes(serialization.Encoding.DER)
        described = jwk_of(self.private.public_key(), self.kid)
        return {**described, "x5t": self.kid, "x5c": [base64.b64encode(der).decode()]}

    def sign(self, claims: dict[str, Any]) -> str:
        """Sign the claims of an access token."""
        return jwt.encode(claims, self.private, algorithm="RS256", headers={"x5t": self.kid, "kid": self.kid})


def new_signing_key() -> SigningKey:
    """Make a key. It lives as long as the process: vaults fetch unknown keys anew."""
    private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "emulated accounts.accesscontrol.windows.net")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=365))
        .sign(private, hashes.SHA256())
    )
    return SigningKey(private, certificate)


def access_claims(
    tenant: Tenant, application: Application, resource: str, now: float, lifetime: int = LIFETIME
) -> dict[str, Any]:
    """Return the claims of a v1 access token ("Microsoft Learn, Access token claims reference")."""
    issuer = f"https://sts.windows.net/{tenant.tenant_id}/"
    issued = int(now)
    return {
        "aud": resource,
        "iss": issuer,
        "iat": issued,
        "nbf": issued,
        "exp": issued + lifetime,
        "aio": base64.b64encode(secrets.token_bytes(24)).decode(),
        "appid": application.client_id,
        "appidacr": "2",
        "idp": issuer,
        "idtyp": "app",
        "oid": application.object_id,
        "rh": f"1.{encode(secrets.token_bytes(24))}.",
        "sub": application.object_id,
        "tid": tenant.tenant_id,
        "uti": encode(uuid.uuid4().bytes),
        "ver": "1.0",
    }
