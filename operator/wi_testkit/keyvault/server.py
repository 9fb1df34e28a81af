"""Starting the Key Vault emulator for tests and demos, and administering it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from wi_testkit.emulation.admin import AdminClient
from wi_testkit.emulation.process import running
from wi_testkit.pki import CertificateAuthority


class KeyVault(AdminClient):
    """A running emulator: ``url``, ``ca_file``, and what an administrator can do."""

    def __init__(self, url: str, token: str, ca_file: Path) -> None:
        super().__init__(url, token, ca_file)
        self.ca_file = ca_file

    @property
    def host(self) -> str:
        """Return ``host:port``, to be registered as a host of the vault that a test talks to directly."""
        return urlsplit(self.url).netloc

    def add_vault(self, name: str, tenant: str, **fields: Any) -> None:
        """Create or update a vault."""
        self.put(f"vaults/{name}", {"tenantId": tenant, **fields})

    def assign(self, vault: str, principal: str, role: str, secret: str = "") -> None:
        """Give a role on the vault, or on one secret."""
        self.put(f"vaults/{vault}/roleAssignments", {"principalId": principal, "role": role, "secret": secret})

    def unassign(self, vault: str, principal: str, role: str, secret: str = "") -> None:
        """Take a role."""
        body = {"principalId": principal, "role": role, "secret": secret}
        self.call("DELETE", f"vaults/{vault}/roleAssignments", body)

    def allow(self, vault: str, principal: str, *permissions: str, application: str = "") -> None:
        """Give permissions in a vault with access policies; with ``application`` only to that one on behalf."""
        body = {"principalId": principal, "permissions": list(permissions), "applicationId": application}
        self.put(f"vaults/{vault}/accessPolicies", body)

    def disallow(self, vault: str, principal: str, application: str = "") -> None:
        """Take all permissions."""
        body = {"principalId": principal, "applicationId": application}
        self.call("DELETE", f"vaults/{vault}/accessPolicies", body)

    def set_secret(self, vault: str, name: str, value: str, **fields: Any) -> str:
        """Create or rotate a secret and return the new version."""
        return str(self.put(f"vaults/{vault}/secrets/{name}", {"value": value, **fields})["version"])

    def enable_secret(self, vault: str, name: str, *, enabled: bool) -> None:
        """Enable or disable the latest version."""
        self.call("PATCH", f"vaults/{vault}/secrets/{name}", {"enabled": enabled})

    def delete_secret(self, vault: str, name: str) -> None:
        """Soft-delete a secret."""
        self.call("DELETE", f"vaults/{vault}/secrets/{name}")

    def recover_secret(self, vault: str, name: str) -> None:
        """Bring a soft-deleted secret back."""
        self.call("POST", f"vaults/{vault}/deletedsecrets/{name}/recover")

    def purge_secret(self, vault: str, name: str) -> None:
        """Remove a soft-deleted secret for good."""
        self.call("DELETE", f"vaults/{vault}/deletedsecrets/{name}")

    def fault(self, act: Mapping[str, Any], *, vault: str = "", secret: str = "", **options: Any) -> str:
        """Let a fault happen to a vault's requests, or to a secret's, and return its id.

        ``options``: times, probability, seed, operation (get, list, versions, set, ...), authenticated.
        """
        return self.add_fault(act, realm=vault, name=secret, **options)

    def secret(self, vault: str, name: str) -> dict[str, Any]:
        """Return the current value and all versions."""
        return dict(self.call("GET", f"vaults/{vault}/secrets/{name}"))


@contextlib.contextmanager
def running_keyvault(
    ca: CertificateAuthority, entra_url: str, *, suffix: str = "vault.azure.net", arguments: Sequence[str] = ()
) -> Iterator[KeyVault]:
    """Start the emulator on a free port of the loopback interface, and stop it at the end.

    Its certificate covers every vault name of the suffix.
    """
    own = ["--entra-url", entra_url, "--suffix", suffix]
    with running("wi_testkit.keyvault", ca, [f"*.{suffix}"], [*own, *arguments]) as process:
        yield KeyVault(process.url, process.admin_token, process.ca_file)
