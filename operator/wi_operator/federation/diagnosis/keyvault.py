"""Why Azure Key Vault refused: rows by ``error.innererror.code``, else ``error.code``, else ``AKV`` number.

Source: Microsoft Learn, "Azure Key Vault REST API error codes", "Azure RBAC for Key Vault data plane operations",
"Key Vault throttling guidance", and answers of the service.
"""

from __future__ import annotations

import re
from dataclasses import replace

from wi_operator.federation.diagnosis.base import Diagnosis, Provenance, Retry, Row, Surface
from wi_operator.federation.diagnosis.bodies import json_object, member, one_line, text_of

CAPTURED, DOCUMENTED, ASSUMED = Provenance.CAPTURED, Provenance.DOCUMENTED, Provenance.ASSUMED
TRANSIENT, PROPAGATION, CONFIG, BUG = Retry.TRANSIENT, Retry.PROPAGATION, Retry.CONFIG, Retry.BUG
VAULT_SURFACES = frozenset({Surface.CREDENTIAL, Surface.KICKOFF})
LISTING = frozenset({Surface.CREDENTIAL})

ROLE = "Key Vault Secrets User"
ASSIGN = (
    'az role assignment create --role "' + ROLE + '" --assignee-object-id {oid} '
    "--assignee-principal-type ServicePrincipal --scope '{resource}'"
)
SLOW = " A new assignment takes several minutes to arrive."
AGAIN = "Nothing to do: it is tried again."


def _row(
    code: str,
    reason: str,
    cause: str,
    remedy: str,
    retry: Retry,
    provenance: Provenance,
    surfaces: frozenset[Surface] = VAULT_SURFACES,
) -> Row:
    return Row(code, reason, cause, remedy, retry, provenance, surfaces)


RBAC_READ = _row(
    "ForbiddenByRbac", "VaultDenied",
    "App {client_id} has no role that reads secret '{secret}' in vault {vault} ({action}, {decision}).",
    "Assign the role " + ROLE + ": " + ASSIGN + " ." + SLOW, PROPAGATION, CAPTURED,
)  # fmt: skip
RBAC_LIST = _row(
    "ForbiddenByRbac", "VaultListDenied",
    "App {client_id} has no role that lists the secrets of vault {vault} ({action}, {decision}).",
    "Set listSecretNames to false, or assign the role " + ROLE + " on the whole vault: " + ASSIGN + " ." + SLOW,
    PROPAGATION, CAPTURED, LISTING,
)  # fmt: skip
POLICY_LIST = _row(
    "AccessDenied", "VaultListDenied",
    "Vault {vault} works with access policies, and none lets app {client_id} list secrets.",
    "Set listSecretNames to false, or: az keyvault set-policy --name {vault} --object-id {oid} --secret-permissions get list .",
    PROPAGATION, CAPTURED, LISTING,
)  # fmt: skip
WRONG_TENANT = _row(
    "VaultWrongTenant", "VaultWrongTenant",
    "Vault {vault} belongs to tenant {vault_tenant}, the configuration names tenant {tenant_id}.",
    "Set spec.azure.tenantId of the WorkloadIdentityConfig to {vault_tenant}, with an app registered there, or correct "
    "the vault's URL.", CONFIG, CAPTURED,
)  # fmt: skip
UNKNOWN = _row(
    "VaultRefused", "VaultRefused", "Vault {vault} answered {status}: {said}",
    "Search the code in Microsoft's list of Key Vault error codes.", CONFIG, DOCUMENTED,
)  # fmt: skip
UNREADABLE = _row(
    "VaultAnswerUnreadable", "VaultAnswerUnreadable",
    "What answered for vault {vault} with {status} is not a Key Vault.",
    "Look for a proxy or firewall that answers in its place, and check azureKeyVault.vaultUrl.", CONFIG, ASSUMED,
)  # fmt: skip
SECRET_EXPIRED = Row(
    "SecretExpired", "SecretExpired",
    "Secret '{secret}' expired at {expires}: Key Vault gives it out all the same.",
    "Rotate it: az keyvault secret set --vault-name {vault} --name {secret} ; kickoffs go on with the old value until then.",
    CONFIG, DOCUMENTED, frozenset({Surface.CREDENTIAL}),
)  # fmt: skip
SECRET_NOT_YET_VALID = Row(
    "SecretNotYetValid", "SecretNotYetValid",
    "Secret '{secret}' is not valid before {starts}: Key Vault gives it out all the same.",
    "Correct its activation date: az keyvault secret set-attributes --vault-name {vault} --name {secret}"
    ' --not-before "$(date -u +%Y-%m-%dT%H:%M:%SZ)" .',
    CONFIG, DOCUMENTED, frozenset({Surface.CREDENTIAL}),
)  # fmt: skip
UNAVAILABLE = _row("HTTP5xx", "VaultUnavailable", "Vault {vault} answers {status}.", AGAIN, TRANSIENT, DOCUMENTED)

