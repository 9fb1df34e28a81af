"""A tiny OIDC issuer for tests: static documents over HTTPS, and assertions of any shape, broken ones included."""

from __future__ import annotations

import contextlib
import hashlib
import json
import ssl
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from wi_testkit.emulation.jose import encode, jwk_of
from wi_testkit.pki import CertificateAuthority

DISCOVERY = "/.well-known/openid-configuration"
JWKS = "/openid/v1/jwks"
# Where a vault looks for the keys of access tokens, so that this issuer can also stand in for Entra.
ENTRA_KEYS = "/common/discovery/v2.0/keys"
LIFETIME = 600


@dataclass(frozen=True)
class RsaKey:
    """A signing key with its id (RFC 7638 thumbprint)."""

    private: rsa.RSAPrivateKey = field(default_factory=lambda: rsa.generate_private_key(65537, 2048))

    @property
    def jwk(self) -> dict[str, Any]:
        """Return the public key."""
        return jwk_of(self.private.public_key(), self.kid)

    @property
    def kid(self) -> str:
        """Return the key id."""
        members = jwk_of(self.private.public_key(), "")
        canonical = json.dumps({name: members[name] for name in ("e", "kty", "n")}, separators=(",", ":"))
        return encode(hashlib.sha256(canonical.encode()).digest())

    def sign(self, signed: str) -> bytes:
        """Sign with RS256."""
        return self.private.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256())


@dataclass
class StaticIssuer:
    """A running issuer. ``documents`` may be changed at any time; ``requests`` has the paths that were asked.

    A document that is text is a redirect to that address. ``statuses`` has paths that answer with another HTTP status,
    ``delays`` those that answer so many seconds late.
    """

    url: str
    key: RsaKey = field(default_factory=RsaKey)
    documents: dict[str, Any] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    statuses: dict[str, int] = field(default_factory=dict)
    delays: dict[str, float] = field(default_factory=dict)

    def publish(self, *keys: RsaKey) -> None:
        """Serve discovery document and key set with these keys, or with the issuer's own."""
        key_set = {"keys": [key.jwk for key in keys or (self.key,)]}
        self.documents |= {JWKS: key_set, ENTRA_KEYS: key_set}
        self.documents[DISCOVERY] = {
            "issuer": self.url,
            "jwks_uri": f"{self.url}{JWKS}",
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
        }

    def mint(
        self,
        claims: dict[str, Any],
        *,
        header: dict[str, Any] | None = None,
        key: RsaKey | None = None,
        signature: bytes | None = None,
    ) -> str:
        """Sign claims. A claim or header that is None is left out; key and signature may be wrong ones."""
        now = int(time.time())
        standard = {"iss": self.url, "iat": now, "nbf": now, "exp": now + LIFETIME, "jti": str(uuid.uuid4())}
        parts = ({"typ": "JWT", "alg": "RS256", "kid": self.key.kid, **(header or {})}, {**standard, **claims})
        signed = ".".join(encode(json.dumps(present(part)).encode()) for part in parts)
        return f"{signed}.{encode((key or self.key).sign(signed) if signature is None else signature)}"


def present(members: dict[str, Any]) -> dict[str, Any]:
    """Leave out what is None."""
    return {name: value for name, value in members.items() if value is not None}


@contextlib.contextmanager
def running_issuer(ca: CertificateAuthority, host: str = "localhost") -> Iterator[StaticIssuer]:
    """Serve an issuer on a free port of the loopback interface, in a thread of this process."""
    issuer = StaticIssuer("")
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler(issuer))
    server.daemon_threads = True
    # The handshake belongs to the connection's thread: in accept() one idle client would block all others.
    server.socket = server_context(ca, host).wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        issuer.url = f"https://{host}:{server.server_port}"
        issuer.publish()
        yield issuer
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def server_context(ca: CertificateAuthority, host: str) -> ssl.SSLContext:
    """Return a listener's context with a certificate for the host."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    with tempfile.TemporaryDirectory(prefix="wi-issuer-") as folder:
        cert = ca.issue([host, "127.0.0.1"]).write(Path(folder))
        context.load_cert_chain(cert, Path(folder) / "tls.key")
    return context


def handler(issuer: StaticIssuer) -> type[BaseHTTPRequestHandler]:
    """Return a handler class that serves the issuer's documents."""

    class Documents(BaseHTTPRequestHandler):
        """Answers GET with JSON."""

        timeout = 10

        def do_GET(self) -> None:
            """Answer a document or 404."""
            issuer.requests.append(self.path)
            time.sleep(issuer.delays.get(self.path, 0))
            found = issuer.documents.get(self.path)
            body = json.dumps(found if found is not None else {"error": "not found"}).encode()
            usual = 404 if found is None else 302 if isinstance(found, str) else 200
            self.send_response(issuer.statuses.get(self.path, usual))
            if isinstance(found, str):
                self.send_header("Location", found)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  the name is http.server's
            """Say nothing."""

    return Documents
