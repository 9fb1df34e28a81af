"""Bad token requests, each refused by exactly one named check, with the answer that Entra gives.

The texts stand here a second time on purpose: a table that took them from the emulator would prove nothing.
"""

from __future__ import annotations

import hmac
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives import serialization

from wi_testkit.emulation.cases import Answer, Ask
from wi_testkit.emulation.jose import encode
from wi_testkit.static_issuer import RsaKey, StaticIssuer

TENANT = "11111111-1111-4111-8111-111111111111"
OTHER_TENANT = "22222222-2222-4222-8222-222222222222"
TENANT_NAME = "Contract Directory"
CLIENT = "aaaaaaaa-0000-4000-8000-000000000001"
BARE_CLIENT = "aaaaaaaa-0000-4000-8000-000000000002"
DISABLED_CLIENT = "aaaaaaaa-0000-4000-8000-000000000003"
GUEST_CLIENT = "aaaaaaaa-0000-4000-8000-000000000004"
BLOCKED_CLIENT = "aaaaaaaa-0000-4000-8000-000000000005"
UNKNOWN_CLIENT = "aaaaaaaa-0000-4000-8000-00000000000f"
SUBJECT = "organization:0f9d3f0e-6f7b-4a51-9d55-6f2c0c1f7b11"
AUDIENCE = "api://AzureADTokenExchange"
VAULT_SCOPE = "https://vault.azure.net/.default"
# Port 1 of the loopback interface: nobody listens there, so the connection is refused at once.
CLOSED_ISSUER = "https://localhost:1"
# Of Entra's domain, but with a label that is too long to be looked up anywhere, even if nobody refused it.
ENTRA_ISSUER = f"https://{'x' * 64}.sts.windows.net/{TENANT}/"
JWT_BEARER = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
LINK = "https://learn.microsoft.com/entra/workload-id/workload-identity-federation"
CHECK = "Check your federated identity credential Subject, Audience and Issuer against the presented assertion."
NO_MATCH = "No matching federated identity record found for presented assertion"
ALGORITHMS = "is not a supported signature algorithm. Supported signing algorithms are: 'RS256,RS384,RS512'"
REVIEW = (
    "Review the documentation at "
    "https://docs.microsoft.com/azure/active-directory/develop/active-directory-certificate-credentials ."
)
WRONG_TENANT = (
    "This can happen if the application has not been installed by the administrator of the tenant or consented to by "
    "any user in the tenant."
)
GUID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
TRAILER = re.compile(rf" Trace ID: {GUID} Correlation ID: {GUID} Timestamp: \d{{4}}-\d\d-\d\d \d\d:\d\d:\d\dZ$")

Assertion = Callable[[StaticIssuer], str]


def seed_calls(issuer: StaticIssuer) -> list[tuple[str, dict[str, Any]]]:
    """Return the admin calls (PUT path, body) that every case needs."""
    trust = {"issuer": issuer.url, "subject": SUBJECT, "audiences": [AUDIENCE]}
    tenant = f"tenants/{TENANT}"
    calls: list[tuple[str, dict[str, Any]]] = [
        (tenant, {"domain": "contract.example", "displayName": TENANT_NAME}),
        (f"{tenant}/apps/{CLIENT}", {"displayName": "contract"}),
        (f"{tenant}/apps/{BARE_CLIENT}", {"displayName": "bare"}),
        (f"{tenant}/apps/{DISABLED_CLIENT}", {"disabled": True}),
        (f"{tenant}/apps/{GUEST_CLIENT}", {"servicePrincipal": False}),
        (f"{tenant}/apps/{BLOCKED_CLIENT}", {"conditionalAccessBlocked": True}),
    ]
    clients = (CLIENT, DISABLED_CLIENT, GUEST_CLIENT, BLOCKED_CLIENT)
    calls.extend((f"{tenant}/apps/{client}/federatedCredentials/good", trust) for client in clients)
    others = (
        ("closed", CLOSED_ISSUER),
        ("undocumented", f"{issuer.url}/nothing-here"),
        ("entra", ENTRA_ISSUER),
        ("spaced", f"{issuer.url} "),
    )
    credentials = f"{tenant}/apps/{CLIENT}/federatedCredentials"
    calls.extend((f"{credentials}/{name}", {**trust, "issuer": url}) for name, url in others)
    return calls


