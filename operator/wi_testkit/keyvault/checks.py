"""The checks of a data-plane call, in the order of asking.

The order is documented nowhere. This one knows the caller first (texts about the network name it), then asks network
and rate, then reads the request, then asks roles or access policies, and only then looks whether the secret exists: a
caller without a role must not learn names by asking for them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from wi_testkit.emulation.checks import Checklist
from wi_testkit.emulation.jose import Jwt, is_signed_by
from wi_testkit.keyvault import access, errors
from wi_testkit.keyvault.access import AccessPolicy, RoleAssignment
from wi_testkit.keyvault.errors import VaultError
from wi_testkit.keyvault.state import SECRET_NAME, Secret, Vault, Version

API_VERSIONS = ("2016-10-01", "7.0", "7.1", "7.2", "7.3", "7.4", "7.5", "7.6", "2025-07-01", "2026-04-01")
MAX_PAGE = 25

Operation = Literal["get", "list", "versions", "set", "delete", "deleted", "deletedList", "recover", "purge"]
ACTIONS: dict[Operation, str] = {
    "get": access.GET,
    "list": access.READ_METADATA,
    "versions": access.READ_METADATA,
    "set": access.SET,
    "delete": access.DELETE,
    "deleted": access.READ_METADATA,
    "deletedList": access.READ_METADATA,
    "recover": access.RECOVER,
    "purge": access.PURGE,
}
# "Microsoft Learn, Key Vault REST API": the permission that each operation on secrets requires.
PERMISSIONS: dict[Operation, str] = {
    "get": "get",
    "list": "list",
    "versions": "list",
    "set": "set",
    "delete": "delete",
    "deleted": "get",
    "deletedList": "list",
    "recover": "recover",
    "purge": "purge",
}
OF_LIVING: tuple[Operation, ...] = ("get", "delete")
OF_DELETED: tuple[Operation, ...] = ("deleted", "recover", "purge")


@dataclass(frozen=True, kw_only=True)
class Call:
    """One call and everything needed to judge it."""

    vault: Vault
    operation: Operation
    resource: str
    now: float
    name: str = ""
    version: str = ""
    query: dict[str, str] = field(default_factory=dict)
    token: Jwt = field(default_factory=Jwt)
    signing_key: dict[str, Any] | None = None
    new_version: Version | None = None
    address: str = ""
    assignments: frozenset[RoleAssignment] = frozenset()
    rate_exceeded: bool = False

    @property
    def action(self) -> str:
        """Return the data action that RBAC is asked for."""
        return ACTIONS[self.operation]

    @property
    def granting(self) -> tuple[RoleAssignment, ...]:
        """Return the caller's assignments whose role has the action, whatever their scope."""
        principal = self.token.text("oid")
        return tuple(given for given in self.assignments if given.grants(principal, self.action))

    @property
    def by_roles(self) -> bool:
        """Tell whether roles decide, and not access policies."""
        return self.vault.permission_model == "Rbac"

    @property
    def policies(self) -> tuple[AccessPolicy, ...]:
        """Return the access policies that give the caller the permission, on its own behalf or not."""
        principal = self.token.text("oid")
        return tuple(policy for policy in self.vault.policies if policy.grants(principal, self.permission))

    @property
    def being_deleted(self) -> bool:
        """Tell whether the secret is not yet completely deleted."""
        removed = self.vault.removed(self.name)
        return removed is not None and removed.being_deleted(self.now, self.vault.deleting_seconds)

    @property
    def assignment(self) -> RoleAssignment | None:
        """Return the assignment that allows the call."""
        return next((given for given in self.granting if given.covers(self.name)), None)

    @property
    def secret(self) -> Secret | None:
        """Return the secret, if it lives."""
        return self.vault.live(self.name)

    @property
    def wanted(self) -> Version | None:
        """Return the version to read."""
        return self.secret.find(self.version) if self.secret else None

    @property
    def page_size(self) -> int | None:
        """Return ``maxresults``, or nothing if it is out of range."""
        text = self.query.get("maxresults", str(MAX_PAGE))
        size = int(text) if text.isascii() and text.isdigit() and len(text) < 4 else 0
        return size if 1 <= size <= MAX_PAGE else None

    @property
    def caller(self) -> str:
        """Return the caller as texts name it."""
        return ";".join(f"{name}={self.token.text(name)}" for name in ("appid", "oid", "iss"))

    @property
    def brief_caller(self) -> str:
        """Return the caller as texts about the network name it."""
        return ";".join(f"{name}={self.token.text(name)}" for name in ("appid", "oid"))

    @property
    def expected_issuer(self) -> str:
        """Return the issuer of the vault's tenant."""
        return f"https://sts.windows.net/{self.vault.tenant_id}/"

    @property
    def permission(self) -> str:
        """Return the permission that an access policy has to give."""
        return PERMISSIONS[self.operation]

    @property
    def resource_id(self) -> str:
        """Return the id of what is asked for, as RBAC names it."""
        return self.vault.resource(self.name)

    @property
    def identifier(self) -> str:
        """Return name and version as texts show them."""
        return "/".join(part for part in (self.name, self.version) if part)

    def forbidden(self) -> VaultError:
        """Return RBAC's refusal of this call."""
        return errors.forbidden_by_rbac(self.caller, self.action, self.resource_id, self.vault)


def token_missing(call: Call) -> VaultError | None:
    """AKV10000; what is no JWT is no token."""
    return None if call.token.well_formed else errors.token_missing()


