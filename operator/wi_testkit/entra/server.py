"""Starting the Entra emulator for tests and demos, and administering it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from wi_testkit.emulation.admin import AdminClient
from wi_testkit.emulation.process import running
from wi_testkit.pki import CertificateAuthority

NAMES = ("login.microsoftonline.com", "login.windows.net", "login.microsoft.com", "sts.windows.net")


class Entra(AdminClient):
    """A running emulator: ``url``, ``ca_file``, and what an administrator can do."""

    def __init__(self, url: str, token: str, ca_file: Path) -> None:
        super().__init__(url, token, ca_file)
        self.ca_file = ca_file

    def add_tenant(self, tenant: str, display_name: str = "Emulated Directory", **fields: Any) -> None:
        """Create or update a tenant."""
        self.put(f"tenants/{tenant}", {"displayName": display_name, **fields})

    def add_application(self, tenant: str, client_id: str, **fields: Any) -> str:
        """Create or update an application and return the object id of its service principal."""
        return str(self.put(f"tenants/{tenant}/apps/{client_id}", fields)["oid"])

    def trust(self, tenant: str, client_id: str, name: str, *, issuer: str, subject: str, audience: str) -> None:
        """Create or update a federated identity credential."""
        body = {"issuer": issuer, "subject": subject, "audiences": [audience]}
        self.put(f"tenants/{tenant}/apps/{client_id}/federatedCredentials/{name}", body)

    def distrust(self, tenant: str, client_id: str, name: str) -> None:
        """Delete a federated identity credential."""
        self.call("DELETE", f"tenants/{tenant}/apps/{client_id}/federatedCredentials/{name}")

    def forget_issuer_keys(self) -> None:
        """Empty the cache of issuers' keys (setting ``jwksCacheSeconds``)."""
        self.call("DELETE", "jwksCache")

    def rotate_signing_key(self) -> str:
        """Sign access tokens with a new key from now on, and return its id."""
        return str(self.call("POST", "signingKey")["kid"])

    def fault(self, act: Mapping[str, Any], *, tenant: str = "", client: str = "", **options: Any) -> str:
        """Let a fault happen to a tenant's requests, or to an app's, and return its id.

        ``options``: times, probability, seed, operation (token, metadata, keys, instance), authenticated.
        """
        return self.add_fault(act, realm=tenant, name=client, **options)

    def state(self) -> dict[str, Any]:
        """Return all tenants with their applications and credentials."""
        return dict(self.call("GET", "state"))


@contextlib.contextmanager
def running_entra(ca: CertificateAuthority, *, arguments: Sequence[str] = ()) -> Iterator[Entra]:
    """Start the emulator on a free port of the loopback interface, and stop it at the end.

    Its certificate covers Entra's real names too; the same CA is trusted for issuers.
    """
    with running("wi_testkit.entra", ca, NAMES, arguments) as process:
        yield Entra(process.url, process.admin_token, process.ca_file)
