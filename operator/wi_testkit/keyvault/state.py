"""Vaults, their secrets and the role assignments on them."""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass, field
from typing import Any

from wi_testkit.emulation.admin import RuleError

GET = "Microsoft.KeyVault/vaults/secrets/getSecret/action"
READ_METADATA = "Microsoft.KeyVault/vaults/secrets/readMetadata/action"
SET = "Microsoft.KeyVault/vaults/secrets/setSecret/action"
# "Microsoft Learn, Azure built-in roles for Security": the data actions on secrets.
ROLES = {
    "Key Vault Secrets User": frozenset({GET, READ_METADATA}),
    "Key Vault Reader": frozenset({READ_METADATA}),
    "Key Vault Secrets Officer": frozenset({GET, READ_METADATA, SET}),
    "Key Vault Administrator": frozenset({GET, READ_METADATA, SET}),
}
# "Microsoft Learn, Azure Key Vault keys, secrets and certificates overview" and "About Azure Key Vault secrets".
VAULT_NAME = re.compile(r"(?!.*--)[A-Za-z][0-9A-Za-z-]{1,22}[0-9A-Za-z]")
SECRET_NAME = re.compile(r"[0-9a-zA-Z-]{1,127}")
MAX_VALUE = 25 * 1024
MAX_CONTENT_TYPE = 255
MAX_TAGS = 15
MAX_TAG = 512
NAMESPACE = uuid.UUID("1b1e2a0c-6a51-5f3b-8a53-7f0c6a1d2e90")


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


@dataclass
class Version:
    """One version of a secret."""

    value: str = field(repr=False)
    version: str = field(default_factory=lambda: uuid.uuid4().hex)
    content_type: str | None = None
    tags: dict[str, str] | None = None
    enabled: bool = True
    nbf: int | None = None
    exp: int | None = None
    created: int = 0
    updated: int = 0


@dataclass
class Secret:
    """A secret with its versions, oldest first."""

    name: str
    versions: list[Version] = field(default_factory=list)
    deleted: int | None = None

    def find(self, version: str) -> Version | None:
        """Return a version, the latest for no name."""
        if not version:
            return self.versions[-1]
        return next((kept for kept in self.versions if kept.version == version.lower()), None)


@dataclass
class Vault:
    """A vault with RBAC authorization."""

    name: str
    tenant_id: str
    location: str = "eastus"
    hosts: tuple[str, ...] = ()
    subscription_id: str = "00000000-0000-4000-8000-000000000000"
    resource_group: str = "emulated"
    assignments: set[RoleAssignment] = field(default_factory=set)
    secrets: dict[str, Secret] = field(default_factory=dict)

    def resource(self, secret: str) -> str:
        """Return the resource id that an RBAC refusal names."""
        base = (
            f"/subscriptions/{self.subscription_id}/resourcegroups/{self.resource_group}"
            f"/providers/microsoft.keyvault/vaults/{self.name}"
        )
        return f"{base}/secrets/{secret.lower()}" if secret else base

    def live(self, name: str) -> Secret | None:
        """Return a secret that is not deleted."""
        secret = self.secrets.get(name.lower())
        return secret if secret and secret.deleted is None else None

    def removed(self, name: str) -> Secret | None:
        """Return a soft-deleted secret."""
        secret = self.secrets.get(name.lower())
        return secret if secret and secret.deleted is not None else None

    def add(self, name: str, version: Version) -> Secret:
        """Add a version; the first spelling of a name stays."""
        secret = self.secrets.setdefault(name.lower(), Secret(name))
        secret.versions.append(version)
        secret.deleted = None
        return secret

    def assign(self, assignment: RoleAssignment) -> None:
        """Give a role."""
        if assignment.role not in ROLES:
            raise RuleError(f"the emulator knows the roles {', '.join(ROLES)}")
        self.assignments.add(assignment)


@dataclass
class Vaults:
    """All vaults of the emulator."""

    suffix: str = "vault.azure.net"
    by_name: dict[str, Vault] = field(default_factory=dict)

    def put(self, name: str, body: dict[str, Any]) -> Vault:
        """Create or update a vault; its secrets and assignments stay."""
        if not VAULT_NAME.fullmatch(name) or not body.get("tenantId"):
            raise RuleError("a vault has a name of 3 to 24 letters, digits and single '-', and a tenantId")
        vault = self.by_name.setdefault(name.lower(), Vault(name.lower(), ""))
        vault.tenant_id = str(body["tenantId"]).lower()
        vault.location = str(body.get("location", vault.location))
        vault.hosts = tuple(str(host).lower() for host in body.get("hosts", vault.hosts))
        return vault

    def require(self, name: str) -> Vault:
        """Return the vault, for the admin API."""
        vault = self.by_name.get(name.lower())
        if vault is None:
            raise RuleError(f"there is no vault {name!r}", 404)
        return vault

    def of_host(self, host: str) -> Vault | None:
        """Return the vault that a Host header names: its public name on any port, or a registered host."""
        bare = host.lower().rpartition(":")[0] if re.search(r":\d+$", host) else host.lower()
        if bare.endswith(f".{self.suffix}"):
            return self.by_name.get(bare.removesuffix(f".{self.suffix}"))
        return next((vault for vault in self.by_name.values() if host.lower() in vault.hosts), None)


def version_from(body: dict[str, Any], now: float) -> Version | None:
    """Read a version from the JSON of a set request, or nothing if a property is out of bounds."""
    attributes = body.get("attributes") or {}
    if not isinstance(attributes, dict) or not properties_valid(body) or not attributes_valid(attributes):
        return None
    return Version(
        value=body["value"],
        content_type=body.get("contentType"),
        tags=body.get("tags"),
        enabled=attributes.get("enabled", True),
        nbf=attributes.get("nbf"),
        exp=attributes.get("exp"),
        created=int(now),
        updated=int(now),
    )


def properties_valid(body: dict[str, Any]) -> bool:
    """Tell whether value, content type and tags are within the documented limits."""
    value, content_type, tags = body.get("value"), body.get("contentType") or "", body.get("tags") or {}
    if not isinstance(value, str) or len(value.encode(errors="surrogatepass")) > MAX_VALUE:
        return False
    if not isinstance(content_type, str) or len(content_type) > MAX_CONTENT_TYPE:
        return False
    if not isinstance(tags, dict) or len(tags) > MAX_TAGS:
        return False
    return all(isinstance(text, str) and len(text) <= MAX_TAG for pair in tags.items() for text in pair)


def attributes_valid(attributes: dict[str, Any]) -> bool:
    """Tell whether the attributes have their types; times are whole seconds."""
    times = [attributes[name] for name in ("nbf", "exp") if attributes.get(name) is not None]
    whole = all(isinstance(moment, int) and not isinstance(moment, bool) for moment in times)
    return whole and isinstance(attributes.get("enabled", True), bool)
