"""Pytest plugin: both emulators as processes, a test CA and a static issuer."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from wi_testkit.emulation.names import redirecting
from wi_testkit.entra.server import Entra, running_entra
from wi_testkit.keyvault.server import KeyVault, running_keyvault
from wi_testkit.pki import CertificateAuthority
from wi_testkit.static_issuer import StaticIssuer, running_issuer

# Proxies would be asked for the emulators too, and requests prefers these bundles to the CA that a client is given.
MISLEADING = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")


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
