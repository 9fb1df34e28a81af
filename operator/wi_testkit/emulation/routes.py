"""The part of ``/_admin`` that both emulators have: journal, faults, codes, settings and usage."""

from __future__ import annotations

import resource
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from aiohttp import web

from wi_testkit.emulation.admin import json_object
from wi_testkit.emulation.faults import Faults
from wi_testkit.emulation.journal import Journal
from wi_testkit.emulation.settings import Settings

FAULTS = "/_admin/faults"
FAULT = FAULTS + "/{fault}"
REQUESTS = "/_admin/requests"
SETTINGS = "/_admin/settings"


class Adjustable(Protocol):
    """A service whose settings can be changed while it runs."""

    @property
    def settings(self) -> Settings:
        """Return the settings."""

    def adjust(self, changes: dict[str, Any]) -> None:
        """Change some of them; raises RuleError for what cannot be."""


@dataclass(frozen=True)
class CommonAdmin:
    """Handlers that are the same for every emulator; ``codes`` returns the table of its errors."""

    journal: Journal
    faults: Faults
    codes: Callable[[], list[dict[str, Any]]]
    service: Adjustable

    def add_routes(self, app: web.Application) -> None:
        """Register the handlers."""
        router = app.router
        router.add_get(REQUESTS, self.requests)
        router.add_delete(REQUESTS, self.forget_requests)
        router.add_post(FAULTS, self.add_fault)
        router.add_get(FAULTS, self.list_faults)
        router.add_delete(FAULTS, self.clear_faults)
        router.add_delete(FAULT, self.remove_fault)
        router.add_get(SETTINGS, self.show_settings)
        router.add_patch(SETTINGS, self.change_settings)
        router.add_get("/_admin/codes", self.list_codes)
        router.add_get("/_admin/usage", self.usage)

    async def requests(self, _: web.Request) -> web.Response:
        """Return the journal."""
        return web.json_response(self.journal.as_json())

    async def forget_requests(self, _: web.Request) -> web.Response:
        """Empty the journal."""
        self.journal.clear()
        return web.json_response({})

    async def add_fault(self, request: web.Request) -> web.Response:
        """Let a fault happen from now on."""
        return web.json_response(self.faults.add(await json_object(request)).as_json())

    async def list_faults(self, _: web.Request) -> web.Response:
        """Return all faults, with how often each has happened."""
        return web.json_response([fault.as_json() for fault in self.faults.all.values()])

    async def clear_faults(self, _: web.Request) -> web.Response:
        """Remove all faults."""
        self.faults.clear()
        return web.json_response({})

    async def remove_fault(self, request: web.Request) -> web.Response:
        """Remove one fault."""
        self.faults.remove(request.match_info["fault"])
        return web.json_response({})

    async def show_settings(self, _: web.Request) -> web.Response:
        """Return the settings."""
        return web.json_response(self.service.settings.as_json())

    async def change_settings(self, request: web.Request) -> web.Response:
        """Change some settings."""
        self.service.adjust(await json_object(request))
        return web.json_response(self.service.settings.as_json())

    async def list_codes(self, _: web.Request) -> web.Response:
        """Return every error that a fault's ``code`` can name."""
        return web.json_response(self.codes())

    async def usage(self, _: web.Request) -> web.Response:
        """Return what this process has used, so that a benchmark can tell its share from the measured one's."""
        used = resource.getrusage(resource.RUSAGE_SELF)
        cpu = {"userSeconds": used.ru_utime, "systemSeconds": used.ru_stime}
        return web.json_response({"cpuSeconds": used.ru_utime + used.ru_stime, **cpu, "maxRssKiB": used.ru_maxrss})
