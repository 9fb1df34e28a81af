"""The admin API of the Key Vault emulator: vaults, role assignments, and secrets without needing a role."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from aiohttp import web

from wi_testkit.emulation.admin import RuleError, json_object
from wi_testkit.keyvault.state import SECRET_NAME, RoleAssignment, Secret, Vault, Vaults, version_from

VAULT = "/_admin/vaults/{vault}"
ROLES = VAULT + "/roleAssignments"
SECRET = VAULT + "/secrets/{secret}"
ATTRIBUTES = ("enabled", "nbf", "exp")


@dataclass(frozen=True)
class Admin:
    """Handlers of ``/_admin``."""

    vaults: Vaults
    clock: Callable[[], float]

    def add_routes(self, app: web.Application) -> None:
        """Register the handlers."""
        router = app.router
        router.add_put(VAULT, self.put_vault)
        router.add_put(ROLES, self.assign_role)
        router.add_delete(ROLES, self.remove_role)
        router.add_put(SECRET, self.put_secret)
        router.add_patch(SECRET, self.patch_secret)
        router.add_delete(SECRET, self.delete_secret)
        router.add_get(SECRET, self.get_secret)

    def vault(self, request: web.Request) -> Vault:
        """Return the vault of the path."""
        return self.vaults.require(request.match_info["vault"])

    def secret(self, request: web.Request) -> Secret:
        """Return the living secret of the path."""
        secret = self.vault(request).live(request.match_info["secret"])
        if secret is None:
            raise RuleError("there is no such secret, or it is deleted", 404)
        return secret

    async def put_vault(self, request: web.Request) -> web.Response:
        """Create or update a vault."""
        vault = self.vaults.put(request.match_info["vault"], await json_object(request))
        return web.json_response({"name": vault.name, "vaultUri": f"https://{vault.name}.{self.vaults.suffix}/"})

    async def assign_role(self, request: web.Request) -> web.Response:
        """Give a role to a principal."""
        assignment = assignment_from(await json_object(request))
        self.vault(request).assign(assignment)
        return web.json_response({"id": assignment.assignment_id})

    async def remove_role(self, request: web.Request) -> web.Response:
        """Take a role from a principal."""
        assignments, assignment = self.vault(request).assignments, assignment_from(await json_object(request))
        if assignment not in assignments:
            raise RuleError("there is no such role assignment", 404)
        assignments.discard(assignment)
        return web.json_response({})

    async def put_secret(self, request: web.Request) -> web.Response:
        """Add a version: this is also how a secret is rotated."""
        vault, name, body = self.vault(request), request.match_info["secret"], await json_object(request)
        attributes = {key: body[key] for key in ATTRIBUTES if key in body}
        version = version_from({**body, "attributes": attributes}, self.clock())
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
        version.enabled, version.updated = body["enabled"], int(self.clock())
        return web.json_response({"version": version.version, "enabled": version.enabled})

    async def delete_secret(self, request: web.Request) -> web.Response:
        """Soft-delete a secret."""
        self.secret(request).deleted = int(self.clock())
        return web.json_response({})

    async def get_secret(self, request: web.Request) -> web.Response:
        """Return the current value and all versions, so that a demo can compute fingerprints itself."""
        secret = self.secret(request)
        versions: list[dict[str, Any]] = [asdict(version) for version in secret.versions]
        return web.json_response({"name": secret.name, "value": secret.versions[-1].value, "versions": versions})


def assignment_from(body: dict[str, Any]) -> RoleAssignment:
    """Read a role assignment."""
    principal, role, secret = (body.get(key, "") for key in ("principalId", "role", "secret"))
    if not all(isinstance(text, str) for text in (principal, role, secret)) or not principal or not role:
        raise RuleError("wanted: principalId (object id), role (name), and optionally secret (name)")
    return RoleAssignment(principal.lower(), role, secret.lower())
