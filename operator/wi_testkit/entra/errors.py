"""What Entra answers on the wire when it refuses.

The texts are those that the service sent (2021 to 2026), or where marked ``documented`` the reference's ("Microsoft
Learn, Microsoft Entra authentication and authorization error codes"). Where neither shows the HTTP status, the rule of
all captures is applied: ``invalid_client`` is 401, everything else 400.
"""

from __future__ import annotations

import datetime
import uuid
from dataclasses import dataclass
from typing import Any

FEDERATION_LINK = "https://learn.microsoft.com/entra/workload-id/workload-identity-federation"
CREDENTIALS_LINK = "https://docs.microsoft.com/azure/active-directory/develop/active-directory-certificate-credentials"
NO_MATCH = "No matching federated identity record found for presented assertion"
CHECK_CREDENTIAL = (
    "Check your federated identity credential Subject, Audience and Issuer against the presented assertion."
)
WRONG_TENANT = (
    "This can happen if the application has not been installed by the administrator of the tenant or consented to by "
    "any user in the tenant."
)
HTTP_STATUS = {"invalid_client": 401}


@dataclass(frozen=True)
class EntraError:
    """One refusal: the AADSTS code, the OAuth error and the text between code and trailer."""

    code: int
    error: str
    text: str

    @property
    def status(self) -> int:
        """Return the HTTP status."""
        return HTTP_STATUS.get(self.error, 400)

    def body(self, now: float, trace_id: str, correlation_id: str) -> dict[str, Any]:
        """Return the JSON body. The trailer has single spaces, as in every capture since December 2023."""
        moment = datetime.datetime.fromtimestamp(now, datetime.UTC).strftime("%Y-%m-%d %H:%M:%SZ")
        trailer = f"Trace ID: {trace_id} Correlation ID: {correlation_id} Timestamp: {moment}"
        return {
            "error": self.error,
            "error_description": f"AADSTS{self.code}: {self.text} {trailer}",
            "error_codes": [self.code],
            "timestamp": moment,
            "trace_id": trace_id,
            "correlation_id": correlation_id,
            "error_uri": f"https://login.microsoftonline.com/error?code={self.code}",
        }


def correlation(header: str | None) -> str:
    """Return the caller's ``client-request-id`` if it is a GUID, else a new one."""
    try:
        return str(uuid.UUID(header or ""))
    except ValueError:
        return str(uuid.uuid4())


def tenant_malformed(tenant: str) -> EntraError:
    """Return 900023."""
    text = f"Specified tenant identifier '{tenant}' is neither a valid DNS name, nor a valid external domain."
    return EntraError(900023, "invalid_request", text)


def tenant_unknown(tenant: str, error: str = "invalid_request") -> EntraError:
    """Return 90002; the discovery document's error is ``invalid_tenant``."""
    text = (
        f"Tenant '{tenant}' not found. This may happen if there are no active subscriptions for the tenant. Check to "
        "make sure you have the correct tenant ID. Check with your subscription administrator."
    )
    return EntraError(90002, error, text)


def parameter_missing(name: str) -> EntraError:
    """Return 900144."""
    return EntraError(900144, "invalid_request", f"The request body must contain the following parameter: '{name}'.")


def grant_type_unsupported() -> EntraError:
    """Return 70003 (documented)."""
    return EntraError(70003, "unsupported_grant_type", "The app returned an unsupported grant type.")


def assertion_missing() -> EntraError:
    """Return 7000216."""
    text = "'client_assertion', 'client_secret' or 'request' is required for the 'client_credentials' grant type."
    return EntraError(7000216, "invalid_client", text)


def assertion_malformed() -> EntraError:
    """Return 50027."""
    return EntraError(50027, "invalid_request", "JWT token is invalid or malformed.")


def type_unexpected() -> EntraError:
    """Return 5002727."""
    text = "Invalid JWT header type specified. Allowed types: 'JWT','http://openid.net/specs/jwt/1.0'"
    return EntraError(5002727, "invalid_request", text)


def algorithm_unsupported(algorithm: str) -> EntraError:
    """Return 5002738."""
    text = (
        f"Invalid JWT token. '{algorithm}' is not a supported signature algorithm. "
        "Supported signing algorithms are: 'RS256,RS384,RS512'"
    )
    return EntraError(5002738, "invalid_client", text)


def key_id_missing() -> EntraError:
    """Return 5002723."""
    text = (
        "Invalid JWT token. No certificate SHA-1 thumbprint, certificate SHA-256 thumbprint, nor keyId specified in "
        "token header."
    )
    return EntraError(5002723, "invalid_client", text)


def claim_missing(claim: str) -> EntraError:
    """Return 90014."""
    text = (
        f"The required field '{claim}' is missing from the credential. Ensure that you have all the necessary "
        "parameters for the login request."
    )
    return EntraError(90014, "invalid_request", text)


def application_unknown(client_id: str, tenant_name: str) -> EntraError:
    """Return 700016."""
    text = (
        f"Application with identifier '{client_id}' was not found in the directory '{tenant_name}'. {WRONG_TENANT} "
        "You may have sent your authentication request to the wrong tenant."
    )
    return EntraError(700016, "unauthorized_client", text)