BY_CODE = {
    row.code: row
    for row in (
        _row(
            "AccessDenied", "VaultDenied",
            "Vault {vault} works with access policies, and none lets app {client_id} read secrets.",
            "az keyvault set-policy --name {vault} --object-id {oid} --secret-permissions get ; or switch the vault to "
            "roles and assign " + ROLE + ".", PROPAGATION, CAPTURED,
        ),
        _row(
            "ForbiddenByPolicy", "VaultDenied",
            "The access policy of vault {vault} lets app {client_id} act only on behalf of a user.",
            "Remove the authorized application from that policy: az keyvault set-policy --name {vault} --object-id "
            "{oid} --secret-permissions get .", CONFIG, CAPTURED,
        ),
        _row(
            "ForbiddenByFirewall", "VaultNetworkBlocked",
            "The firewall of vault {vault} does not admit our address {client_ip}.",
            "Admit the cluster's way out: az keyvault network-rule add --name {vault} --ip-address {client_ip} ; or give "
            "the cluster's subnet a service endpoint or private link.", CONFIG, CAPTURED,
        ),
        _row(
            "ForbiddenByConnection", "VaultNetworkBlocked",
            "Vault {vault} has no public access, and the request did not come over an approved private link.",
            "Create and approve a private endpoint in the cluster's network, and resolve {vault_host} to it (zone "
            "privatelink.vaultcore.azure.net).", CONFIG, CAPTURED,
        ),
        _row(
            "SecretNotFound", "SecretNotFound", "There is no secret '{secret}'{version_text} in vault {vault}.",
            "Correct the reference, or create it: az keyvault secret set --vault-name {vault} --name {secret} ; if it was "
            "deleted: az keyvault secret recover --vault-name {vault} --name {secret} .", CONFIG, CAPTURED,
        ),
        _row(
            "SecretDisabled", "SecretDisabled", "Secret '{secret}'{version_text} in vault {vault} is disabled.",
            "Enable it: az keyvault secret set-attributes --vault-name {vault} --name {secret} --enabled true .",
            CONFIG, CAPTURED,
        ),
        _row(
            "AKV10000", "VaultTokenRejected", "Vault {vault} saw no token in the request.",
            "Look for a proxy that removes the Authorization header.", CONFIG, CAPTURED,
        ),
        _row(
            "AKV10022", "WrongCloud", "Vault {vault} expects a token for another audience than {scope}.",
            "Set spec.azure.cloud of the WorkloadIdentityConfig to the vault's cloud.", CONFIG, CAPTURED,
        ),
        _row(
            "AKV10032", "VaultWrongTenant", "Vault {vault} belongs to another tenant than {tenant_id}.",
            "Set spec.azure.tenantId of the WorkloadIdentityConfig to the vault's tenant (az keyvault show --name {vault} "
            "--query properties.tenantId), with an app registered there.", CONFIG, CAPTURED,
        ),
        _row(
            "AKV10046", "VaultUnavailable", "Vault {vault} could not fetch Entra's keys.", AGAIN, TRANSIENT, CAPTURED
        ),
        _row("TokenExpired", "VaultTokenRejected", "The access token has expired.", AGAIN, TRANSIENT, ASSUMED),
        _row("Throttled", "VaultThrottled", "Vault {vault} answers too many requests.", AGAIN, TRANSIENT, DOCUMENTED),
        _row(
            "Unauthorized", "VaultTokenRejected", "Vault {vault} did not accept the access token: {said}",
            "Check spec.azure.tenantId and spec.azure.cloud of the WorkloadIdentityConfig.", CONFIG, CAPTURED,
        ),
        _row(
            "BadParameter", "InvalidSecretName", "Vault {vault} does not take the name or version of '{secret}'.",
            "Write 1 to 127 letters, digits or hyphens, and a version of 32 hexadecimal digits.", CONFIG, CAPTURED,
        ),
    )
}  # fmt: skip
FALLBACKS = (
    RBAC_READ, RBAC_LIST, POLICY_LIST, WRONG_TENANT, UNKNOWN, UNREADABLE, UNAVAILABLE, SECRET_EXPIRED, SECRET_NOT_YET_VALID,
)  # fmt: skip

