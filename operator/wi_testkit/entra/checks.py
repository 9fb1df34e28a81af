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
from urllib.parse import urlsplit

from wi_testkit.emulation.checks import Checklist
from wi_testkit.emulation.jose import Jwt, decode, is_signed_by
from wi_testkit.entra.errors import EntraError, refusal, seven_digits
from wi_testkit.entra.issuers import IssuerKeys
from wi_testkit.entra.state import (
    CLOUDS,
    Application,
    Cloud,
    FederatedCredential,
    Tenant,
    is_guid,
    is_tenant_name,
)

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
# "Microsoft Learn, federated identity credentials: important considerations": tokens of these issuers are refused.
ENTRA_HOSTS = ("login.microsoftonline.com", "login.windows.net", "login.microsoft.com", "sts.windows.net")
# Up to 2023 one code stood for all mismatches, another for unreachable issuers, and two texts were different.
LEGACY = {
    700211: (70021, 0),
    700212: (70021, 0),
    700213: (70021, 0),
    7002138: (70021, 0),
    501661: (90061, 0),
    5002727: (5002727, 1),
    5002738: (5002738, 1),
}
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
    credentials: tuple[FederatedCredential, ...] = ()
    issuer_keys: IssuerKeys = field(default_factory=IssuerKeys)
    legacy: bool = False

    def value(self, name: str) -> str:
        """Return a parameter, empty if it is missing."""
        return self.form.get(name, "")

    @property
    def client_id(self) -> str:
        """Return the client id in lower case."""
        return self.value("client_id").lower()

    @property
    def audience(self) -> str:
        """Return the audiences as one text."""
        return ",".join(self.assertion.audiences)

    @property
    def of_issuer(self) -> tuple[FederatedCredential, ...]:
        """Return the credentials that trust exactly this issuer: a trailing slash counts.

        White space around the token's issuer blocks the exchange even if the credential has it too (Microsoft Learn).
        """
        issuer = self.assertion.text("iss")
        return tuple(trusted for trusted in self.credentials if trusted.issuer == issuer == issuer.strip())

    @property
    def of_audience(self) -> tuple[FederatedCredential, ...]:
        """Return those of them that expect one of the assertion's audiences."""
        audiences = self.assertion.audiences
        return tuple(trusted for trusted in self.of_issuer if trusted.audiences[0] in audiences)

    @property
    def cloud(self) -> Cloud:
        """Return the tenant's cloud."""
        return CLOUDS[self.tenant.cloud if self.tenant else "Public"]

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

    @property
    def algorithm(self) -> str:
        """Return the algorithm that the assertion claims."""
        return str(self.assertion.header.get("alg", ""))

    @property
    def missing_parameter(self) -> str:
        """Return the first parameter that is needed and missing."""
        return next((name for name in REQUIRED_PARAMETERS if not self.value(name)), "")

    @property
    def missing_claim(self) -> str:
        """Return the first claim that is needed and missing."""
        return next((claim for claim in REQUIRED_CLAIMS if not self.assertion.claims.get(claim)), "")

    def facts(self) -> dict[str, str]:
        """Return what texts tell about the exchange."""
        return {
            "tenant": self.tenant_name,
            "tenant_id": self.tenant.tenant_id if self.tenant else self.tenant_name,
            "directory": self.tenant.display_name if self.tenant else self.tenant_name,
            "client_id": self.application.client_id if self.application else self.value("client_id"),
            "app_name": self.application.display_name if self.application else "",
            "issuer": self.assertion.text("iss"),
            "subject": self.assertion.text("sub"),
            "audience": self.audience,
            "kid": self.key_identifier,
            "algorithm": self.algorithm,
            "claim": self.missing_claim,
            "parameter": self.missing_parameter,
            "now": seven_digits(self.now),
            "not_before": seven_digits(self.assertion.moment("nbf")),
            "expires": seven_digits(self.assertion.moment("exp")),
            "scope": self.resource_scopes[0],
            "resource": self.resource,
        }

    def refusal(self, code: int, *, variant: int = 0, **facts: str) -> EntraError:
        """Refuse the exchange with this code, or with the one that stood for it up to 2023."""
        if self.legacy:
            code, variant = LEGACY.get(code, (code, variant))
        return refusal(code, self.facts() | facts, variant=variant)