def audience_wrong(call: Call) -> VaultError | None:
    """AKV10022."""
    return (
        None
        if call.token.text("aud") == call.resource
        else errors.audience_wrong(call.resource, call.token.text("aud"))
    )


def issuer_wrong(call: Call) -> VaultError | None:
    """AKV10032."""
    found = call.token.text("iss")
    return None if found == call.expected_issuer else errors.issuer_wrong(call.expected_issuer, found)


def signing_key_unknown(call: Call) -> VaultError | None:
    """AKV10046."""
    return None if call.signing_key else errors.signing_key_unknown(call.token.raw_header)


def signature_invalid(call: Call) -> VaultError | None:
    """AKV10000: no text for this case is known, and a forged token is none."""
    return None if is_signed_by(call.token, call.signing_key) else errors.token_missing()


def token_expired(call: Call) -> VaultError | None:
    """``[TokenExpired]``."""
    return None if call.token.moment("nbf") <= call.now < call.token.moment("exp") else errors.token_expired()


def connection_not_private(call: Call) -> VaultError | None:
    """ForbiddenByConnection."""
    return None if call.vault.public else errors.forbidden_by_connection(call.brief_caller, call.vault)


def address_not_admitted(call: Call) -> VaultError | None:
    """ForbiddenByFirewall."""
    if access.admitted(call.address, call.vault.allowed):
        return None
    return errors.forbidden_by_firewall(call.address, call.brief_caller, call.vault)


def rate_exceeded(call: Call) -> VaultError | None:
    """Throttled."""
    return errors.throttled() if call.rate_exceeded else None


def api_version_missing(call: Call) -> VaultError | None:
    """BadParameter: the parameter has no default."""
    return None if call.query.get("api-version") else errors.api_version_missing()


def api_version_unknown(call: Call) -> VaultError | None:
    """BadParameter."""
    version = call.query.get("api-version", "")
    return None if version in API_VERSIONS else errors.api_version_unknown(version, API_VERSIONS[-1])


def name_invalid(call: Call) -> VaultError | None:
    """BadParameter."""
    if call.operation in ("list", "deletedList") or SECRET_NAME.fullmatch(call.name):
        return None
    return errors.name_invalid(call.name)


def page_size_invalid(call: Call) -> VaultError | None:
    """BadParameter: ``maxresults`` is 1 to 25."""
    return errors.property_invalid() if call.page_size is None else None


def role_missing(call: Call) -> VaultError | None:
    """ForbiddenByRbac: the caller has no role with the action anywhere in the vault."""
    return call.forbidden() if call.by_roles and not call.granting else None


def role_scope_narrow(call: Call) -> VaultError | None:
    """ForbiddenByRbac: the caller has such a role, but on another secret only."""
    return call.forbidden() if call.by_roles and call.granting and not call.assignment else None


def only_on_behalf(call: Call) -> VaultError | None:
    """ForbiddenByPolicy: the caller's only access policy is for an application on its behalf."""
    compound = bool(call.policies) and all(policy.application_id for policy in call.policies)
    return errors.forbidden_by_policy(call.caller) if not call.by_roles and compound else None


def permission_missing(call: Call) -> VaultError | None:
    """AccessDenied."""
    given = any(not policy.application_id for policy in call.policies)
    return None if call.by_roles or given else errors.access_denied(call.caller, call.permission, call.vault)


def body_invalid(call: Call) -> VaultError | None:
    """BadParameter."""
    return errors.property_invalid() if call.operation == "set" and call.new_version is None else None


def name_being_deleted(call: Call) -> VaultError | None:
    """ObjectIsBeingDeleted."""
    early = call.operation in ("set", "recover", "purge") and call.being_deleted
    return errors.being_deleted(call.name) if early else None


def name_soft_deleted(call: Call) -> VaultError | None:
    """ObjectIsDeletedButRecoverable."""
    taken = call.operation == "set" and call.vault.removed(call.name)
    return errors.deleted_but_recoverable(call.name) if taken else None


def secret_not_found(call: Call) -> VaultError | None:
    """SecretNotFound."""
    missing = call.operation in OF_LIVING and not call.wanted
    return errors.secret_not_found(call.identifier) if missing else None


def deleted_secret_not_found(call: Call) -> VaultError | None:
    """SecretNotFound; a deletion that goes on has left nothing to be found."""
    missing = call.operation in OF_DELETED and (call.being_deleted or not call.vault.removed(call.name))
    return errors.deleted_secret_not_found(call.name) if missing else None


def secret_disabled(call: Call) -> VaultError | None:
    """SecretDisabled. Validity times never refuse a get: they are informational ("Microsoft Learn, About secrets")."""
    disabled = call.operation == "get" and call.wanted and not call.wanted.enabled
    return errors.secret_disabled() if disabled else None


CHECKS: Checklist[Call, VaultError] = Checklist(
    (
        token_missing,
        audience_wrong,
        issuer_wrong,
        signing_key_unknown,
        signature_invalid,
        token_expired,
        connection_not_private,
        address_not_admitted,
        rate_exceeded,
        api_version_missing,
        api_version_unknown,
        name_invalid,
        page_size_invalid,
        role_missing,
        role_scope_narrow,
        only_on_behalf,
        permission_missing,
        body_invalid,
        name_being_deleted,
        name_soft_deleted,
        secret_not_found,
        deleted_secret_not_found,
        secret_disabled,
    )
)