_AKV = re.compile(r"AKV\d{5}")
_FACTS = {
    "oid": re.compile(r"\boid=([0-9A-Fa-f-]{36})"),
    "resource": re.compile(r"Resource: '(/subscriptions/[\w/.()-]{1,400})'"),
    "action": re.compile(r"Action: '([\w/.-]{1,120})'"),
    "decision": re.compile(r"DecisionReason: '?(\w{1,60})"),
    "client_ip": re.compile(r"Client address: ([0-9A-Fa-f.:]{2,45})"),
}
_CHALLENGE = re.compile(r'authorization(?:_uri)?="?https://[^/"]+/([0-9A-Za-z.-]+)')
_GUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


def diagnose(
    status: int, body: bytes, *, retry_after: float | None = None, challenge: str = "", **facts: str
) -> Diagnosis:
    """Judge an error of the vault; ``challenge`` is its ``WWW-Authenticate``.

    ``facts``: ``vault`` (its name), ``vault_host``, ``secret``, ``version``, ``client_id``, ``tenant_id``, ``scope``.
    """
    error = member(json_object(body), "error")
    message = text_of(error, "message")
    tenant = challenge_tenant(challenge)
    found = {**facts, **_from_message(message), "status": str(status), "said": one_line(message)}
    found |= {"vault_tenant": tenant, "version_text": f" version {facts['version']}" if facts.get("version") else ""}
    codes = (text_of(member(error, "innererror"), "code"), *_AKV.findall(message)[:1], text_of(error, "code"))
    wrong_tenant = status == 401 and _differs(tenant, facts.get("tenant_id", ""))
    row = WRONG_TENANT if wrong_tenant else _find(status, codes, message)
    return replace(row.diagnose(text=one_line(message), **found), retry_after=retry_after)


def challenge_tenant(challenge: str) -> str:
    """Return the tenant that a ``WWW-Authenticate`` header names, or an empty text."""
    match = _CHALLENGE.search(challenge)
    return match.group(1) if match else ""


def _differs(vault_tenant: str, configured: str) -> bool:
    # A configured domain cannot be compared with the challenge's id.
    return (
        bool(_GUID.fullmatch(vault_tenant) and _GUID.fullmatch(configured))
        and vault_tenant.lower() != configured.lower()
    )


def _from_message(message: str) -> dict[str, str]:
    matches = ((name, pattern.search(message)) for name, pattern in _FACTS.items())
    return {name: match.group(1) for name, match in matches if match}


def _find(status: int, codes: tuple[str, ...], message: str) -> Row:
    if codes[0] == RBAC_READ.code:
        return RBAC_LIST if "readMetadata" in message else RBAC_READ
    if codes[0] == POLICY_LIST.code and "secrets list permission" in message:
        return POLICY_LIST
    if "TokenExpired" in message:
        return BY_CODE["TokenExpired"]
    known = next((BY_CODE[code] for code in codes if code in BY_CODE), None)
    if known:
        return known
    if status == 429:
        return BY_CODE["Throttled"]
    if status >= 500:
        return UNAVAILABLE
    code = next((one_line(code)[:80] for code in codes if code), "")
    return replace(UNKNOWN, code=code) if code else UNREADABLE