def tenant_malformed(exchange: Exchange) -> EntraError | None:
    """900023."""
    return None if is_tenant_name(exchange.tenant_name) else exchange.refusal(900023)


def tenant_unknown(exchange: Exchange) -> EntraError | None:
    """90002."""
    return None if exchange.tenant else exchange.refusal(90002)


def parameter_missing(exchange: Exchange) -> EntraError | None:
    """900144."""
    return exchange.refusal(900144) if exchange.missing_parameter else None


def grant_type_unsupported(exchange: Exchange) -> EntraError | None:
    """70003."""
    return None if exchange.value("grant_type") == "client_credentials" else exchange.refusal(70003)


def client_secret_wrong(exchange: Exchange) -> EntraError | None:
    """7000215: the emulator's applications have no secrets, so that none can be right."""
    secret = exchange.value("client_secret") and not exchange.value("client_assertion")
    return exchange.refusal(7000215) if secret else None


def assertion_missing(exchange: Exchange) -> EntraError | None:
    """7000216. An assertion of an unknown type is none."""
    usable = exchange.value("client_assertion") and exchange.value("client_assertion_type") == JWT_BEARER
    return None if usable else exchange.refusal(7000216)


def assertion_malformed(exchange: Exchange) -> EntraError | None:
    """50027."""
    return None if exchange.assertion.well_formed else exchange.refusal(50027)


def type_unexpected(exchange: Exchange) -> EntraError | None:
    """5002727. No type at all is fine: tokens of Kubernetes service accounts have none."""
    return None if str(exchange.assertion.header.get("typ", "JWT")) in TYPES else exchange.refusal(5002727)


def algorithm_unsupported(exchange: Exchange) -> EntraError | None:
    """5002738."""
    return None if exchange.algorithm == ALGORITHM else exchange.refusal(5002738)


def key_id_missing(exchange: Exchange) -> EntraError | None:
    """5002723."""
    return None if exchange.assertion.header.get("kid") else exchange.refusal(5002723)


def claim_missing(exchange: Exchange) -> EntraError | None:
    """90014."""
    return exchange.refusal(90014) if exchange.missing_claim else None


def application_unknown(exchange: Exchange) -> EntraError | None:
    """700016."""
    return exchange.refusal(700016) if exchange.application is None else None


def service_principal_missing(exchange: Exchange) -> EntraError | None:
    """7000229."""
    missing = exchange.application is not None and not exchange.application.service_principal
    return exchange.refusal(7000229) if missing else None


def application_disabled(exchange: Exchange) -> EntraError | None:
    """7000112."""
    disabled = exchange.application is not None and exchange.application.disabled
    return exchange.refusal(7000112) if disabled else None


def issued_by_another_application(exchange: Exchange) -> EntraError | None:
    """700021: an assertion that an application issued itself, by its client id, but not this one."""
    issuer = exchange.assertion.text("iss")
    return exchange.refusal(700021) if is_guid(issuer) and issuer.lower() != exchange.client_id else None


def certificate_unknown(exchange: Exchange) -> EntraError | None:
    """700027: an assertion that the application issued itself needs a certificate, and the emulator's have none."""
    return exchange.refusal(700027) if exchange.assertion.text("iss").lower() == exchange.client_id else None


def credentials_absent(exchange: Exchange) -> EntraError | None:
    """70025."""
    return None if exchange.credentials else exchange.refusal(70025)


def issuer_mismatch(exchange: Exchange) -> EntraError | None:
    """700211."""
    return None if exchange.of_issuer else exchange.refusal(700211)


def audience_of_another_cloud(exchange: Exchange) -> EntraError | None:
    """70022204."""
    foreign = {cloud.exchange_audience for cloud in CLOUDS.values()} - {exchange.cloud.exchange_audience}
    mistaken = not exchange.of_audience and foreign.intersection(exchange.assertion.audiences)
    return exchange.refusal(70022204) if mistaken else None


def audience_mismatch(exchange: Exchange) -> EntraError | None:
    """700212."""
    return None if exchange.of_audience else exchange.refusal(700212)


