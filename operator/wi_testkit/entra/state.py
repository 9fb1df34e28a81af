"""The directory: tenants, applications and their federated identity credentials, with the rules of registration."""

from __future__ import annotations

import re
import uuid
from dataclasses import asdict, dataclass, field
from typing import Any

from wi_testkit.emulation.admin import RuleError
from wi_testkit.emulation.propagation import History

# "Microsoft Learn, Important considerations and restrictions for federated identity credentials".
MAX_CREDENTIALS = 20
MAX_FIELD = 600
CREDENTIAL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{2,119}")
DNS_NAME = re.compile(r"(?=.{1,253}$)([A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z]{2,63}")


@dataclass(frozen=True)
class Cloud:
    """What differs between national clouds: the recommended audience of assertions, and resources every tenant has."""

    exchange_audience: str
    resources: frozenset[str]


CLOUDS = {
    "Public": Cloud(
        "api://AzureADTokenExchange",
        frozenset({"https://vault.azure.net", "https://management.azure.com", "https://graph.microsoft.com"}),
    ),
    "USGovernment": Cloud(
        "api://AzureADTokenExchangeUSGov",
        frozenset(
            {"https://vault.usgovcloudapi.net", "https://management.usgovcloudapi.net", "https://graph.microsoft.us"}
        ),
    ),
    "China": Cloud(
        "api://AzureADTokenExchangeChina",
        frozenset(
            {
                "https://vault.azure.cn",
                "https://management.chinacloudapi.cn",
                "https://microsoftgraph.chinacloudapi.cn",
            }
        ),
    ),
}
# A namespace of our own: the same names give the same object ids after a restart.
OBJECT_IDS = uuid.UUID("7c1f6a52-3f0e-5d0c-9a44-0d6c53c3f0aa")


@dataclass(frozen=True)
class FederatedCredential:
    """One trust: this issuer, subject and audience may act as the application."""

    name: str
    issuer: str
    subject: str
    audiences: tuple[str, ...]
    description: str = ""


@dataclass
class Application:
    """An app registration with its service principal in the tenant.

    ``history`` is what nodes of the service see of ``credentials``; ``propagation_seconds`` replaces the setting.
    """

    client_id: str
    object_id: str
    display_name: str
    disabled: bool = False
    service_principal: bool = True
    conditional_access_blocked: bool = False
    propagation_seconds: float | None = None
    credentials: dict[str, FederatedCredential] = field(default_factory=dict)
    history: History[tuple[FederatedCredential, ...]] = field(default_factory=lambda: History(()), repr=False)

    def trust(self, credential: FederatedCredential) -> None:
        """Add or replace a credential, keeping the rules that the service enforces when one is written."""
        others = [kept for name, kept in self.credentials.items() if name != credential.name]
        if len(others) >= MAX_CREDENTIALS:
            raise RuleError(f"an application has at most {MAX_CREDENTIALS} federated identity credentials")
        if any((kept.issuer, kept.subject) == (credential.issuer, credential.subject) for kept in others):
            raise RuleError("Issuer and subject combination already exists for this Managed Identity.")
        self.credentials[credential.name] = credential

    def distrust(self, name: str) -> None:
        """Remove a credential."""
        if self.credentials.pop(name, None) is None:
            raise RuleError(f"no federated identity credential is called {name!r}", 404)

    def as_json(self) -> dict[str, Any]:
        """Return everything but the past."""
        shown = {name: value for name, value in vars(self).items() if name != "history"}
        return {**shown, "credentials": {name: asdict(kept) for name, kept in self.credentials.items()}}


