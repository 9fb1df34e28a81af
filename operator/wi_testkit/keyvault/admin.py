"""The admin API of the Key Vault emulator: vaults, role assignments, and secrets without needing a role."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from aiohttp import web

from wi_testkit.emulation.admin import RuleError, json_object
from wi_testkit.keyvault.access import AccessPolicy, assignment_from, policy_from
from wi_testkit.keyvault.service import VaultService
from wi_testkit.keyvault.state import SECRET_NAME, Secret, Vault, version_from

VAULT = "/_admin/vaults/{vault}"
ROLES = VAULT + "/roleAssignments"
POLICIES = VAULT + "/accessPolicies"
DELETED = VAULT + "/deletedsecrets/{secret}"
SECRET = VAULT + "/secrets/{secret}"
ATTRIBUTES = ("enabled", "nbf", "exp")


@dataclass(frozen=True)
class Admin:
    """Handlers of ``/_admin``."""

    service: VaultService

    def add_routes(self, app: web.Application) -> None:
        """Register the handlers."""
        router = app.router
        router.add_put(VAULT, self.put_vault)
        router.add_put(ROLES, self.assign_role)
        router.add_delete(ROLES, self.remove_role)
        router.add_put(POLICIES, self.put_policy)
        router.add_delete(POLICIES, self.delete_policy)
        router.add_put(SECRET, self.put_secret)
        router.add_patch(SECRET, self.patch_secret)
        router.add_delete(SECRET, self.delete_secret)
        router.add_get(SECRET, self.get_secret)
        router.add_post(DELETED + "/recover", self.recover_secret)
        router.add_delete(DELETED, self.purge_secret)

    def vault(self, request: web.Request) -> Vault:
        """Return the vault of the path."""
        return self.service.vaults.require(request.match_info["vault"])

    def secret(self, request: web.Request) -> Secret:
        """Return the living secret of the path."""
        secret = self.vault(request).live(request.match_info["secret"])
        if secret is None:
            raise RuleError("there is no such secret, or it is deleted", 404)
        return secret

    async def put_vault(self, request: web.Request) -> web.Response:
        """Create or update a vault."""
        vault = self.service.vaults.put(request.match_info["vault"], await json_object(request))
        return web.json_response(
            {"name": vault.name, "vaultUri": f"https://{vault.name}.{self.service.vaults.suffix}/"}
        )

    async def assign_role(self, request: web.Request) -> web.Response:
        """Give a role to a principal."""
        assignment = assignment_from(await json_object(request))
        self.service.assign(self.vault(request), assignment)
        return web.json_response({"id": assignment.assignment_id})

    async def remove_role(self, request: web.Request) -> web.Response:
        """Take a role from a principal."""
        self.service.unassign(self.vault(request), assignment_from(await json_object(request)))
        return web.json_response({})

    async def put_policy(self, request: web.Request) -> web.Response:
        """Give permissions to a principal; an earlier policy of it (and of the same application) is replaced."""
        policy = policy_from(await json_object(request))
        policies = self.vault(request).policies
        policies -= {kept for kept in policies if same_owner(kept, policy)}
        policies.add(policy)
        return web.json_response({})

    async def delete_policy(self, request: web.Request) -> web.Response:
        """Take all permissions from a principal (and application)."""
        wanted = policy_from({"permissions": [], **await json_object(request)})
        policies = self.vault(request).policies
        policies -= {kept for kept in policies if same_owner(kept, wanted)}
        return web.json_response({})

    async def put_secret(self, request: web.Request) -> web.Response:
        """Add a version: this is also how a secret is rotated."""
        vault, name, body = self.vault(request), request.match_info["secret"], await json_object(request)
        attributes = {key: body[key] for key in ATTRIBUTES if key in body}
        version = version_from({**body, "attributes": attributes}, self.service.now())
        if version is None or not SECRET_NAME.fullmatch(name):
            raise RuleError("name, value, contentType, tags, enabled, nbf or exp is not as Key Vault wants it")
        if vault.removed(name):
            raise RuleError("a deleted secret still has this name", 409)
        vault.add(name, version)
        return web.json_response({"version": version.version})

    async def patch_secret(self, request: web.Request) -> web.Response:
        """Enable or disable the latest version, or the one that ``version`` names."""
        body = await json_object(request)
        version = self.secret(request).find(str(body.get("version", "")))
        if version is None or not isinstance(body.get("enabled"), bool):
            raise RuleError("wanted: enabled, a boolean, and optionally an existing version")
        version.enabled, version.updated = body["enabled"], int(self.service.now())
        return web.json_response({"version": version.version, "enabled": version.enabled})

    async def delete_secret(self, request: web.Request) -> web.Response:
        """Soft-delete a secret."""
        self.secret(request).deleted = self.service.now()
        return web.json_response({})

    async def recover_secret(self, request: web.Request) -> web.Response:
        """Bring a soft-deleted secret back."""
        secret = self.vault(request).removed(request.match_info["secret"])
        if secret is None:
            raise RuleError("there is no such deleted secret", 404)
        secret.deleted = None
        return web.json_response({})

    async def purge_secret(self, request: web.Request) -> web.Response:
        """Remove a soft-deleted secret for good."""
        self.vault(request).purge(request.match_info["secret"])
        return web.json_response({})

    async def get_secret(self, request: web.Request) -> web.Response:
        """Return the current value and all versions, so that a demo can compute fingerprints itself."""
        secret = self.secret(request)
        versions: list[dict[str, Any]] = [asdict(version) for version in secret.versions]
        return web.json_response({"name": secret.name, "value": secret.versions[-1].value, "versions": versions})


def same_owner(one: AccessPolicy, other: AccessPolicy) -> bool:
    """Tell whether two policies are of the same principal and application."""
    return (one.principal_id, one.application_id) == (other.principal_id, other.application_id)
