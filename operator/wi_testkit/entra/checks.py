"""The checks of an exchange, in the order of asking.

Microsoft does not document the order. This one agrees with every known answer; two of its edges are known for certain:
an unreadable assertion is told before anything about the application's credentials, and a foreign issuer or audience is
told without fetching anything from that issuer.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from wi_testkit.emulation.checks import Checklist
from wi_testkit.emulation.jose import Jwt, decode, is_signed_by
from wi_testkit.entra import errors
from wi_testkit.entra.errors import EntraError
from wi_testkit.entra.issuers import IssuerKeys
from wi_testkit.entra.state import Application, FederatedCredential, Tenant, is_guid, is_tenant_name

JWT_BEARER = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
DEFAULT = "/.default"
# Permissions of OpenID Connect, which Go's SDK sends along; they name no resource.
OIDC_SCOPES = frozenset({"openid", "offline_access", "profile", "email"})
TYPES = frozenset({"JWT", "http://openid.net/specs/jwt/1.0"})
# "Only issuers that provide tokens signed using the RS256 algorithm are supported" (Microsoft Learn), although the
# token endpoint's own text lists two more.
ALGORITHM = "RS256"
REQUIRED_PARAMETERS = ("grant_type", "client_id", "scope")
REQUIRED_CLAIMS = ("iss", "aud", "sub")
# The vault audiences of the public, US government and China clouds, and two resources that every tenant has.
RESOURCES = frozenset(
    {
        "https://vault.azure.net",
        "https://vault.usgovcloudapi.net",
        "https://vault.azure.cn",
        "https://management.azure.com",
        "https://graph.microsoft.com",
    }
)
URI = re.compile(r"[a-z][a-z0-9+.-]*://[^\s/]+.*", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class Exchange:
    """One token request and everything needed to judge it."""

    tenant_name: str
    form: Mapping[str, str]
    now: float
    leeway: float = 0.0
    tenant: Tenant | None = None
    application: Application | None = None
    assertion: Jwt = field(default_factory=Jwt)
    issuer_keys: IssuerKeys = field(default_factory=IssuerKeys)

    def value(self, name: str) -> str:
        """Return a parameter, empty if it is missing."""
        return self.form.get(name, "")

    @property
    def directory_name(self) -> str:
        """Return the tenant's name as the texts show it."""
        return self.tenant.display_name if self.tenant else self.tenant_name

    @property
    def audience(self) -> str:
        """Return the audiences as one text."""
        return ",".join(self.assertion.audiences)

    @property
    def credentials(self) -> tuple[FederatedCredential, ...]:
        """Return the application's credentials."""
        return tuple(self.application.credentials.values()) if self.application else ()

    @property
    def of_issuer(self) -> tuple[FederatedCredential, ...]:
        """Return the credentials that trust exactly this issuer: a trailing slash counts, and so does whitespace."""
        return tuple(trusted for trusted in self.credentials if trusted.issuer == self.assertion.text("iss"))

    @property
    def of_audience(self) -> tuple[FederatedCredential, ...]:
        """Return those of them that expect one of the assertion's audiences."""
        audiences = self.assertion.audiences
        return tuple(trusted for trusted in self.of_issuer if trusted.audiences[0] in audiences)

    @property
    def resource_scopes(self) -> tuple[str, ...]:
        """Return the scopes that name a resource; without any, the whole value counts as one (and is refused)."""
        scopes = self.value("scope").split()
        return tuple(scope for scope in scopes if scope not in OIDC_SCOPES) or (self.value("scope"),)

    @property
    def resource(self) -> str:
        """Return the resource asked for."""
        return self.resource_scopes[0].removesuffix(DEFAULT)

    @property
    def key_identifier(self) -> str:
        """Return the key id as the texts show it: captures have the hexadecimal form of the decoded ``kid``."""
        kid = str(self.assertion.header.get("kid", ""))
        try:
            return decode(kid).hex().upper()
        except (binascii.Error, ValueError):
            return kid


def tenant_malformed(exchange: Exchange) -> EntraError | None:
    """900023."""
    return None if is_tenant_name(exchange.tenant_name) else errors.tenant_malformed(exchange.tenant_name)


def tenant_unknown(exchange: Exchange) -> EntraError | None:
    """90002."""
    return None if exchange.tenant else errors.tenant_unknown(exchange.tenant_name)


def parameter_missing(exchange: Exchange) -> EntraError | None:
    """900144."""
    missing = next((name for name in REQUIRED_PARAMETERS if not exchange.value(name)), None)
    return errors.parameter_missing(missing) if missing else None


def grant_type_unsupported(exchange: Exchange) -> EntraError | None:
    """70003."""
    return None if exchange.value("grant_type") == "client_credentials" else errors.grant_type_unsupported()


def assertion_missing(exchange: Exchange) -> EntraError | None:
    """7000216. An assertion of an unknown type is none."""
    usable = exchange.value("client_assertion") and exchange.value("client_assertion_type") == JWT_BEARER
    return None if usable else errors.assertion_missing()


def assertion_malformed(exchange: Exchange) -> EntraError | None:
    """50027."""
    return None if exchange.assertion.well_formed else errors.assertion_malformed()


def type_unexpected(exchange: Exchange) -> EntraError | None:
    """5002727. No type at all is fine: tokens of Kubernetes service accounts have none."""
    return None if str(exchange.assertion.header.get("typ", "JWT")) in TYPES else errors.type_unexpected()


