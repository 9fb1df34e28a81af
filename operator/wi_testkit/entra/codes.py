"""All AADSTS codes that the emulator can answer: number, OAuth error, text between code and trailer, where it is from.

Texts are what the service sent (2021 to 2026), or where marked the reference's ("Microsoft Learn, Microsoft Entra
authentication and authorization error codes") or assumed. Where no capture shows the HTTP status, the rule of all
captures is applied: ``invalid_client`` is 401, everything else 400. Several rows of one number are its variants: the
first is today's, one marked ``legacy`` is what was answered up to 2023.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

Source = Literal["captured", "documented", "assumed"]

LINK = "https://learn.microsoft.com/entra/workload-id/workload-identity-federation"
OLD_LINK = "https://docs.microsoft.com/en-us/azure/active-directory/develop/workload-identity-federation"
CREDENTIALS_LINK = "https://docs.microsoft.com/azure/active-directory/develop/active-directory-certificate-credentials"
BREAKING_CHANGE = "https://learn.microsoft.com/en-us/entra/identity-platform/reference-breaking-changes#august-2024"
NO_MATCH = "No matching federated identity record found for presented assertion"
CHECK = "Check your federated identity credential Subject, Audience and Issuer against the presented assertion."
PLEASE_CHECK = "Please c" + CHECK[1:]
INSTALLED = (
    "This can happen if the application has not been installed by the administrator of the tenant or consented to by "
    "any user in the tenant."
)
OIDC_FAILED = "Request to External OIDC endpoint failed."


@dataclass(frozen=True)
class Code:
    """One row. ``uri``: whether the body has ``error_uri``; ``also``: further members of ``error_codes``."""

    number: int
    error: str
    text: str
    source: Source
    explicit_status: int | None = None
    legacy: bool = False
    uri: bool = True
    also: tuple[int, ...] = ()

    @property
    def status(self) -> int:
        """Return the HTTP status."""
        return self.explicit_status or (401 if self.error == "invalid_client" else 400)


def client(number: int, text: str, source: Source = "captured", *, uri: bool = True) -> Code:
    """Return a row of error ``invalid_client``."""
    return Code(number, "invalid_client", text, source, uri=uri)


def request(number: int, text: str, source: Source = "captured", *, uri: bool = True, legacy: bool = False) -> Code:
    """Return a row of error ``invalid_request``."""
    return Code(number, "invalid_request", text, source, uri=uri, legacy=legacy)


def scope(number: int, text: str, source: Source = "captured", *, uri: bool = True) -> Code:
    """Return a row of error ``invalid_scope``."""
    return Code(number, "invalid_scope", text, source, uri=uri)


def passing(number: int, status: int, text: str, source: Source = "documented") -> Code:
    """Return a row of a transient fault; the status is assumed."""
    return Code(number, "temporarily_unavailable", text, source, status)


FEDERATION = (
    client(700211, f"{NO_MATCH} issuer '{{issuer}}'. {CHECK} {LINK}", uri=False),
    client(700211, f"{NO_MATCH} issuer '{{issuer}}'. {PLEASE_CHECK} {OLD_LINK}", uri=False),
    client(700212, f"{NO_MATCH} audience '{{audience}}'. {CHECK} {LINK}", uri=False),
    client(700212, f"{NO_MATCH} audience '{{audience}}'. {PLEASE_CHECK} {OLD_LINK}", uri=False),
    client(700213, f"{NO_MATCH} subject '{{subject}}'. {CHECK} {LINK}"),
    client(
        7002138,
        f"{NO_MATCH} subject '{{subject}}'. The subject matches with case-insensitive comparison, but not with "
        f"case-sensitive comparison. {CHECK} See documentation at: {LINK}. See breaking change notification and "
        f"remediation at: {BREAKING_CHANGE}.",
    ),
    client(
        7002131,
        f"{NO_MATCH} subject '{{subject}}' or no federated identity credential expression matched. Please check your "
        f"federated identity credential Subject, Expression, Audience and Issuer against the presented assertion. {LINK}",
    ),
    client(
        7002137,
        f"{NO_MATCH} subject '{{subject}}'. Please make sure the federated identity credential Subject is "
        f"'{{subject}}'. {CHECK} {LINK}",
        "assumed",
    ),
    request(
        70021,
        f"{NO_MATCH}. Assertion Issuer: '{{issuer}}'. Assertion Subject: '{{subject}}'. Assertion Audience: "
        f"'{{audience}}'. {OLD_LINK}",
        legacy=True,
    ),
    Code(
        70021, "unauthorized_client",
        f"{NO_MATCH}. Assertion Issuer: '{{issuer}}'. Assertion Subject: '{{subject}}'. Assertion Audience: "
        f"'{{audience}}'. {OLD_LINK}",
        "captured", 401, legacy=True,
    ),
    client(70025, "The client '{client_id}'({app_name}) has no configured federated identity credentials."),
    client(
        7000226,
        "No federated identity credential policy found on application ({client_id}). The client_assertion used to "
        "authenticate the request does not match any policy.",
        "assumed",
    ),
    client(700222, "AAD-issued tokens may not be used for federated identity flows.", "documented"),
    client(700226, "Only MSI tokens may be used as Federated Identity Credentials for AAD issuer."),
    client(700227, "Forbidden token audience.", "assumed"),
    client(700229, "Only app-only tokens can be used as Federated Identity Credentials for AAD issuer.", "documented"),
    client(
        700233,
        "Federated Identity Credential expression parsing failed "
        "(FederatedIdentityCredentialInvalidExpression).",
        "assumed",
    ),
    client(700234, "Federated Identity Credential expression is not valid.", "assumed"),
    client(700235, "Federated Identity Credential expression is not supported for this issuer.", "assumed"),
    client(
        700236,
        "Entra ID tokens issued by issuer '{issuer}' may not be used for federated identity credential flows for "
        "applications or managed identities registered in this tenant.",
    ),
    client(
        700237,
        "Federated Identity Credential expression not allowed (FederatedIdentityCredentialExpressionNotAllowed).",
        "assumed",
    ),
    client(7002241, "Issuer '{issuer}' may not use credentials matching via expression.", "assumed"),
    client(70022204, f"{NO_MATCH} audience '{{audience}}'.", "assumed"),
    client(
        7002381,
        "Federated identity credentials issued by '{issuer}' for applications or managed identities registered in this "
        "tenant must contain the enterprise claim with value 'microsoft', 'github' or 'microsoftopensource' but actual "
        "value is ''.",
    ),
)  # fmt: skip

ASSERTION = (
    request(501661, OIDC_FAILED),
    request(50166, OIDC_FAILED, uri=False),
    request(90061, OIDC_FAILED, uri=False),
    client(
        7000272,
        "The certificate with identifier {kid} used to sign the federated credential could not be found in the metadata "
        "of identity provider {issuer}. Please validate that your Identity Provider's metadata exposes the key used to "
        "sign the incoming token.",
    ),
    # Its name is ClientAssertionContainsInvalidSignature in Microsoft's own tests; no capture of the text exists.
    client(7000274, "Client assertion contains an invalid signature.", "assumed"),
    request(50027, "JWT token is invalid or malformed."),
    client(
        5002723,
        "Invalid JWT token. No certificate SHA-1 thumbprint, certificate SHA-256 thumbprint, nor keyId specified in "
        "token header.",
    ),
    request(
        5002727, "Invalid JWT header type specified. Allowed types: 'JWT','http://openid.net/specs/jwt/1.0'"
    ),
    request(
        5002727, "Invalid JWT header type specified, must be 'JWT' or 'http://openid.net/specs/jwt/1.0'.", legacy=True
    ),
    client(
        5002738,
        "Invalid JWT token. '{algorithm}' is not a supported signature algorithm. Supported signing algorithms are: "
        "'RS256,RS384,RS512'",
    ),
    request(
        5002738,
        "Invalid JWT token. '{algorithm}' is not a supported signature algorithm. Supported signing algorithms are: "
        "'RS256, HS256'",
        legacy=True,
    ),
    request(
        90014,
        "The required field '{claim}' is missing from the credential. Ensure that you have all the necessary parameters "
        "for the login request.",
    ),
    client(
        700024,
        "Client assertion is not within its valid time range. Current time: {now}, assertion valid from {not_before}, "
        f"expiry time of assertion {{expires}}. Review the documentation at {CREDENTIALS_LINK} .",
    ),
    client(
        700021,
        "Client assertion application identifier doesn't match 'client_id' parameter. "
        f"Review the documentation at {CREDENTIALS_LINK} .",
    ),
    client(
        700027,
        "The certificate with identifier used to sign the client assertion is not registered on application. "
        "[Reason - The key was not found.]",
    ),
    client(
        700027,
        "Client assertion contains an invalid signature. [Reason - The key was not found., Thumbprint of key used by "
        "client: '{kid}', Found key 'Start=01/01/2022 00:00:00, End=01/01/2024 00:00:00']",
    ),
    Code(
        50013, "invalid_grant",
        "Assertion failed signature validation. [Reason - The key was not found., Thumbprint of key used by client: "
        "'{kid}']",
        "captured",
    ),
)  # fmt: skip

DIRECTORY = (
    Code(
        700016, "unauthorized_client",
        f"Application with identifier '{{client_id}}' was not found in the directory '{{directory}}'. {INSTALLED} "
        "You may have sent your authentication request to the wrong tenant.",
        "captured",
    ),
    client(
        7000229,
        "The client application {client_id} is missing service principal in the tenant {tenant_id}. See instructions "
        "here: https://go.microsoft.com/fwlink/?linkid=2225119",
    ),
    Code(7000112, "unauthorized_client", "Application '{client_id}'({app_name}) is disabled.", "documented"),
    Code(7000112, "unauthorized_client", "The application is disabled.", "documented"),
    request(
        90002,
        "Tenant '{tenant}' not found. This may happen if there are no active subscriptions for the tenant. Check to make "
        "sure you have the correct tenant ID. Check with your subscription administrator.",
    ),
    request(900023, "Specified tenant identifier '{tenant}' is neither a valid DNS name, nor a valid external domain."),
    request(
        90038,
        "The specified tenant '{tenant}' belongs to the National Cloud 'AzureUSGovernment'. Current cloud instance "
        "'AzurePublic' does not federate with AzureUSGovernment.",
        "documented",
    ),
    request(900382, "Confidential Client is not supported in Cross Cloud request.", "documented"),
    request(900432, "Confidential Client is not supported in Cross Cloud request.", "documented"),
    request(900439, "USGClientNotSupportedOnPublicEndpoint", "documented"),
    request(900440, "PublicClientNotSupportedOnUSGEndpoint", "assumed"),
    Code(
        500011, "invalid_resource",
        f"The resource principal named {{resource}} was not found in the tenant named {{directory}}. {INSTALLED} You "
        "might have sent your authentication request to the wrong tenant.",
        "captured",
    ),
)  # fmt: skip

REQUEST = (
    request(900144, "The request body must contain the following parameter: '{parameter}'.", "documented"),
    client(
        7000216,
        "'client_assertion', 'client_secret' or 'request' is required for the 'client_credentials' grant type.",
    ),
    client(
        7000218,
        "The request body must contain the following parameter: 'client_assertion' or 'client_secret'.",
        "documented",
    ),
    client(7000215, "Invalid client secret is provided.", "documented"),
    client(
        7000222,
        "The provided client secret keys are expired. Create new keys for your app, or consider using certificate "
        "credentials for added security: https://aka.ms/certCreds",
        "documented",
    ),
    Code(70003, "unsupported_grant_type", "The app returned an unsupported grant type.", "documented"),
    scope(
        70011,
        "The provided request must include a 'scope' input parameter. The provided value for the input parameter "
        "'scope' is not valid. The scope {scope} is not valid.",
        uri=False,
    ),
    scope(
        1002012,
        "The provided value for scope {scope} is not valid. Client credential flows must have a scope value with "
        "/.default suffixed to the resource identifier (application ID URI).",
        uri=False,
    ),
    scope(
        700022,
        "The provided value for the input parameter scope isn't valid because it contains more than one resource.",
        "documented",
    ),
    scope(
        28002,
        "Provided value for the input parameter scope '{scope}' isn't valid when requesting an access token. Specify a "
        "valid scope.",
        "documented",
    ),
    Code(
        650057, "invalid_resource",
        "Invalid resource. The client has requested access to a resource which isn't listed in the requested permissions "
        "in the client's application registration. Client app ID: {client_id}. Resource value from request: {resource}. "
        "Resource app ID: . List of valid resources from app registration: .",
        "documented",
    ),
    request(1002016, "Your application is using a version of TLS that is no longer accepted.", "assumed"),
    Code(
        70002, "invalid_client",
        "Error validating credentials. AADSTS50012: Invalid client secret is provided.",
        "assumed", also=(50012,), legacy=True,
    ),
)  # fmt: skip

POLICY = (
    Code(
        53003, "invalid_grant",
        "Access has been blocked by Conditional Access policies. The access policy does not allow token issuance.",
        "documented",
    ),
    # Of user flows only; here so that every known code can be met.
    Code(
        50034, "invalid_grant",
        "To sign into this application, the account must be added to the {directory} directory.",
        "documented",
    ),
    Code(
        90055, "temporarily_unavailable",
        "There are too many incoming requests. This exception is thrown for blocked tenants.",
        "documented", 429,
    ),
    Code(
        50196, "invalid_grant",
        "The server terminated an operation because it encountered a loop while processing a request",
        "documented",
    ),
    passing(90006, 503, "The service is temporarily unavailable."),
    passing(90012, 504, "The requested has timed out."),
    passing(90024, 503, "A transient error has occurred. Try again."),
    passing(90033, 503, "A transient error has occurred. Please try again."),
)  # fmt: skip

CODES = (*FEDERATION, *ASSERTION, *DIRECTORY, *REQUEST, *POLICY)
BY_NUMBER = {number: [row for row in CODES if row.number == number] for number in {row.number for row in CODES}}


def known_code(code: str) -> bool:
    """Tell whether there is a row for an AADSTS number."""
    return code.isdigit() and int(code) in BY_NUMBER


def all_codes() -> list[dict[str, Any]]:
    """Return the table of codes."""
    return [
        {
            "code": row.number, "status": row.status, "error": row.error, "text": row.text, "source": row.source,
            "legacy": row.legacy, "variant": BY_NUMBER[row.number].index(row),
        }
        for row in CODES
    ]  # fmt: skip
