"""Vaults, their settings and their secrets."""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass, field
from typing import Any

from wi_testkit.emulation.admin import RuleError
from wi_testkit.emulation.propagation import History
from wi_testkit.keyvault.access import AccessPolicy, Network, RequestRate, RoleAssignment, networks_from

# "Microsoft Learn, Azure Key Vault keys, secrets and certificates overview" and "About Azure Key Vault secrets".
VAULT_NAME = re.compile(r"(?!.*--)[A-Za-z][0-9A-Za-z-]{1,22}[0-9A-Za-z]")
SECRET_NAME = re.compile(r"[0-9a-zA-Z-]{1,127}")
MODELS = ("Rbac", "AccessPolicy")
ACCESS = ("Enabled", "Disabled")
VAULT_MEMBERS = frozenset(
    {
        "tenantId", "location", "hosts", "permissionModel", "publicNetworkAccess", "allowedAddresses",
        "requestsPer10Seconds", "retryAfter", "challenge", "emptyPages", "deletingSeconds", "propagationSeconds",
    }
)  # fmt: skip
# The forms of a challenge that clients accept, the usual one first; ``{tenant}`` and ``{resource}`` are filled in.
CHALLENGES = {
    "resource": 'Bearer authorization="https://login.windows.net/{tenant}", resource="{resource}"',
    "microsoftonline": 'Bearer authorization="https://login.microsoftonline.com/{tenant}", resource="{resource}"',
    "scope": 'Bearer authorization_uri="https://login.microsoftonline.com/{tenant}", scope="{resource}/.default"',
    "unquoted": "Bearer authorization=https://login.windows.net/{tenant}, resource={resource}",
    "spaces": 'Bearer authorization="https://login.windows.net/{tenant}" scope="{resource}/.default"',
}
MAX_VALUE = 25 * 1024
MAX_CONTENT_TYPE = 255
MAX_TAGS = 15
MAX_TAG = 512


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
    deleted: float | None = None

    def being_deleted(self, now: float, seconds: float) -> bool:
        """Tell whether the deletion still goes on."""
        return self.deleted is not None and now < self.deleted + seconds

    def find(self, version: str) -> Version | None:
        """Return a version, the latest for no name."""
        if not version:
            return self.versions[-1]
        return next((kept for kept in self.versions if kept.version == version.lower()), None)


@dataclass
class Vault:
    """A vault; ``history`` is what nodes of the service see of its role assignments.

    ``permission_model`` is Rbac or AccessPolicy; ``allowed`` are the firewall's networks, if there is one; ``challenge``
    is a form of :data:`CHALLENGES`; ``deleting_seconds`` is how long a deletion takes; ``propagation_seconds`` replaces
    the emulator's setting.
    """

    name: str
    tenant_id: str
    location: str = "eastus"
    hosts: tuple[str, ...] = ()
    subscription_id: str = "00000000-0000-4000-8000-000000000000"
    resource_group: str = "emulated"
    permission_model: str = "Rbac"
    public: bool = True
    allowed: tuple[Network, ...] | None = None
    rate: RequestRate = field(default_factory=RequestRate)
    challenge: str = "resource"
    empty_pages: bool = False
    deleting_seconds: float = 0.0
    propagation_seconds: float | None = None
    assignments: set[RoleAssignment] = field(default_factory=set)
    history: History[frozenset[RoleAssignment]] = field(default_factory=lambda: History(frozenset()), repr=False)
    policies: set[AccessPolicy] = field(default_factory=set)
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

    def purge(self, name: str) -> None:
        """Remove a soft-deleted secret for good."""
        if self.removed(name) is None:
            raise RuleError("there is no such deleted secret", 404)
        del self.secrets[name.lower()]

    def update(self, body: dict[str, Any]) -> None:
        """Change what the body names."""
        if unknown := body.keys() - VAULT_MEMBERS:
            raise RuleError(f"a vault has no {', '.join(sorted(unknown))}; it has {', '.join(sorted(VAULT_MEMBERS))}")
        self.tenant_id = str(body.get("tenantId", self.tenant_id)).lower()
        self.location = str(body.get("location", self.location))
        self.hosts = tuple(str(host).lower() for host in body.get("hosts", self.hosts))
        self.permission_model = one_of(MODELS, body.get("permissionModel", self.permission_model))
        self.challenge = one_of(tuple(CHALLENGES), body.get("challenge", self.challenge))
        self.public = one_of(ACCESS, body.get("publicNetworkAccess", ACCESS[not self.public])) == ACCESS[0]
        if "allowedAddresses" in body:
            self.allowed = networks_from(body["allowedAddresses"])
        self.rate.limit = body.get("requestsPer10Seconds", self.rate.limit)
        self.rate.retry_after = body.get("retryAfter", self.rate.retry_after)
        self.empty_pages = bool(body.get("emptyPages", self.empty_pages))
        self.deleting_seconds = float(body.get("deletingSeconds", self.deleting_seconds))
        self.propagation_seconds = body.get("propagationSeconds", self.propagation_seconds)


@dataclass
class Vaults:
    """All vaults of the emulator."""

    suffix: str = "vault.azure.net"
    by_name: dict[str, Vault] = field(default_factory=dict)

    def put(self, name: str, body: dict[str, Any]) -> Vault:
        """Create or update a vault; its secrets, assignments and policies stay, and so does what is not named."""
        if not VAULT_NAME.fullmatch(name) or not body.get("tenantId"):
            raise RuleError("a vault has a name of 3 to 24 letters, digits and single '-', and a tenantId")
        vault = self.by_name.get(name.lower()) or Vault(name.lower(), "")
        vault.update(body)
        self.by_name[vault.name] = vault
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


def one_of(known: tuple[str, ...], value: object) -> str:
    """Return the value if it is one of the known ones."""
    if value not in known:
        raise RuleError(f"{value!r} is none of {', '.join(known)}")
    return str(value)


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