def minted(header: dict[str, Any] | None = None, **claims: Any) -> Assertion:
    """Return a well-signed assertion with some claims or headers changed; None leaves one out."""
    wanted = {"sub": SUBJECT, "aud": AUDIENCE, **claims}
    return lambda issuer: issuer.mint(wanted, header=header)


def ask(issuer: StaticIssuer, assertion: Assertion | None = None, tenant: str = TENANT, **form: str | None) -> Ask:
    """Return a token request: a good one, except for what is given. A field that is None is left out."""
    fields: dict[str, str | None] = {
        "grant_type": "client_credentials",
        "client_id": CLIENT,
        "scope": VAULT_SCOPE,
        "client_assertion_type": JWT_BEARER,
        "client_assertion": (assertion or minted())(issuer),
        **form,
    }
    return Ask("POST", f"/{tenant}/oauth2/v2.0/token", form={k: v for k, v in fields.items() if v is not None})


@dataclass(frozen=True)
class Case:
    """A bad request, the check that refuses it, and the answer. ``{issuer}`` and ``{kid}`` are filled in."""

    name: str
    check: str
    code: int
    error: str
    status: int
    text: str
    assertion: Assertion | None = None
    tenant: str = TENANT
    form: dict[str, str | None] = field(default_factory=dict)

    def ask(self, issuer: StaticIssuer) -> Ask:
        """Return the request."""
        return ask(issuer, self.assertion, self.tenant, **self.form)

    def expected_text(self, issuer: StaticIssuer) -> str:
        """Return the text between code and trailer."""
        return self.text.format(issuer=issuer.url)


def refused_text(answer: Answer) -> str:
    """Return the description of a refusal without code and trailer; fails if either is not as it should be."""
    description, code = answer.body["error_description"], answer.body["error_codes"][0]
    found = TRAILER.search(description)
    if found is None or not description.startswith(f"AADSTS{code}: "):
        raise AssertionError(f"not Entra's shape: {description!r}")
    return str(description[len(f"AADSTS{code}: ") : found.start()])


def gist(answer: Answer) -> tuple[Any, ...]:
    """Return what distinguishes answers: everything but times, ids and tokens."""
    if "error" not in answer.body:
        return (answer.status, str(answer.body) if isinstance(answer.body, str) else sorted(answer.body))
    text = re.sub(r"\d{4}-\d\d-\d\dT[0-9:.]+Z", "<time>", refused_text(answer))
    return (answer.status, answer.body["error"], tuple(answer.body["error_codes"]), text)


def signed_with_public_key(issuer: StaticIssuer) -> str:
    """Return the classic forgery: HS256 with the public key as the secret."""
    pem = issuer.key.private.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    signed = issuer.mint({"sub": SUBJECT, "aud": AUDIENCE}, header={"alg": "HS256"}, signature=b"").rstrip(".")
    return f"{signed}.{encode(hmac.digest(pem, signed.encode(), 'sha256'))}"


def unsigned(issuer: StaticIssuer) -> str:
    """Return an assertion without signature."""
    return issuer.mint({"sub": SUBJECT, "aud": AUDIENCE}, header={"alg": "none"}, signature=b"")


def signed_by_stranger(issuer: StaticIssuer) -> str:
    """Return an assertion that claims the issuer's key but was signed with another."""
    return issuer.mint({"sub": SUBJECT, "aud": AUDIENCE}, key=RsaKey())


def altered(issuer: StaticIssuer) -> str:
    """Return an assertion whose claims come from one and whose signature comes from another."""
    first, second = (issuer.mint({"sub": SUBJECT, "aud": AUDIENCE, "jti": jti}) for jti in ("one", "two"))
    return f"{first.rpartition('.')[0]}.{second.rpartition('.')[2]}"


