"""Bad data-plane calls, each refused by exactly one named check, with the answer that Key Vault gives.

As for Entra, the texts stand here a second time on purpose. A static issuer plays the part of Entra, because only the
holder of the signing key can make expired or foreign tokens.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from wi_testkit.emulation.cases import Answer, Ask
from wi_testkit.static_issuer import RsaKey, StaticIssuer

TENANT = "11111111-1111-4111-8111-111111111111"
OTHER_TENANT = "22222222-2222-4222-8222-222222222222"
VAULT = "contract"
HOST = f"{VAULT}.vault.azure.net"
CLIENT = "aaaaaaaa-0000-4000-8000-000000000001"
ISSUER = f"https://sts.windows.net/{TENANT}/"
OFFICER, USER, READER, SCOPED, NOBODY, ALLOWED, LISTER, BEHALF, BARE_GETTER = (
    f"bbbbbbbb-0000-4000-8000-00000000000{number}" for number in range(1, 10)
)
# Vaults beside the usual one: without public access, behind a firewall, at its limit, with access policies, and one
# whose deletions never end.
PRIVATE, WALLED, BUSY, POLICIES, LASTING = "private", "walled", "busy", "policies", "lasting"
OTHER_VAULTS: dict[str, dict[str, Any]] = {
    PRIVATE: {"publicNetworkAccess": "Disabled"},
    WALLED: {"allowedAddresses": ["192.0.2.0/24", "2001:db8::1"]},
    BUSY: {"requestsPer10Seconds": 0},
    POLICIES: {"permissionModel": "AccessPolicy", "location": "germanywestcentral"},
    LASTING: {"deletingSeconds": 86_400},
}
VERSION = "0" * 32
QUERY = "?api-version=7.6"
CHALLENGE = f'Bearer authorization="https://login.windows.net/{TENANT}", resource="https://vault.azure.net"'
MISSING_TOKEN = "AKV10000: Request is missing a Bearer or PoP token."
NOT_FOUND = (
    "was not found in this key vault. If you recently deleted this secret you may be able to recover it using the "
    "correct recovery command. For help resolving this issue, please see "
    "https://go.microsoft.com/fwlink/?linkid=2125182"
)
RESOURCE = (
    "/subscriptions/00000000-0000-4000-8000-000000000000/resourcegroups/emulated/providers/microsoft.keyvault"
    f"/vaults/{VAULT}"
)
ROLES = (
    (OFFICER, "Key Vault Secrets Officer", ""),
    (USER, "Key Vault Secrets User", ""),
    (READER, "Key Vault Reader", ""),
    (SCOPED, "Key Vault Secrets User", "greeting"),
)

Token = Callable[[StaticIssuer], str]


def seed_calls() -> list[tuple[str, str, dict[str, Any]]]:
    """Return the admin calls (method, path, body) that every case needs. ``retired`` is used by one case only."""
    vault = f"vaults/{VAULT}"
    calls: list[tuple[str, str, dict[str, Any]]] = [("PUT", vault, {"tenantId": TENANT})]
    for principal, role, secret in ROLES:
        body = {"principalId": principal, "role": role, "secret": secret}
        calls.append(("PUT", f"{vault}/roleAssignments", body))
    names = ("greeting", "other", "disabled", "deleted", "retired", "doomed")
    calls.extend(("PUT", f"{vault}/secrets/{name}", {"value": f"not-a-secret-{name}"}) for name in names)
    calls.append(("PATCH", f"{vault}/secrets/disabled", {"enabled": False}))
    calls.extend(("DELETE", f"{vault}/secrets/{name}", {}) for name in ("deleted", "retired"))
    for name, body in OTHER_VAULTS.items():
        other = f"vaults/{name}"
        calls.append(("PUT", other, {"tenantId": TENANT, **body}))
        calls.append(("PUT", f"{other}/secrets/greeting", {"value": "not-a-secret"}))
        officer = {"principalId": OFFICER, "role": "Key Vault Secrets Officer"}
        calls.append(("PUT", f"{other}/roleAssignments", officer))
    policies: list[dict[str, Any]] = [
        {"principalId": ALLOWED, "permissions": ["get", "list"]},
        {"principalId": LISTER, "permissions": ["list"]},
        {"principalId": BARE_GETTER, "permissions": ["get"]},
        {"principalId": BEHALF, "permissions": ["get"], "applicationId": CLIENT},
    ]
    calls.extend(("PUT", f"vaults/{POLICIES}/accessPolicies", policy) for policy in policies)
    calls.append(("DELETE", f"vaults/{LASTING}/secrets/greeting", {}))
    return calls


def bearer(principal: str = USER, key: RsaKey | None = None, kid: str | None = None, **claims: Any) -> Token:
    """Return an access token: a good one, except for what is given."""
    standard = {
        "aud": "https://vault.azure.net", "iss": ISSUER, "appid": CLIENT, "oid": principal, "tid": TENANT, "ver": "1.0",
    }  # fmt: skip
    header = {"kid": kid} if kid else None
    return lambda issuer: f"Bearer {issuer.mint({**standard, **claims}, header=header, key=key)}"


def literally(text: str) -> Token:
    """Return the header's text itself."""
    return lambda _: text