@dataclass
class Tenant:
    """A directory tenant."""

    tenant_id: str
    domain: str
    display_name: str
    cloud: str = "Public"
    applications: dict[str, Application] = field(default_factory=dict)

    def application(self, client_id: str) -> Application | None:
        """Return the application with this client id (never the object id), whatever its case."""
        return self.applications.get(client_id.lower())

    def register(self, client_id: str, body: dict[str, Any]) -> Application:
        """Create or update an application; its credentials stay."""
        guid = require_guid(client_id)
        known = self.applications.get(guid)
        application = Application(
            client_id=guid,
            object_id=str(uuid.uuid5(OBJECT_IDS, f"{self.tenant_id}/{guid}")),
            display_name=str(body.get("displayName", known.display_name if known else "application")),
            disabled=bool(body.get("disabled", False)),
            service_principal=bool(body.get("servicePrincipal", True)),
            conditional_access_blocked=bool(body.get("conditionalAccessBlocked", False)),
            propagation_seconds=body.get("propagationSeconds"),
        )
        if known:
            application.credentials, application.history = known.credentials, known.history
        self.applications[guid] = application
        return application

    def as_json(self) -> dict[str, Any]:
        """Return the tenant with its applications."""
        return {**vars(self), "applications": {key: app.as_json() for key, app in self.applications.items()}}


@dataclass
class Directory:
    """All tenants of the emulator."""

    tenants: dict[str, Tenant] = field(default_factory=dict)

    def put_tenant(self, tenant_id: str, body: dict[str, Any]) -> Tenant:
        """Create or update a tenant."""
        guid = require_guid(tenant_id)
        known = self.tenants.get(guid)
        tenant = Tenant(
            tenant_id=guid,
            domain=str(body.get("domain", known.domain if known else f"{guid}.onmicrosoft.com")).lower(),
            display_name=str(body.get("displayName", known.display_name if known else "Emulated Directory")),
            cloud=str(body.get("cloud", known.cloud if known else "Public")),
            applications=known.applications if known else {},
        )
        if tenant.cloud not in CLOUDS:
            raise RuleError(f"the clouds are {', '.join(CLOUDS)}")
        self.tenants[guid] = tenant
        return tenant

    def tenant(self, name: str) -> Tenant | None:
        """Return the tenant with this id or domain."""
        wanted = name.lower()
        by_domain = (tenant for tenant in self.tenants.values() if tenant.domain == wanted)
        return self.tenants.get(wanted) or next(by_domain, None)

    def require_tenant(self, name: str) -> Tenant:
        """Return the tenant, for the admin API."""
        tenant = self.tenant(name)
        if tenant is None:
            raise RuleError(f"there is no tenant {name!r}", 404)
        return tenant

    def require_application(self, tenant: str, client_id: str) -> Application:
        """Return the application, for the admin API."""
        application = self.require_tenant(tenant).application(client_id)
        if application is None:
            raise RuleError(f"there is no application {client_id!r}", 404)
        return application

    def as_json(self) -> dict[str, Any]:
        """Return everything; nothing in here is secret."""
        return {"tenants": {key: tenant.as_json() for key, tenant in self.tenants.items()}}


def credential_from(name: str, body: dict[str, Any]) -> FederatedCredential:
    """Read a federated identity credential, refusing what the service refuses when one is written.

    Values that can never match are accepted, as they are there: they fail only at the exchange.
    """
    if not CREDENTIAL_NAME.fullmatch(name):
        raise RuleError("a name has 3 to 120 letters, digits, '-' or '_', and begins with a letter or digit")
    audiences = body.get("audiences")
    if not isinstance(audiences, list) or len(audiences) != 1:
        raise RuleError("Federated identity credentials must have exactly one audience.")
    description = body.get("description") or ""
    fields = {"issuer": body.get("issuer"), "subject": body.get("subject"), "audience": audiences[0]}
    for key, value in {**fields, "description": description or "-"}.items():
        if not isinstance(value, str) or not 0 < len(value) <= MAX_FIELD:
            raise RuleError(f"{key} must be text of 1 to {MAX_FIELD} characters")
    return FederatedCredential(name, str(fields["issuer"]), str(fields["subject"]), tuple(audiences), description)


def require_guid(text: str) -> str:
    """Return the GUID in lower case, or refuse the text."""
    if not is_guid(text):
        raise RuleError(f"{text!r} is not a GUID")
    return text.lower()


def is_guid(text: str) -> bool:
    """Tell whether the text is a GUID in its usual form."""
    try:
        return str(uuid.UUID(text)) == text.lower()
    except ValueError:
        return False


def is_tenant_name(text: str) -> bool:
    """Tell whether the text can name a tenant at all: a GUID or a domain."""
    return is_guid(text) or DNS_NAME.fullmatch(text) is not None