def shifted(**seconds: int) -> Assertion:
    """Return an assertion whose times are shifted from now."""

    def mint(issuer: StaticIssuer) -> str:
        now = int(time.time())
        return minted(None, **{claim: now + offset for claim, offset in seconds.items()})(issuer)

    return mint


def literally(text: str) -> Assertion:
    """Return the text itself."""
    return lambda _: text


def trailing_slash(issuer: StaticIssuer) -> str:
    """Return an assertion whose issuer differs by its last character only."""
    return minted(iss=f"{issuer.url}/")(issuer)


def trailing_space(issuer: StaticIssuer) -> str:
    """Return an assertion whose issuer ends with a space, like that of a credential."""
    return minted(iss=f"{issuer.url} ")(issuer)


def undocumented(issuer: StaticIssuer) -> str:
    """Return an assertion of an issuer that serves no discovery document."""
    return minted(iss=f"{issuer.url}/nothing-here")(issuer)


def missing(name: str) -> Case:
    """Return the case of a missing parameter."""
    text = f"The request body must contain the following parameter: '{name}'."
    return Case(f"no_{name}", "parameter_missing", 900144, "invalid_request", 400, text, form={name: None})


def without_claim(claim: str) -> Case:
    """Return the case of a missing claim."""
    text = (
        f"The required field '{claim}' is missing from the credential. Ensure that you have all the necessary "
        "parameters for the login request."
    )
    return Case(f"no_{claim}", "claim_missing", 90014, "invalid_request", 400, text, minted(**{claim: None}))


def algorithm(name: str, assertion: Assertion) -> Case:
    """Return the case of an algorithm that is not allowed."""
    text = f"Invalid JWT token. '{name}' {ALGORITHMS}"
    return Case(f"alg_{name}", "algorithm_unsupported", 5002738, "invalid_client", 401, text, assertion)


def unusable(name: str, assertion: str) -> Case:
    """Return the case of something that is no JWT."""
    text = "JWT token is invalid or malformed."
    return Case(name, "assertion_malformed", 50027, "invalid_request", 400, text, literally(assertion))


def without_assertion(name: str, **form: str | None) -> Case:
    """Return the case of a request without a usable assertion."""
    text = "'client_assertion', 'client_secret' or 'request' is required for the 'client_credentials' grant type."
    return Case(name, "assertion_missing", 7000216, "invalid_client", 401, text, form=form)


def unknown_application(name: str, client: str) -> Case:
    """Return the case of a client id that no application has."""
    text = (
        f"Application with identifier '{client}' was not found in the directory '{TENANT_NAME}'. {WRONG_TENANT} "
        "You may have sent your authentication request to the wrong tenant."
    )
    return Case(name, "application_unknown", 700016, "unauthorized_client", 400, text, form={"client_id": client})


def mismatch(name: str, check: str, code: int, what: str, assertion: Assertion) -> Case:
    """Return the case of a claim that no federated identity credential has."""
    return Case(name, check, code, "invalid_client", 401, f"{NO_MATCH} {what}. {CHECK} {LINK}", assertion)


def unreachable(name: str, assertion: Assertion) -> Case:
    """Return the case of an issuer whose documents cannot be fetched."""
    text = "Request to External OIDC endpoint failed."
    return Case(name, "issuer_unreachable", 501661, "invalid_request", 400, text, assertion)


def forged(name: str, assertion: Assertion) -> Case:
    """Return the case of a wrong signature."""
    text = "Client assertion contains an invalid signature."
    return Case(name, "signature_invalid", 7000274, "invalid_client", 401, text, assertion)


def untimely(name: str, assertion: Assertion) -> Case:
    """Return the case of an assertion outside its validity."""
    text = (
        "Client assertion is not within its valid time range. Current time: <time>, assertion valid from <time>, "
        f"expiry time of assertion <time>. {REVIEW}"
    )
    return Case(name, "outside_validity", 700024, "invalid_client", 401, text, assertion)


