"""The admin API of the Entra emulator: what an administrator does in the portal or through Microsoft Graph."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from aiohttp import web

from wi_testkit.emulation.admin import RuleError, json_object
from wi_testkit.entra.service import EntraService
from wi_testkit.entra.state import Directory, credential_from

TENANT = "/_admin/tenants/{tenant}"
APP = TENANT + "/apps/{client_id}"
CREDENTIAL = APP + "/federatedCredentials/{name}"


@dataclass(frozen=True)
class Admin:
    """Handlers of ``/_admin``."""

    service: EntraService

    @property
    def directory(self) -> Directory:
        """Return the tenants."""
        return self.service.directory

    def add_routes(self, app: web.Application) -> None:
        """Register the handlers."""
        router = app.router
        router.add_put(TENANT, self.put_tenant)
        router.add_delete(TENANT, self.delete_tenant)
        router.add_put(APP, self.put_application)
        router.add_delete(APP, self.delete_application)
        router.add_put(CREDENTIAL, self.put_credential)
        router.add_delete(CREDENTIAL, self.delete_credential)
        router.add_get("/_admin/state", self.state)
        router.add_delete("/_admin/jwksCache", self.forget_issuers)
        router.add_post("/_admin/signingKey", self.rotate_key)

    async def put_tenant(self, request: web.Request) -> web.Response:
        """Create or update a tenant."""
        tenant = self.directory.put_tenant(request.match_info["tenant"], await json_object(request))
        return web.json_response({"tenantId": tenant.tenant_id, "domain": tenant.domain})

    async def delete_tenant(self, request: web.Request) -> web.Response:
        """Delete a tenant with everything in it."""
        tenant = self.directory.require_tenant(request.match_info["tenant"])
        del self.directory.tenants[tenant.tenant_id]
        return web.json_response({})

    async def put_application(self, request: web.Request) -> web.Response:
        """Create or update an application; the answer has the object id that vault roles are given to."""
        tenant = self.directory.require_tenant(request.match_info["tenant"])
        application = tenant.register(request.match_info["client_id"], await json_object(request))
        return web.json_response({"clientId": application.client_id, "oid": application.object_id})

    async def delete_application(self, request: web.Request) -> web.Response:
        """Delete an application."""
        tenant = self.directory.require_tenant(request.match_info["tenant"])
        if tenant.applications.pop(request.match_info["client_id"].lower(), None) is None:
            raise RuleError("there is no such application", 404)
        return web.json_response({})

    async def put_credential(self, request: web.Request) -> web.Response:
        """Create or update a federated identity credential."""
        credential = credential_from(request.match_info["name"], await json_object(request))
        self.service.add_credential(self.directory.require_application(*application_path(request)), credential)
        return web.json_response(asdict(credential))

    async def delete_credential(self, request: web.Request) -> web.Response:
        """Delete a federated identity credential."""
        application = self.directory.require_application(*application_path(request))
        self.service.remove_credential(application, request.match_info["name"])
        return web.json_response({})

    async def state(self, _: web.Request) -> web.Response:
        """Return all tenants."""
        return web.json_response(self.directory.as_json())

    async def forget_issuers(self, _: web.Request) -> web.Response:
        """Forget the cached keys of all issuers."""
        self.service.issuers.forget()
        return web.json_response({})

    async def rotate_key(self, _: web.Request) -> web.Response:
        """Sign access tokens with a new key from now on; the old ones stay published."""
        return web.json_response({"kid": self.service.rotate_key()})


def application_path(request: web.Request) -> tuple[str, str]:
    """Return tenant and client id of the path."""
    return request.match_info["tenant"], request.match_info["client_id"]