def aged(seconds: int) -> Token:
    """Return a token of ten minutes that began so long ago."""

    def mint(issuer: StaticIssuer) -> str:
        begin = int(time.time()) - seconds
        return bearer(nbf=begin, exp=begin + 600)(issuer)

    return mint


def ask(
    issuer: StaticIssuer,
    path: str,
    token: Token | None = None,
    method: str = "GET",
    json: Any = None,
    vault: str = VAULT,
) -> Ask:
    """Return a call to the vault, with a good token unless another is given."""
    headers = {"Host": f"{vault}.vault.azure.net"}
    authorization = (token or bearer())(issuer)
    if authorization:
        headers["Authorization"] = authorization
    return Ask(method, path, headers, json=json)


@dataclass(frozen=True)
class Case:
    """A bad call, the check that refuses it, and the answer. ``{header}`` is the token's encoded header."""

    name: str
    check: str
    status: int
    code: str
    text: str
    inner: str = ""
    path: str = f"/secrets/greeting{QUERY}"
    token: Token | None = None
    method: str = "GET"
    json: Any = None
    vault: str = VAULT

    def ask(self, issuer: StaticIssuer) -> Ask:
        """Return the request."""
        return ask(issuer, self.path, self.token, self.method, self.json, self.vault)

    def expected_body(self, sent: Ask) -> dict[str, Any]:
        """Return the body."""
        encoded_header = sent.headers.get("Authorization", "").partition(" ")[2].partition(".")[0]
        error: dict[str, Any] = {"code": self.code, "message": self.text.replace("<header>", encoded_header)}
        if self.inner:
            error["innererror"] = {"code": self.inner}
        return {"error": error}


def gist(answer: Answer) -> tuple[Any, ...]:
    """Return what distinguishes answers; encoded token headers are the same for every run of one issuer."""
    if isinstance(answer.body, dict) and "error" in answer.body:
        error = answer.body["error"]
        return (answer.status, error["code"], error["message"], error.get("innererror", {}).get("code", ""))
    return (answer.status, str(answer.body) if isinstance(answer.body, str) else sorted(answer.body))


def unauthorized(name: str, check: str, text: str, token: Token) -> Case:
    """Return the case of a token that is missing or not accepted."""
    return Case(name, check, 401, "Unauthorized", text, token=token)


def forbidden(
    name: str,
    check: str,
    principal: str,
    path: str,
    action: str,
    secret: str = "",
    method: str = "GET",
    json: Any = None,
) -> Case:
    """Return the case of a caller without a fitting role."""
    resource = f"{RESOURCE}/secrets/{secret}" if secret else RESOURCE
    text = (
        "Caller is not authorized to perform action on resource.\r\nIf role assignments, deny assignments or role "
        "definitions were changed recently, please observe propagation time.\r\n"
        f"Caller: appid={CLIENT};oid={principal};iss={ISSUER}\r\n"
        f"Action: 'Microsoft.KeyVault/vaults/secrets/{action}'\r\nResource: '{resource}'\r\n"
        "Assignment: (not found)\r\nDenyAssignmentId: null\r\nDecisionReason: 'DeniedWithNoValidRBAC' \r\n"
        f"Vault: {VAULT};location=eastus\r\n"
    )
    return Case(name, check, 403, "Forbidden", text, "ForbiddenByRbac", path, bearer(principal), method, json)


def bad_parameter(name: str, check: str, path: str, text: str) -> Case:
    """Return the case of a request that cannot be understood."""
    return Case(name, check, 400, "BadParameter", text, path=path)


def bad_body(name: str, body: Any) -> Case:
    """Return the case of a set request with a bad body."""
    text = "Property has invalid value\r\n"
    token = bearer(OFFICER)
    return Case(name, "body_invalid", 400, "BadParameter", text, token=token, method="PUT", json=body)


