"""Who may do what in a vault, and from where: roles, access policies, firewall, request rate."""

from __future__ import annotations

import ipaddress
import uuid
from collections import deque
from dataclasses import dataclass, field
from typing import Any

from wi_testkit.emulation.admin import RuleError

ACTION = "Microsoft.KeyVault/vaults/secrets/"
GET = ACTION + "getSecret/action"
READ_METADATA = ACTION + "readMetadata/action"
SET = ACTION + "setSecret/action"
DELETE = ACTION + "delete"
RECOVER = ACTION + "recover/action"
PURGE = ACTION + "purge/action"
ALL = frozenset({GET, READ_METADATA, SET, DELETE, RECOVER, PURGE})
# "Microsoft Learn, Azure built-in roles for Security": the data actions on secrets.
ROLES = {
    "Key Vault Secrets User": frozenset({GET, READ_METADATA}),
    "Key Vault Reader": frozenset({READ_METADATA}),
    "Key Vault Secrets Officer": ALL,
    "Key Vault Administrator": ALL,
}
PERMISSIONS = frozenset({"get", "list", "set", "delete", "recover", "purge"})
NAMESPACE = uuid.UUID("1b1e2a0c-6a51-5f3b-8a53-7f0c6a1d2e90")
# "Microsoft Learn, Azure Key Vault service limits": so many requests for secrets in 10 seconds, per vault and region.
WINDOW = 10.0
MAX_REQUESTS = 4000

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True)
class RoleAssignment:
    """A role for a principal on the vault, or on one of its secrets."""

    principal_id: str
    role: str
    secret: str = ""

    @property
    def assignment_id(self) -> str:
        """Return the id that answers carry in a header."""
        return str(uuid.uuid5(NAMESPACE, f"{self.principal_id}/{self.role}/{self.secret}"))

    def grants(self, principal_id: str, action: str) -> bool:
        """Tell whether the role lets this principal do this, somewhere in the vault."""
        return self.principal_id == principal_id.lower() and action in ROLES[self.role]

    def covers(self, secret: str) -> bool:
        """Tell whether the scope includes the secret; no secret means the vault itself."""
        return not self.secret or self.secret == secret.lower()


@dataclass(frozen=True)
class AccessPolicy:
    """Permissions of a principal in a vault with access policies.

    With ``application_id`` ("authorized application") they are for that application on the principal's behalf only.
    """

    principal_id: str
    permissions: frozenset[str]
    application_id: str = ""

    def grants(self, principal_id: str, permission: str) -> bool:
        """Tell whether the policy gives this principal the permission, on its own behalf or not."""
        return self.principal_id == principal_id.lower() and permission in self.permissions


@dataclass
class RequestRate:
    """How many requests a vault takes in 10 seconds; those that it refuses do not count."""

    limit: int = MAX_REQUESTS
    retry_after: int | None = None
    _taken: deque[float] = field(default_factory=deque, repr=False)

    def exceeded(self, moment: float) -> bool:
        """Tell whether a request is one too many, else count it."""
        while self._taken and self._taken[0] <= moment - WINDOW:
            self._taken.popleft()
        if len(self._taken) >= self.limit:
            return True
        self._taken.append(moment)
        return False


def assignment_from(body: dict[str, Any]) -> RoleAssignment:
    """Read a role assignment."""
    principal, role, secret = (body.get(key, "") for key in ("principalId", "role", "secret"))
    if not all(isinstance(text, str) for text in (principal, role, secret)) or not principal or not role:
        raise RuleError("wanted: principalId (object id), role (name), and optionally secret (name)")
    if role not in ROLES:
        raise RuleError(f"the emulator knows the roles {', '.join(ROLES)}")
    return RoleAssignment(principal.lower(), role, secret.lower())


def policy_from(body: dict[str, Any]) -> AccessPolicy:
    """Read an access policy."""
    principal, permissions, application = (
        body.get("principalId"), body.get("permissions"), body.get("applicationId", ""),
    )  # fmt: skip
    if not isinstance(principal, str) or not isinstance(permissions, list) or not isinstance(application, str):
        raise RuleError("wanted: principalId, permissions (a list), and optionally applicationId")
    if not set(permissions) <= PERMISSIONS:
        raise RuleError(f"the permissions on secrets are {', '.join(sorted(PERMISSIONS))}")
    return AccessPolicy(principal.lower(), frozenset(permissions), application.lower())


def networks_from(texts: list[str] | None) -> tuple[Network, ...] | None:
    """Read the addresses that a firewall admits; nothing means that there is no firewall."""
    try:
        return None if texts is None else tuple(ipaddress.ip_network(text) for text in texts)
    except ValueError as error:
        raise RuleError(f"allowedAddresses: {error}") from error


def admitted(address: str, networks: tuple[Network, ...] | None) -> bool:
    """Tell whether a firewall admits an address."""
    if networks is None:
        return True
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return False
    return any(found in network for network in networks)