def algorithm_unsupported(exchange: Exchange) -> EntraError | None:
    """5002738."""
    algorithm = str(exchange.assertion.header.get("alg", ""))
    return None if algorithm == ALGORITHM else errors.algorithm_unsupported(algorithm)


def key_id_missing(exchange: Exchange) -> EntraError | None:
    """5002723."""
    return None if exchange.assertion.header.get("kid") else errors.key_id_missing()


def claim_missing(exchange: Exchange) -> EntraError | None:
    """90014."""
    missing = next((claim for claim in REQUIRED_CLAIMS if not exchange.assertion.claims.get(claim)), None)
    return errors.claim_missing(missing) if missing else None


def application_unknown(exchange: Exchange) -> EntraError | None:
    """700016."""
    if exchange.application is not None:
        return None
    return errors.application_unknown(exchange.value("client_id"), exchange.directory_name)


def service_principal_missing(exchange: Exchange) -> EntraError | None:
    """7000229."""
    application = exchange.application
    if application is None or application.service_principal:
        return None
    tenant_id = exchange.tenant.tenant_id if exchange.tenant else exchange.tenant_name
    return errors.service_principal_missing(application.client_id, tenant_id)


def application_disabled(exchange: Exchange) -> EntraError | None:
    """7000112."""
    disabled = exchange.application is not None and exchange.application.disabled
    return errors.application_disabled() if disabled else None


def credentials_absent(exchange: Exchange) -> EntraError | None:
    """70025."""
    if exchange.credentials:
        return None
    name = exchange.application.display_name if exchange.application else ""
    return errors.credentials_absent(exchange.value("client_id"), name)


def issuer_mismatch(exchange: Exchange) -> EntraError | None:
    """700211."""
    return None if exchange.of_issuer else errors.issuer_mismatch(exchange.assertion.text("iss"))


def audience_mismatch(exchange: Exchange) -> EntraError | None:
    """700212."""
    return None if exchange.of_audience else errors.audience_mismatch(exchange.audience)


def subject_case_mismatch(exchange: Exchange) -> EntraError | None:
    """7002138."""
    subject = exchange.assertion.text("sub")
    subjects = {trusted.subject for trusted in exchange.of_audience}
    if subject in subjects or subject.lower() not in {known.lower() for known in subjects}:
        return None
    return errors.subject_case_mismatch(subject)


def subject_mismatch(exchange: Exchange) -> EntraError | None:
    """700213."""
    subject = exchange.assertion.text("sub")
    known = any(trusted.subject == subject for trusted in exchange.of_audience)
    return None if known else errors.subject_mismatch(subject)


def issuer_unreachable(exchange: Exchange) -> EntraError | None:
    """501661."""
    return errors.issuer_unreachable() if exchange.issuer_keys.failure else None


def signing_key_unknown(exchange: Exchange) -> EntraError | None:
    """7000272."""
    if exchange.issuer_keys.find(str(exchange.assertion.header.get("kid", ""))):
        return None
    return errors.signing_key_unknown(exchange.key_identifier, exchange.assertion.text("iss"))


def signature_invalid(exchange: Exchange) -> EntraError | None:
    """7000274."""
    key = exchange.issuer_keys.find(str(exchange.assertion.header.get("kid", "")))
    return None if is_signed_by(exchange.assertion, key) else errors.signature_invalid()


def outside_validity(exchange: Exchange) -> EntraError | None:
    """700024. ``exp`` is needed and has no upper limit; ``nbf`` is optional (Microsoft Learn)."""
    not_before, expires = exchange.assertion.moment("nbf"), exchange.assertion.moment("exp")
    if not_before - exchange.leeway <= exchange.now < expires + exchange.leeway:
        return None
    return errors.outside_validity(exchange.now, not_before, expires)


def scope_without_default(exchange: Exchange) -> EntraError | None:
    """1002012."""
    bare = next((scope for scope in exchange.resource_scopes if not scope.endswith(DEFAULT)), None)
    return errors.scope_without_default(bare) if bare is not None else None


def scope_names_several_resources(exchange: Exchange) -> EntraError | None:
    """700022."""
    return errors.scope_names_several_resources() if len(set(exchange.resource_scopes)) > 1 else None


def scope_malformed(exchange: Exchange) -> EntraError | None:
    """70011: a resource is named by its application ID URI or its application id."""
    if URI.fullmatch(exchange.resource) or is_guid(exchange.resource):
        return None
    return errors.scope_malformed(exchange.resource_scopes[0])


def resource_unknown(exchange: Exchange) -> EntraError | None:
    """500011."""
    if exchange.resource in RESOURCES:
        return None
    return errors.resource_unknown(exchange.resource, exchange.directory_name)


# Two lists, because between them the issuer's documents are fetched: what the first refuses causes no request.
BEFORE_FETCH: Checklist[Exchange, EntraError] = Checklist(
    (
        tenant_malformed,
        tenant_unknown,
        parameter_missing,
        grant_type_unsupported,
        assertion_missing,
        assertion_malformed,
        type_unexpected,
        algorithm_unsupported,
        key_id_missing,
        claim_missing,
        application_unknown,
        service_principal_missing,
        application_disabled,
        credentials_absent,
        issuer_mismatch,
        audience_mismatch,
        subject_case_mismatch,
        subject_mismatch,
    )
)
AFTER_FETCH: Checklist[Exchange, EntraError] = Checklist(
    (
        issuer_unreachable,
        signing_key_unknown,
        signature_invalid,
        outside_validity,
        scope_without_default,
        scope_names_several_resources,
        scope_malformed,
        resource_unknown,
    )
)
NAMES = BEFORE_FETCH.names + AFTER_FETCH.names