def not_found(name: str, path: str, identifier: str) -> Case:
    """Return the case of a secret or version that is not there."""
    text = f"A secret with (name/id) {identifier} {NOT_FOUND}"
    return Case(name, "secret_not_found", 404, "SecretNotFound", text, path=f"/secrets/{path}{QUERY}")


def blocked(name: str, check: str, vault: str, text: str, inner: str) -> Case:
    """Return the case of a vault whose network does not admit the caller."""
    caller = f"\r\nCaller: appid={CLIENT};oid={OFFICER}\r\nVault: {vault};location=eastus"
    return Case(name, check, 403, "Forbidden", text + caller, inner, token=bearer(OFFICER), vault=vault)


def denied(name: str, principal: str, permission: str, path: str = f"/secrets/greeting{QUERY}") -> Case:
    """Return the case of a caller without a permission in a vault with access policies."""
    text = (
        f"The user, group or application 'appid={CLIENT};oid={principal};iss={ISSUER}' does not have secrets "
        f"{permission} permission on key vault '{POLICIES};location=germanywestcentral'. For help resolving this issue, "
        "please see https://go.microsoft.com/fwlink/?linkid=2125287"
    )
    token = bearer(principal)
    return Case(name, "permission_missing", 403, "Forbidden", text, "AccessDenied", path, token, vault=POLICIES)


def being_deleted(name: str, path: str, method: str, json: Any = None) -> Case:
    """Return the case of a secret whose deletion is not over."""
    text = "Secret greeting is currently being deleted and cannot be re-created; retry later."
    return Case(
        name, "name_being_deleted", 409, "Conflict", text, "ObjectIsBeingDeleted", f"{path}{QUERY}", bearer(OFFICER),
        method, json, LASTING,
    )  # fmt: skip


def deleted_not_found(name: str, path: str, method: str = "GET", vault: str = VAULT) -> Case:
    """Return the case of a secret that is not among the deleted ones."""
    text = "Deleted Secret not found: greeting"
    return Case(
        name, "deleted_secret_not_found", 404, "SecretNotFound", text, path=f"{path}{QUERY}", token=bearer(OFFICER),
        method=method, vault=vault,
    )  # fmt: skip


