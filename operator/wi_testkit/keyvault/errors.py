"""What Key Vault answers on the wire when it refuses; the texts are the service's own unless marked."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from typing import Any, Protocol

OTHER_ISSUER = "https://sts.windows.net/00000000-0000-4000-8000-0000000000ff/"
# Tenants of Microsoft itself, which a captured text lists behind the vault's own.
ALSO_EXPECTED = (
    "https://sts.windows.net/f8cdef31-a31e-4b4a-93e4-5f571e91255a/",
    "https://sts.windows.net/e2d54eb5-3869-4f70-8578-dee5fc7331f4/",
    "https://sts.windows.net/33e01921-4d64-4f8c-a055-5bdaffd5e33d/",
    "https://sts.windows.net/975f013f-7f24-47e8-a7d3-abc4752bf346/",
)
CLAIMS = base64.b64encode(json.dumps({"access_token": {"nbf": {"essential": True, "value": "1"}}}).encode()).decode()


class Described(Protocol):
    """What texts tell about a vault."""

    name: str
    location: str


@dataclass(frozen=True)
class VaultError:
    """One refusal. Clients decide by ``error.innererror.code`` if it is there, else by ``error.code``."""

    status: int
    code: str
    message: str
    inner: str = ""
    challenge: str = ""

    def body(self) -> dict[str, Any]:
        """Return the JSON body."""
        error: dict[str, Any] = {"code": self.code, "message": self.message}
        if self.inner:
            error["innererror"] = {"code": self.inner}
        return {"error": error}


def unauthorized(message: str) -> VaultError:
    """Return a 401; the challenge is a header and the same for all of them."""
    return VaultError(401, "Unauthorized", message)


def token_missing() -> VaultError:
    """Return AKV10000."""
    return unauthorized("AKV10000: Request is missing a Bearer or PoP token.")


def audience_wrong(expected: str, found: str) -> VaultError:
    """Return AKV10022."""
    return unauthorized(f"AKV10022: Invalid audience. Expected {expected}, found: {found}.")


def issuer_wrong(expected: str, found: str) -> VaultError:
    """Return AKV10032: the token is of another tenant."""
    return unauthorized(f"AKV10032: Invalid issuer. Expected one of {expected}, found {found}.")


def signing_key_unknown(encoded_header: str) -> VaultError:
    """Return AKV10046."""
    message = (
        f"AKV10046: Unable to resolve the key used for signature validation. EncodedJwtHeader: '{encoded_header}'."
    )
    return unauthorized(message)


def token_expired() -> VaultError:
    """Return the answer to an expired token (known at second hand only)."""
    return unauthorized("[TokenExpired] Error validating token: 'S2S12086'.")


def api_version_missing() -> VaultError:
    """Return the answer to a request without ``api-version``. Its text is an assumption."""
    return VaultError(400, "BadParameter", "The api-version query parameter must be specified.")


def api_version_unknown(version: str, latest: str) -> VaultError:
    """Return the answer to an unknown ``api-version``."""
    message = (
        f"The specified version ({version}) is not recognized. Consider using the latest supported version ({latest})."
    )
    return VaultError(400, "BadParameter", message)


def name_invalid(name: str) -> VaultError:
    """Return the answer to a name outside ``^[0-9a-zA-Z-]{1,127}$``."""
    return VaultError(400, "BadParameter", f"The request URI contains an invalid name: {name}")


def property_invalid() -> VaultError:
    """Return the generic answer to a bad parameter or body."""
    return VaultError(400, "BadParameter", "Property has invalid value\r\n")


def forbidden_by_rbac(
    caller: str,
    action: str,
    resource: str,
    vault: Described,
    *,
    brief: bool = False,
    decision: str = "DeniedWithNoValidRBAC",
) -> VaultError:
    """Return the answer to a caller without a fitting role, line ends and stray spaces included.

    ``brief`` is the other captured form: no line about deny assignments, and no reason.
    """
    reason = "DecisionReason: null \r\n" if brief else f"DenyAssignmentId: null\r\nDecisionReason: '{decision}' \r\n"
    message = (
        "Caller is not authorized to perform action on resource.\r\n"
        "If role assignments, deny assignments or role definitions were changed recently, "
        "please observe propagation time.\r\n"
        f"Caller: {caller}\r\n"
        f"Action: '{action}'\r\n"
        f"Resource: '{resource}'\r\n"
        "Assignment: (not found)\r\n"
        f"{reason}"
        f"Vault: {vault.name};location={vault.location}\r\n"
    )
    return VaultError(403, "Forbidden", message, "ForbiddenByRbac")


def secret_not_found(identifier: str) -> VaultError:
    """Return the 404 of a secret or version; a soft-deleted secret has the same."""
    message = (
        f"A secret with (name/id) {identifier} was not found in this key vault. If you recently deleted this secret "
        "you may be able to recover it using the correct recovery command. For help resolving this issue, please see "
        "https://go.microsoft.com/fwlink/?linkid=2125182"
    )
    return VaultError(404, "SecretNotFound", message)


def deleted_secret_not_found(name: str) -> VaultError:
    """Return the 404 below ``/deletedsecrets``."""
    return VaultError(404, "SecretNotFound", f"Deleted Secret not found: {name}")


def secret_disabled() -> VaultError:
    """Return the answer to reading a disabled version."""
    return VaultError(403, "Forbidden", "Operation get is not allowed on a disabled secret.", "SecretDisabled")


def deleted_but_recoverable(name: str) -> VaultError:
    """Return the answer to setting a secret whose name a soft-deleted one still has."""
    message = (
        f"Secret {name} is currently in a deleted but recoverable state, and its name cannot be reused; in this "
        "state, the secret can only be recovered or purged."
    )
    return VaultError(409, "Conflict", message, "ObjectIsDeletedButRecoverable")


def being_deleted(name: str) -> VaultError:
    """Return the answer to setting a secret that is being deleted."""
    message = f"Secret {name} is currently being deleted and cannot be re-created; retry later."
    return VaultError(409, "Conflict", message, "ObjectIsBeingDeleted")


def throttled() -> VaultError:
    """Return the answer to too many requests."""
    message = "Request was not processed because too many requests were received. Reason: VaultRequestTypeLimitReached"
    return VaultError(429, "Throttled", message)


def access_denied(caller: str, permission: str, vault: Described) -> VaultError:
    """Return the answer of a vault with access policies to a caller without the permission."""
    message = (
        f"The user, group or application '{caller}' does not have secrets {permission} permission on key vault "
        f"'{vault.name};location={vault.location}'. For help resolving this issue, please see "
        "https://go.microsoft.com/fwlink/?linkid=2125287"
    )
    return VaultError(403, "Forbidden", message, "AccessDenied")


def forbidden_by_policy(caller: str) -> VaultError:
    """Return the answer to a caller whose access policy is for another application on its behalf."""
    message = (
        f"The policy requires the caller '{caller}' to use on-behalf-of (OBO) flow. For more information on OBO, please "
        "see https://go.microsoft.com/fwlink/?linkid=2152310"
    )
    return VaultError(403, "Forbidden", message, "ForbiddenByPolicy")


def forbidden_by_firewall(address: str, caller: str, vault: Described, *, subnet: bool = False) -> VaultError:
    """Return the answer to an address that the firewall does not admit."""
    origin = f"{address} from unknown subnet" if subnet else address
    message = (
        "Client address is not authorized and caller is not a trusted service.\r\n"
        f"Client address: {origin}\r\nCaller: {caller}\r\nVault: {vault.name};location={vault.location}"
    )
    return VaultError(403, "Forbidden", message, "ForbiddenByFirewall")


def forbidden_by_perimeter(address: str, caller: str, vault: Described) -> VaultError:
    """Return the newer answer to such an address, with a network security perimeter."""
    message = (
        "Request was not allowed by NSP rules and the client address is not authorized and caller was ignored because "
        f"bypass is set to None\r\nClient address: {address}\r\nCaller: {caller}\r\n"
        f"Vault: {vault.name};location={vault.location}"
    )
    return VaultError(403, "Forbidden", message, "ForbiddenByFirewall")


def forbidden_by_connection(caller: str, vault: Described) -> VaultError:
    """Return the answer of a vault without public access."""
    message = (
        "Public network access is disabled and request is not from a trusted service nor via an approved private link."
        f"\r\nCaller: {caller}\r\nVault: {vault.name};location={vault.location}"
    )
    return VaultError(403, "Forbidden", message, "ForbiddenByConnection")


def not_an_approved_link(caller: str, vault: Described) -> VaultError:
    """Return another answer of such a vault (known at second hand only)."""
    message = (
        "Connection is not an approved private link and caller was ignored because bypass is not set to 'AzureServices' "
        f"and PublicNetworkAccess is set to 'Disabled'.\r\nCaller: {caller}\r\n"
        f"Vault: {vault.name};location={vault.location}"
    )
    return VaultError(403, "Forbidden", message, "ForbiddenByConnection")


def session_revoked() -> VaultError:
    """Return the 401 of continuous access evaluation to a revoked session; the claims are for the next token."""
    return challenged(
        f'Bearer authorization="https://login.windows.net/", error="invalid_token", '
        f'error_description="User session has been revoked", claims="{CLAIMS}"'
    )


def insufficient_claims() -> VaultError:
    """Return the 401 of continuous access evaluation to a token that lacks claims."""
    return challenged(
        'Bearer realm="", authorization_uri="https://login.microsoftonline.com/common/oauth2/authorize", '
        f'error="insufficient_claims", claims="{CLAIMS}"'
    )


def challenged(challenge: str) -> VaultError:
    """Return a 401 with a challenge of its own."""
    return VaultError(401, "Unauthorized", token_missing().message, challenge=challenge)