def service_principal_missing(client_id: str, tenant_id: str) -> EntraError:
    """Return 7000229."""
    text = (
        f"The client application {client_id} is missing service principal in the tenant {tenant_id}. "
        "See instructions here: https://go.microsoft.com/fwlink/?linkid=2225119"
    )
    return EntraError(7000229, "invalid_client", text)


def application_disabled() -> EntraError:
    """Return 7000112 (documented: "UnauthorizedClientApplicationDisabled - The application is disabled.")."""
    return EntraError(7000112, "unauthorized_client", "The application is disabled.")


def credentials_absent(client_id: str, name: str) -> EntraError:
    """Return 70025."""
    text = f"The client '{client_id}'({name}) has no configured federated identity credentials."
    return EntraError(70025, "invalid_client", text)


def issuer_mismatch(issuer: str) -> EntraError:
    """Return 700211."""
    text = f"{NO_MATCH} issuer '{issuer}'. {CHECK_CREDENTIAL} {FEDERATION_LINK}"
    return EntraError(700211, "invalid_client", text)


def audience_mismatch(audience: str) -> EntraError:
    """Return 700212."""
    text = f"{NO_MATCH} audience '{audience}'. {CHECK_CREDENTIAL} {FEDERATION_LINK}"
    return EntraError(700212, "invalid_client", text)


def subject_mismatch(subject: str) -> EntraError:
    """Return 700213."""
    text = f"{NO_MATCH} subject '{subject}'. {CHECK_CREDENTIAL} {FEDERATION_LINK}"
    return EntraError(700213, "invalid_client", text)


def subject_case_mismatch(subject: str) -> EntraError:
    """Return 7002138, the answer since the breaking change of August 2024."""
    text = (
        f"{NO_MATCH} subject '{subject}'. The subject matches with case-insensitive comparison, but not with "
        f"case-sensitive comparison. {CHECK_CREDENTIAL} See documentation at: {FEDERATION_LINK}. See breaking change "
        "notification and remediation at: "
        "https://learn.microsoft.com/en-us/entra/identity-platform/reference-breaking-changes#august-2024."
    )
    return EntraError(7002138, "invalid_client", text)


def issuer_unreachable() -> EntraError:
    """Return 501661. The service does not say which of the two documents failed, or how."""
    return EntraError(501661, "invalid_request", "Request to External OIDC endpoint failed.")


def signing_key_unknown(identifier: str, issuer: str) -> EntraError:
    """Return 7000272."""
    text = (
        f"The certificate with identifier {identifier} used to sign the federated credential could not be found in "
        f"the metadata of identity provider {issuer}. Please validate that your Identity Provider's metadata exposes "
        "the key used to sign the incoming token."
    )
    return EntraError(7000272, "invalid_client", text)


def signature_invalid() -> EntraError:
    """Return 7000274. No capture of its text exists; Microsoft's name is ClientAssertionContainsInvalidSignature."""
    return EntraError(7000274, "invalid_client", "Client assertion contains an invalid signature.")


def outside_validity(now: float, not_before: float, expires: float) -> EntraError:
    """Return 700024. Fractions have seven digits, and the service puts a space before the last full stop."""
    text = (
        f"Client assertion is not within its valid time range. Current time: {seven_digits(now)}, assertion valid "
        f"from {seven_digits(not_before)}, expiry time of assertion {seven_digits(expires)}. "
        f"Review the documentation at {CREDENTIALS_LINK} ."
    )
    return EntraError(700024, "invalid_client", text)


def scope_without_default(scope: str) -> EntraError:
    """Return 1002012."""
    text = (
        f"The provided value for scope {scope} is not valid. Client credential flows must have a scope value with "
        "/.default suffixed to the resource identifier (application ID URI)."
    )
    return EntraError(1002012, "invalid_scope", text)


def scope_names_several_resources() -> EntraError:
    """Return 700022 (documented)."""
    text = "The provided value for the input parameter scope isn't valid because it contains more than one resource."
    return EntraError(700022, "invalid_scope", text)


def scope_malformed(scope: str) -> EntraError:
    """Return 70011."""
    text = (
        "The provided request must include a 'scope' input parameter. The provided value for the input parameter "
        f"'scope' is not valid. The scope {scope} is not valid."
    )
    return EntraError(70011, "invalid_scope", text)


def resource_unknown(resource: str, tenant_name: str) -> EntraError:
    """Return 500011."""
    text = (
        f"The resource principal named {resource} was not found in the tenant named {tenant_name}. {WRONG_TENANT} "
        "You might have sent your authentication request to the wrong tenant."
    )
    return EntraError(500011, "invalid_resource", text)


def seven_digits(moment: float) -> str:
    """Write a time as .NET does."""
    try:
        shown = datetime.datetime.fromtimestamp(moment, datetime.UTC)
    except (OverflowError, ValueError, OSError):
        shown = datetime.datetime.max.replace(tzinfo=datetime.UTC)
    return shown.strftime("%Y-%m-%dT%H:%M:%S.%f") + "0Z"