CASES = (
    unauthorized("no_token", "token_missing", MISSING_TOKEN, literally("")),
    unauthorized("garbage_token", "token_missing", MISSING_TOKEN, literally("Bearer garbage")),
    unauthorized(
        "wrong_audience", "audience_wrong",
        "AKV10022: Invalid audience. Expected https://vault.azure.net, found: https://management.azure.com/.",
        bearer(aud="https://management.azure.com/"),
    ),
    unauthorized(
        "wrong_issuer", "issuer_wrong",
        f"AKV10032: Invalid issuer. Expected one of {ISSUER}, found https://sts.windows.net/{OTHER_TENANT}/.",
        bearer(iss=f"https://sts.windows.net/{OTHER_TENANT}/"),
    ),
    unauthorized(
        "unknown_key", "signing_key_unknown",
        "AKV10046: Unable to resolve the key used for signature validation. EncodedJwtHeader: '<header>'.",
        bearer(kid="unknown"),
    ),
    unauthorized("forged_token", "signature_invalid", MISSING_TOKEN, bearer(key=RsaKey())),
    unauthorized("expired_token", "token_expired", "[TokenExpired] Error validating token: 'S2S12086'.", aged(700)),
    unauthorized("future_token", "token_expired", "[TokenExpired] Error validating token: 'S2S12086'.", aged(-300)),
    blocked(
        "no_private_link", "connection_not_private", PRIVATE,
        "Public network access is disabled and request is not from a trusted service nor via an approved private link.",
        "ForbiddenByConnection",
    ),
    blocked(
        "address_unknown", "address_not_admitted", WALLED,
        "Client address is not authorized and caller is not a trusted service.\r\nClient address: 127.0.0.1",
        "ForbiddenByFirewall",
    ),
    Case(
        "too_many_requests", "rate_exceeded", 429, "Throttled",
        "Request was not processed because too many requests were received. Reason: VaultRequestTypeLimitReached",
        token=bearer(OFFICER), vault=BUSY,
    ),
    bad_parameter(
        "no_api_version", "api_version_missing", "/secrets/greeting",
        "The api-version query parameter must be specified.",
    ),
    bad_parameter(
        "unknown_api_version", "api_version_unknown", "/secrets/greeting?api-version=9.9",
        "The specified version (9.9) is not recognized. Consider using the latest supported version (2026-04-01).",
    ),
    bad_parameter(
        "invalid_name", "name_invalid", f"/secrets/secret_name{QUERY}",
        "The request URI contains an invalid name: secret_name",
    ),
    bad_parameter(
        "page_too_large", "page_size_invalid", f"/secrets{QUERY}&maxresults=26", "Property has invalid value\r\n"
    ),
    bad_parameter(
        "page_of_nothing", "page_size_invalid", f"/secrets{QUERY}&maxresults=0", "Property has invalid value\r\n"
    ),
    forbidden("no_role", "role_missing", NOBODY, f"/secrets/greeting{QUERY}", "getSecret/action", "greeting"),
    forbidden("no_role_list", "role_missing", NOBODY, f"/secrets{QUERY}", "readMetadata/action"),
    forbidden("no_role_missing_secret", "role_missing", NOBODY, f"/secrets/absent{QUERY}", "getSecret/action", "absent"),
    forbidden("reader_gets_value", "role_missing", READER, f"/secrets/greeting{QUERY}", "getSecret/action", "greeting"),
    forbidden(
        "user_sets_value", "role_missing", USER, f"/secrets/unset{QUERY}", "setSecret/action", "unset", "PUT",
        {"value": "not-a-secret"},
    ),
    forbidden("scoped_role_list", "role_scope_narrow", SCOPED, f"/secrets{QUERY}", "readMetadata/action"),
    forbidden("scoped_role_other", "role_scope_narrow", SCOPED, f"/secrets/other{QUERY}", "getSecret/action", "other"),
    forbidden("user_deletes", "role_missing", USER, f"/secrets/doomed{QUERY}", "delete", "doomed", "DELETE"),
    forbidden(
        "reader_purges", "role_missing", READER, f"/deletedsecrets/deleted{QUERY}", "purge/action", "deleted", "DELETE"
    ),
    forbidden(
        "reader_recovers", "role_missing", READER, f"/deletedsecrets/deleted/recover{QUERY}", "recover/action", "deleted",
        "POST",
    ),
    denied("no_policy", NOBODY, "get"),
    denied("no_policy_list", NOBODY, "list", f"/secrets{QUERY}"),
    denied("policy_of_list_only", LISTER, "get"),
    denied("policy_without_versions", BARE_GETTER, "list", f"/secrets/greeting/versions{QUERY}"),
    denied("role_counts_for_nothing", OFFICER, "get"),
    Case(
        "policy_on_behalf", "only_on_behalf", 403, "Forbidden",
        f"The policy requires the caller 'appid={CLIENT};oid={BEHALF};iss={ISSUER}' to use on-behalf-of (OBO) flow. For "
        "more information on OBO, please see https://go.microsoft.com/fwlink/?linkid=2152310",
        "ForbiddenByPolicy", token=bearer(BEHALF), vault=POLICIES,
    ),
    being_deleted("set_while_deleting", "/secrets/greeting", "PUT", {"value": "not-a-secret"}),
    being_deleted("recover_while_deleting", "/deletedsecrets/greeting/recover", "POST"),
    being_deleted("purge_while_deleting", "/deletedsecrets/greeting", "DELETE"),
    bad_body("set_without_value", {}),
    bad_body("set_too_large", {"value": "x" * (25 * 1024 + 1)}),
    Case(
        "set_soft_deleted", "name_soft_deleted", 409, "Conflict",
        "Secret retired is currently in a deleted but recoverable state, and its name cannot be reused; in this state, "
        "the secret can only be recovered or purged.",
        "ObjectIsDeletedButRecoverable", f"/secrets/retired{QUERY}", bearer(OFFICER), "PUT", {"value": "not-a-secret"},
    ),
    not_found("absent", "absent", "absent"),
    not_found("absent_version", f"greeting/{VERSION}", f"greeting/{VERSION}"),
    not_found("soft_deleted", "deleted/", "deleted"),
    Case(
        "delete_absent", "secret_not_found", 404, "SecretNotFound", f"A secret with (name/id) absent {NOT_FOUND}",
        path=f"/secrets/absent{QUERY}", token=bearer(OFFICER), method="DELETE",
    ),
    deleted_not_found("deleted_absent", "/deletedsecrets/greeting"),
    deleted_not_found("recover_absent", "/deletedsecrets/greeting/recover", "POST"),
    deleted_not_found("purge_absent", "/deletedsecrets/greeting", "DELETE"),
    deleted_not_found("deleted_while_deleting", "/deletedsecrets/greeting", vault=LASTING),
    Case(
        "disabled", "secret_disabled", 403, "Forbidden", "Operation get is not allowed on a disabled secret.",
        "SecretDisabled", f"/secrets/disabled{QUERY}",
    ),
)  # fmt: skip