def scope(name: str, check: str, code: int, value: str, text: str, error: str = "invalid_scope") -> Case:
    """Return the case of a scope."""
    return Case(name, check, code, error, 400, text, form={"scope": value})


def unknown_resource(name: str, resource: str) -> Case:
    """Return the case of a resource that the tenant does not have."""
    text = (
        f"The resource principal named {resource} was not found in the tenant named {TENANT_NAME}. {WRONG_TENANT} You "
        "might have sent your authentication request to the wrong tenant."
    )
    return scope(name, "resource_unknown", 500011, f"{resource}/.default", text, error="invalid_resource")


CASES = (
    Case(
        "tenant_malformed", "tenant_malformed", 900023, "invalid_request", 400,
        "Specified tenant identifier 'not_a_tenant' is neither a valid DNS name, nor a valid external domain.",
        tenant="not_a_tenant",
    ),
    Case(
        "tenant_unknown", "tenant_unknown", 90002, "invalid_request", 400,
        f"Tenant '{OTHER_TENANT}' not found. This may happen if there are no active subscriptions for the tenant. "
        "Check to make sure you have the correct tenant ID. Check with your subscription administrator.",
        tenant=OTHER_TENANT,
    ),
    missing("grant_type"),
    missing("client_id"),
    missing("scope"),
    Case(
        "grant_type_password", "grant_type_unsupported", 70003, "unsupported_grant_type", 400,
        "The app returned an unsupported grant type.", form={"grant_type": "password"},
    ),
    Case(
        "client_secret", "client_secret_wrong", 7000215, "invalid_client", 401, "Invalid client secret is provided.",
        form={"client_assertion": None, "client_assertion_type": None, "client_secret": "not-a-secret"},
    ),
    without_assertion("no_client_assertion", client_assertion=None),
    without_assertion("unknown_assertion_type", client_assertion_type="urn:example:other"),
    unusable("garbage_assertion", "garbage"),
    unusable("garbage_segments", "one.two.three"),
    Case(
        "typ_at_jwt", "type_unexpected", 5002727, "invalid_request", 400,
        "Invalid JWT header type specified. Allowed types: 'JWT','http://openid.net/specs/jwt/1.0'",
        minted({"typ": "at+jwt"}),
    ),
    algorithm("HS256", signed_with_public_key),
    algorithm("none", unsigned),
    algorithm("ES256", minted({"alg": "ES256"})),
    Case(
        "kid_missing", "key_id_missing", 5002723, "invalid_client", 401,
        "Invalid JWT token. No certificate SHA-1 thumbprint, certificate SHA-256 thumbprint, nor keyId specified in "
        "token header.",
        minted({"kid": None}),
    ),
    without_claim("iss"),
    without_claim("aud"),
    without_claim("sub"),
    unknown_application("unknown_app", UNKNOWN_CLIENT),
    Case(
        "no_service_principal", "service_principal_missing", 7000229, "invalid_client", 401,
        f"The client application {GUEST_CLIENT} is missing service principal in the tenant {TENANT}. "
        "See instructions here: https://go.microsoft.com/fwlink/?linkid=2225119",
        form={"client_id": GUEST_CLIENT},
    ),
    Case(
        "app_disabled", "application_disabled", 7000112, "unauthorized_client", 400,
        f"Application '{DISABLED_CLIENT}'(application) is disabled.", form={"client_id": DISABLED_CLIENT},
    ),
    Case(
        "issued_by_another_app", "issued_by_another_application", 700021, "invalid_client", 401,
        f"Client assertion application identifier doesn't match 'client_id' parameter. {REVIEW}",
        minted(iss=BARE_CLIENT, sub=BARE_CLIENT),
    ),
    Case(
        "issued_by_the_app", "certificate_unknown", 700027, "invalid_client", 401,
        "The certificate with identifier used to sign the client assertion is not registered on application. "
        "[Reason - The key was not found.]",
        minted(iss=CLIENT, sub=CLIENT),
    ),
    Case(
        "no_credentials", "credentials_absent", 70025, "invalid_client", 401,
        f"The client '{BARE_CLIENT}'(bare) has no configured federated identity credentials.",
        form={"client_id": BARE_CLIENT},
    ),
    mismatch(
        "wrong_iss", "issuer_mismatch", 700211, "issuer 'https://other.example'", minted(iss="https://other.example")
    ),
    mismatch("iss_with_space", "issuer_mismatch", 700211, "issuer '{issuer} '", trailing_space),
    mismatch("iss_with_slash", "issuer_mismatch", 700211, "issuer '{issuer}/'", trailing_slash),
    Case(
        "aud_of_us_government", "audience_of_another_cloud", 70022204, "invalid_client", 401,
        f"{NO_MATCH} audience 'api://AzureADTokenExchangeUSGov'.", minted(aud="api://AzureADTokenExchangeUSGov"),
    ),
    mismatch("wrong_aud", "audience_mismatch", 700212, "audience 'https://x.example'", minted(aud="https://x.example")),
    Case(
        "case_of_sub", "subject_case_mismatch", 7002138, "invalid_client", 401,
        f"{NO_MATCH} subject '{SUBJECT.upper()}'. The subject matches with case-insensitive comparison, but not with "
        f"case-sensitive comparison. {CHECK} See documentation at: {LINK}. See breaking change notification and "
        "remediation at: "
        "https://learn.microsoft.com/en-us/entra/identity-platform/reference-breaking-changes#august-2024.",
        minted(sub=SUBJECT.upper()),
    ),
    mismatch("wrong_sub", "subject_mismatch", 700213, "subject 'organization:x'", minted(sub="organization:x")),
    Case(
        "issued_by_entra", "issued_by_entra", 700222, "invalid_client", 401,
        "AAD-issued tokens may not be used for federated identity flows.", minted(iss=ENTRA_ISSUER),
    ),
    unreachable("issuer_closed", minted(iss=CLOSED_ISSUER)),
    unreachable("issuer_without_discovery", undocumented),
    Case(
        "unknown_kid", "signing_key_unknown", 7000272, "invalid_client", 401,
        "The certificate with identifier 4E6F426F6479734B6579 used to sign the federated credential could not be "
        "found in the metadata of identity provider {issuer}. Please validate that your Identity Provider's metadata "
        "exposes the key used to sign the incoming token.",
        minted({"kid": "Tm9Cb2R5c0tleQ"}),
    ),
    forged("signed_by_stranger", signed_by_stranger),
    forged("claims_altered", altered),
    untimely("expired", shifted(nbf=-700, exp=-100)),
    untimely("not_yet_valid", shifted(nbf=300, exp=900)),
    untimely("no_exp", minted(exp=None)),
    scope(
        "scope_without_default", "scope_without_default", 1002012, "https://vault.azure.net",
        "The provided value for scope https://vault.azure.net is not valid. Client credential flows must have a scope "
        "value with /.default suffixed to the resource identifier (application ID URI).",
    ),
    scope(
        "two_resources", "scope_names_several_resources", 700022, f"{VAULT_SCOPE} https://graph.microsoft.com/.default",
        "The provided value for the input parameter scope isn't valid because it contains more than one resource.",
    ),
    scope(
        "scope_without_uri", "scope_malformed", 70011, "user.read/.default",
        "The provided request must include a 'scope' input parameter. The provided value for the input parameter "
        "'scope' is not valid. The scope user.read/.default is not valid.",
    ),
    unknown_resource("unknown_resource", "https://nothing.example"),
    unknown_resource("vault_of_us_government", "https://vault.usgovcloudapi.net"),
    Case(
        "blocked_by_policy", "conditional_access_blocked", 53003, "invalid_grant", 400,
        "Access has been blocked by Conditional Access policies. The access policy does not allow token issuance.",
        form={"client_id": BLOCKED_CLIENT},
    ),
)  # fmt: skip
