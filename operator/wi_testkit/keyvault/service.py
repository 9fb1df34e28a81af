"""What the Key Vault emulator knows and decides, without HTTP routes."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from wi_testkit.emulation.admin import RuleError
from wi_testkit.emulation.checks import require_known
from wi_testkit.emulation.faults import Faults
from wi_testkit.emulation.jose import parse
from wi_testkit.emulation.journal import Journal
from wi_testkit.emulation.propagation import Nodes
from wi_testkit.emulation.settings import Settings, changed
from wi_testkit.keyvault import bundles
from wi_testkit.keyvault.access import RoleAssignment
from wi_testkit.keyvault.checks import CHECKS, MAX_PAGE, Call, Operation
from wi_testkit.keyvault.codes import CODES, EARLY
from wi_testkit.keyvault.errors import VaultError
from wi_testkit.keyvault.keys import SigningKeys
from wi_testkit.keyvault.state import Secret, Vault, Vaults, Version, version_from


@dataclass(frozen=True, kw_only=True)
class VaultSettings(Settings):
    """Settings of Key Vault. ``entra_keys_pause``: seconds before Entra's keys are fetched again for an unknown one."""

    entra_keys_pause: float = 0.0


@dataclass
class VaultService:
    """Everything that the emulator knows, and the judging and answering of one call."""

    keys: SigningKeys
    vaults: Vaults = field(default_factory=Vaults)
    journal: Journal = field(default_factory=Journal)
    faults: Faults = field(default_factory=lambda: Faults(CODES.__contains__, EARLY))
    without: Sequence[str] = ()
    settings: VaultSettings = field(default_factory=VaultSettings)
    clock: Callable[[], float] = time.time
    moment: Callable[[], float] = time.monotonic

    def __post_init__(self) -> None:
        require_known(self.without, CHECKS.names)
        self._nodes = Nodes(self.settings)
        self._checks = CHECKS.without(self.without)

    @property
    def resource(self) -> str:
        """Return the audience of the cloud's vaults."""
        return f"https://{self.vaults.suffix}"

    def adjust(self, changes: dict[str, Any]) -> None:
        """Change settings."""
        self.settings = changed(self.settings, changes)
        self._nodes = Nodes(self.settings)

    def now(self) -> float:
        """Return the emulator's time."""
        return self.clock() + self.settings.clock_offset

    def assign(self, vault: Vault, assignment: RoleAssignment) -> None:
        """Give a role; nodes see it one after the other."""
        vault.assignments.add(assignment)
        self._record(vault)

    def unassign(self, vault: Vault, assignment: RoleAssignment) -> None:
        """Take a role; nodes see it one after the other."""
        if assignment not in vault.assignments:
            raise RuleError("there is no such role assignment", 404)
        vault.assignments.discard(assignment)
        self._record(vault)

    def _record(self, vault: Vault) -> None:
        seconds = self._nodes.seconds(vault.propagation_seconds)
        vault.history.record(self.moment(), seconds, frozenset(vault.assignments))

    async def call(self, vault: Vault, operation: Operation, request: web.Request) -> Call:
        """Gather everything that the checks ask for."""
        scheme, _, credentials = request.headers.get("Authorization", "").partition(" ")
        token = parse(credentials) if scheme.lower() == "bearer" else parse("")
        return Call(
            vault=vault,
            operation=operation,
            resource=self.resource,
            now=self.now(),
            name=request.match_info.get("name", ""),
            version=request.match_info.get("version", ""),
            query=dict(request.query),
            token=token,
            signing_key=await self.keys.find(str(token.header.get("kid", "")), self.settings.entra_keys_pause),
            new_version=await self.new_version(request) if operation == "set" else None,
            address=request.remote or "",
            assignments=vault.history.at(self.moment(), self._nodes.lateness(vault.propagation_seconds)),
            rate_exceeded=token.well_formed and vault.rate.exceeded(self.moment()),
        )

    async def new_version(self, request: web.Request) -> Version | None:
        """Read the version to set, or nothing if the body is no good."""
        try:
            body = json.loads(await request.read())
        except (ValueError, RecursionError):
            return None
        return version_from(body, self.now()) if isinstance(body, dict) else None

    def judge(self, call: Call) -> VaultError | None:
        """Ask all checks."""
        return self._checks.first_refusal(call)

    def answer(self, call: Call, origin: str) -> dict[str, Any] | None:
        """Return the body of a call that no check refused; a purge has none."""
        base = f"https://{call.vault.name}.{self.vaults.suffix}"
        if call.operation in ("list", "versions", "deletedList"):
            return listed(call, base, origin)
        secret, removed, wanted = call.secret, call.vault.removed(call.name), call.wanted
        if call.operation == "get" and secret and wanted:
            return bundles.bundle(base, secret, wanted, call.query.get("api-version", ""))
        if call.operation == "set" and call.new_version:
            added = call.vault.add(call.name, call.new_version)
            return bundles.bundle(base, added, call.new_version, call.query.get("api-version", ""))
        if call.operation == "delete" and secret:
            secret.deleted = self.now()
            return bundles.deleted_bundle(base, secret)
        return self.answer_about_deleted(call, base, removed)

    def answer_about_deleted(self, call: Call, base: str, removed: Secret | None) -> dict[str, Any] | None:
        """Return the body of a call about a soft-deleted secret."""
        if removed is None:
            raise web.HTTPInternalServerError(text="no check refused, yet there is nothing to answer\n")
        if call.operation == "deleted":
            return bundles.deleted_bundle(base, removed)
        if call.operation == "recover":
            removed.deleted = None
            return bundles.item(base, removed, removed.versions[-1], versioned=True)
        call.vault.purge(call.name)
        return None


def listed(call: Call, base: str, origin: str) -> dict[str, Any]:
    """Return one page of a list."""
    path, entries = "/secrets", bundles.all_secrets(base, call.vault)
    if call.operation == "versions":
        path, entries = f"/secrets/{call.name}/versions", bundles.all_versions(base, call.secret)
    elif call.operation == "deletedList":
        path, entries = "/deletedsecrets", bundles.all_deleted(base, call.vault)
    size = call.page_size or MAX_PAGE
    return bundles.page(entries, f"{origin}{path}", call.query, size, empty_pages=call.vault.empty_pages)
