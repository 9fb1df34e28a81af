"""Pytest plugin: both emulators as processes, a test CA and a static issuer."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from wi_testkit.entra.server import Entra, running_entra
from wi_testkit.keyvault.server import KeyVault, running_keyvault
from wi_testkit.pki import CertificateAuthority
from wi_testkit.static_issuer import StaticIssuer, running_issuer

# Proxies would be asked for the emulators too, and requests prefers these bundles to the CA that a client is given.
MISLEADING = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
ENTRA_NAMES = frozenset({"login.microsoftonline.com", "login.windows.net"})
VAULT_SUFFIX = ".vault.azure.net"

Resolve = Callable[..., list[Any]]


@pytest.fixture(scope="session")
def test_ca() -> CertificateAuthority:
    """Return the CA that everything of the test kit has its certificates from."""
    return CertificateAuthority()


@pytest.fixture(scope="session")
def static_issuer(test_ca: CertificateAuthority) -> Iterator[StaticIssuer]:
    """Serve an issuer with a key of its own."""
    with running_issuer(test_ca) as issuer:
        yield issuer


@pytest.fixture(scope="session")
def entra(test_ca: CertificateAuthority) -> Iterator[Entra]:
    """Run the Entra emulator; it trusts issuers with certificates of the test CA."""
    with running_entra(test_ca) as running:
        yield running


@pytest.fixture(scope="session")
def keyvault(test_ca: CertificateAuthority, entra: Entra) -> Iterator[KeyVault]:
    """Run the Key Vault emulator, which accepts the tokens of the Entra emulator."""
    with running_keyvault(test_ca, entra.url) as running:
        yield running


@pytest.fixture
def real_names(monkeypatch: pytest.MonkeyPatch, entra: Entra, keyvault: KeyVault) -> None:
    """Let the real names of Entra and of all vaults lead to the emulators, in this process and for this test.

    Clients then use the public cloud's defaults unmodified: authority, vault address, port 443 and the check that a
    challenge belongs to the vault's domain. Other names outside of the loopback interface do not resolve.
    """
    for name in MISLEADING:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    ports = urlsplit(entra.url).port or 0, urlsplit(keyvault.url).port or 0
    monkeypatch.setattr(socket, "getaddrinfo", redirecting(socket.getaddrinfo, *ports))


def redirecting(resolve: Resolve, entra_port: int, vault_port: int) -> Resolve:
    """Return a resolver that answers the clouds' names with the emulators' addresses, ports included.

    Resolving is the one place that sees name and port together, so no privileged port is needed.
    """

    def getaddrinfo(host: Any, port: Any, *rest: Any, **options: Any) -> list[Any]:
        name = host.decode() if isinstance(host, bytes) else str(host)
        if port in (443, "443") and name in ENTRA_NAMES:
            return resolve("127.0.0.1", entra_port, *rest, **options)
        if port in (443, "443") and name.endswith(VAULT_SUFFIX):
            return resolve("127.0.0.1", vault_port, *rest, **options)
        if name not in ("localhost", "127.0.0.1", "::1"):
            raise socket.gaierror(socket.EAI_NONAME, f"{name}:{port} is no part of this test")
        return resolve(host, port, *rest, **options)

    return getaddrinfo
