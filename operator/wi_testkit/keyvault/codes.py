"""All errors that Key Vault's emulator can answer by name: the inner code if there is one, else the code.

Each name has its variants, the usual one first. A variant is a function of the call, because texts name the caller.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from wi_testkit.keyvault import errors
from wi_testkit.keyvault.checks import Call
from wi_testkit.keyvault.errors import VaultError
from wi_testkit.keyvault.state import Vault

Variant = Callable[[Call], VaultError]


def named(call: Call) -> str:
    """Return the caller as some texts name it: with its name, and a managed identity with its resource."""
    identity = (
        f"/subscriptions/{call.vault.subscription_id}/resourcegroups/emulated/providers/Microsoft.ManagedIdentity"
    )
    return f"name=emulated;{call.caller};xms_mirid={identity}/userAssignedIdentities/emulated"


def in_groups(call: Call) -> str:
    """Return the caller as some texts name it: with the number of its groups."""
    return call.caller.replace(";iss=", ";numgroups=2;iss=")


CODES: dict[str, tuple[Variant, ...]] = {
    "AKV10000": (
        lambda _: errors.token_missing(),
        lambda _: errors.unauthorized("Request is missing a Bearer or PoP token."),
    ),
    "AKV10022": (lambda call: errors.audience_wrong(call.resource, "https://management.azure.com/"),),
    "AKV10032": (
        lambda call: errors.issuer_wrong(call.expected_issuer, errors.OTHER_ISSUER),
        lambda call: errors.issuer_wrong(", ".join((call.expected_issuer, *errors.ALSO_EXPECTED)), errors.OTHER_ISSUER),
    ),
    "AKV10046": (lambda call: errors.signing_key_unknown(call.token.raw_header or "***"),),
    "TokenExpired": (lambda _: errors.token_expired(),),
    "SessionRevoked": (lambda _: errors.session_revoked(),),
    "InsufficientClaims": (lambda _: errors.insufficient_claims(),),
    "ForbiddenByRbac": (
        lambda call: errors.forbidden_by_rbac(call.caller, call.action, call.resource_id, call.vault),
        lambda call: errors.forbidden_by_rbac(call.caller, call.action, call.resource_id, call.vault, brief=True),
        lambda call: errors.forbidden_by_rbac(
            call.caller, call.action, call.resource_id, call.vault, decision="DeniedByDenyAssignment"
        ),
        lambda call: errors.forbidden_by_rbac(named(call), call.action, call.resource_id, call.vault),
    ),
    "AccessDenied": (
        lambda call: errors.access_denied(call.caller, call.permission, call.vault),
        lambda call: errors.access_denied(in_groups(call), call.permission, call.vault),
    ),
    "ForbiddenByPolicy": (lambda call: errors.forbidden_by_policy(call.caller),),
    "ForbiddenByFirewall": (
        lambda call: errors.forbidden_by_firewall(call.address, call.brief_caller, call.vault),
        lambda call: errors.forbidden_by_firewall(call.address, call.brief_caller, call.vault, subnet=True),
        lambda call: errors.forbidden_by_perimeter(call.address, call.brief_caller, call.vault),
    ),
    "ForbiddenByConnection": (
        lambda call: errors.forbidden_by_connection(call.brief_caller, call.vault),
        lambda call: errors.not_an_approved_link(call.brief_caller, call.vault),
    ),
    "SecretDisabled": (lambda _: errors.secret_disabled(),),
    "SecretNotFound": (
        lambda call: errors.secret_not_found(call.identifier),
        lambda call: errors.deleted_secret_not_found(call.name),
    ),
    "ObjectIsDeletedButRecoverable": (lambda call: errors.deleted_but_recoverable(call.name),),
    "ObjectIsBeingDeleted": (lambda call: errors.being_deleted(call.name),),
    "Throttled": (lambda _: errors.throttled(),),
    "BadParameter": (
        lambda call: errors.name_invalid(call.name),
        lambda _: errors.property_invalid(),
    ),
    "BadArgument": (lambda _: VaultError(400, "BadArgument", "Property has invalid value\r\n"),),
}
# Known from other programs or from notes only, not from an answer of the service: name and variant.
SECOND_HAND = frozenset(
    {
        ("TokenExpired", 0), ("ForbiddenByRbac", 2), ("ForbiddenByConnection", 1), ("BadArgument", 0),
        ("SessionRevoked", 0), ("InsufficientClaims", 0),
    }
)  # fmt: skip
# What a client is told before anybody asks who it is.
EARLY = frozenset({"AKV10000", "Throttled"})


def all_codes() -> list[dict[str, Any]]:
    """Return the table of codes, with the texts of a call by nobody."""
    call = Call(vault=Vault("{vault}", "{tenant}"), operation="get", resource="{audience}", now=0, name="{secret}")
    return [
        {
            "code": name, "variant": number, "status": refusal.status, "text": refusal.message,
            "source": "assumed" if (name, number) in SECOND_HAND else "captured",
        }
        for name, variants in CODES.items()
        for number, refusal in enumerate(variant(call) for variant in variants)
    ]  # fmt: skip
