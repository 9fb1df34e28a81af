"""What Key Vault answers on the wire when it refuses; the texts are the service's own unless marked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class VaultError:
    """One refusal. Clients decide by ``error.innererror.code`` if it is there, else by ``error.code``."""

    status: int
    code: str
    message: str
    inner: str = ""

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


def forbidden_by_rbac(caller: str, action: str, resource: str, vault: str, location: str) -> VaultError:
    """Return the answer to a caller without a fitting role, line ends and stray spaces included."""
    message = (
        "Caller is not authorized to perform action on resource.\r\n"
        "If role assignments, deny assignments or role definitions were changed recently, "
        "please observe propagation time.\r\n"
        f"Caller: {caller}\r\n"
        f"Action: '{action}'\r\n"
        f"Resource: '{resource}'\r\n"
        "Assignment: (not found)\r\n"
        "DenyAssignmentId: null\r\n"
        "DecisionReason: 'DeniedWithNoValidRBAC' \r\n"
        f"Vault: {vault};location={location}\r\n"
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