def subject_case_mismatch(exchange: Exchange) -> EntraError | None:
    """7002138."""
    subject = exchange.assertion.text("sub")
    subjects = {trusted.subject for trusted in exchange.of_audience}
    if subject in subjects or subject.lower() not in {known.lower() for known in subjects}:
        return None
    return exchange.refusal(7002138)


def subject_mismatch(exchange: Exchange) -> EntraError | None:
    """700213."""
    subject = exchange.assertion.text("sub")
    known = any(trusted.subject == subject for trusted in exchange.of_audience)
    return None if known else exchange.refusal(700213)


def issued_by_entra(exchange: Exchange) -> EntraError | None:
    """700222: a credential with such an issuer can be written, but never be used."""
    try:
        host = urlsplit(exchange.assertion.text("iss")).hostname or ""
    except ValueError:
        return None
    own = any(host == known or host.endswith(f".{known}") for known in ENTRA_HOSTS)
    return exchange.refusal(700222) if own else None


def issuer_unreachable(exchange: Exchange) -> EntraError | None:
    """501661. The service does not say which of the two documents failed, or how."""
    return exchange.refusal(501661) if exchange.issuer_keys.failure else None


def signing_key_unknown(exchange: Exchange) -> EntraError | None:
    """7000272."""
    known = exchange.issuer_keys.find(str(exchange.assertion.header.get("kid", "")))
    return None if known else exchange.refusal(7000272)


def signature_invalid(exchange: Exchange) -> EntraError | None:
    """7000274."""
    key = exchange.issuer_keys.find(str(exchange.assertion.header.get("kid", "")))
    return None if is_signed_by(exchange.assertion, key) else exchange.refusal(7000274)


def outside_validity(exchange: Exchange) -> EntraError | None:
    """700024. ``exp`` is needed and has no upper limit; ``nbf`` is optional (Microsoft Learn)."""
    not_before, expires = exchange.assertion.moment("nbf"), exchange.assertion.moment("exp")
    valid = not_before - exchange.leeway <= exchange.now < expires + exchange.leeway
    return None if valid else exchange.refusal(700024)


def scope_without_default(exchange: Exchange) -> EntraError | None:
    """1002012."""
    bare = next((scope for scope in exchange.resource_scopes if not scope.endswith(DEFAULT)), None)
    return None if bare is None else exchange.refusal(1002012, scope=bare)


def scope_names_several_resources(exchange: Exchange) -> EntraError | None:
    """700022."""
    return exchange.refusal(700022) if len(set(exchange.resource_scopes)) > 1 else None


def scope_malformed(exchange: Exchange) -> EntraError | None:
    """70011: a resource is named by its application ID URI or its application id."""
    named = URI.fullmatch(exchange.resource) or is_guid(exchange.resource)
    return None if named else exchange.refusal(70011)


def resource_unknown(exchange: Exchange) -> EntraError | None:
    """500011."""
    return None if exchange.resource in exchange.cloud.resources else exchange.refusal(500011)


def conditional_access_blocked(exchange: Exchange) -> EntraError | None:
    """53003."""
    blocked = exchange.application is not None and exchange.application.conditional_access_blocked
    return exchange.refusal(53003) if blocked else None


# Two lists, because between them the issuer's documents are fetched: what the first refuses causes no request.
BEFORE_FETCH: Checklist[Exchange, EntraError] = Checklist(
    (
        tenant_malformed,
        tenant_unknown,
        parameter_missing,
        grant_type_unsupported,
        client_secret_wrong,
        assertion_missing,
        assertion_malformed,
        type_unexpected,
        algorithm_unsupported,
        key_id_missing,
        claim_missing,
        application_unknown,
        service_principal_missing,
        application_disabled,
        issued_by_another_application,
        certificate_unknown,
        credentials_absent,
        issuer_mismatch,
        audience_of_another_cloud,
        audience_mismatch,
        subject_case_mismatch,
        subject_mismatch,
        issued_by_entra,
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
        conditional_access_blocked,
    )
)
NAMES = BEFORE_FETCH.names + AFTER_FETCH.names
