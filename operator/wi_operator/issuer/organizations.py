"""Whose a namespace is: its annotation, believed only while the policy that guards it stands unmodified.

A change of an annotation counts when policy and binding were in force, the same ones, before and after it. Otherwise the last
verified organization stays, and an alarm says which namespace is disputed; it ends when somebody with the verb ``bind``
sets the annotation anew. A namespace that was never annotated is its own organization: nobody can choose a UID.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources
from typing import Any

from wi_operator.cluster.client import KubernetesClient
from wi_operator.cluster.errors import ApiError, NotFoundError
from wi_operator.cluster.paths import organization_binding_path, organization_policy_path
from wi_operator.core.log import fields
from wi_operator.index.objects import Organization
from wi_operator.index.store import Index

LOOK_SECONDS = 10.0
POLICY_FILE = "organization_policy.json"

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Guard:
    """Policy and binding as they were seen in force: the same uids and generations mean that nothing came between."""

    identity: tuple[Any, ...]


def read_expected() -> Mapping[str, Any]:
    """Return the specs that the chart installs, with the API server's defaults."""
    text = resources.files("wi_operator.issuer").joinpath(POLICY_FILE).read_text()
    loaded: Mapping[str, Any] = json.loads(text)
    return loaded


def judge_guard(policy: Mapping[str, Any], binding: Mapping[str, Any], expected: Mapping[str, Any]) -> Guard | str:
    """Return the guard, or what is wrong with it."""
    for name, item in (("policy", policy), ("binding", binding)):
        if not item:
            return f"the {name} wi-organization is missing"
        if item["metadata"].get("deletionTimestamp"):
            return f"the {name} wi-organization is being deleted"
        if item.get("spec") != expected[name]:
            return f"the {name} wi-organization is not the one that the chart installs"
    identities = ((item["metadata"]["uid"], item["metadata"].get("generation")) for item in (policy, binding))
    return Guard(tuple(identities))


@dataclass(frozen=True, slots=True)
class _Seen:
    uid: str
    organization: Organization


@dataclass(slots=True)
class Organizations:
    """The consumer of namespaces; writes ``index.organizations``."""

    client: KubernetesClient
    index: Index
    expected: Mapping[str, Any] = field(default_factory=read_expected)
    looked: asyncio.Event = field(default_factory=asyncio.Event)
    """Set once policy and binding have been looked at."""
    fault: str = ""
    """What is wrong with the guard, "" while it is in force."""
    _guard: Guard | None = field(default=None, init=False)
    _had_guard: bool = field(default=False, init=False)
    _verified: dict[str, _Seen] = field(default_factory=dict, init=False)
    _pending: dict[str, _Seen] = field(default_factory=dict, init=False)
    _disputed: dict[str, _Seen] = field(default_factory=dict, init=False)
    _wake: asyncio.Event = field(default_factory=asyncio.Event, init=False)

    @property
    def disputed(self) -> tuple[str, ...]:
        """Namespaces whose annotation is not believed."""
        return tuple(sorted(self._disputed))

    def put_namespace(self, item: Mapping[str, Any]) -> None:
        """Take a namespace from the watch; a new annotation waits for a look at its guard."""
        name = item["metadata"]["name"]
        seen = _Seen(item["metadata"].get("uid", ""), Organization.of_namespace(item))
        known = self._verified.get(name)
        if known is not None and known.uid != seen.uid:
            # Deleted and made anew under the same name: it inherits nothing.
            del self._verified[name]
            known = None
        if seen == known or (known is None and seen.organization.is_implicit):
            self._settle(name, seen)
        elif self._disputed.get(name) != seen:
            self._pending[name] = seen
            self._wake.set()

    def drop_namespace(self, item: Mapping[str, Any]) -> None:
        """Forget a namespace."""
        name = item["metadata"]["name"]
        for table in (self._verified, self._pending, self._disputed):
            table.pop(name, None)
        self.index.organizations.pop(name, None)
        self.index.disputed.pop(name, None)

    async def follow(self) -> None:
        """Look every ten seconds, and at once when an annotation changes; until cancelled."""
        while True:
            try:
                await self.look()
            except ApiError as error:
                log.warning("the policy of organizations was not read", extra=fields(error=str(error)))
                await asyncio.sleep(1.0)
                continue
            try:
                async with asyncio.timeout(LOOK_SECONDS):
                    await self._wake.wait()
            except TimeoutError:
                continue

    async def look(self) -> None:
        """Read policy and binding and judge what waits; raises ``ApiError`` and leaves everything as it is."""
        self._wake.clear()
        pending = dict(self._pending)
        found = judge_guard(
            await self._read(organization_policy_path()), await self._read(organization_binding_path()), self.expected
        )
        guard = found if isinstance(found, Guard) else None
        # Never seen in force before: an installation that begins, or a process that has no memory to compare with.
        is_trusted = guard is not None and (guard == self._guard or not self._had_guard)
        self._tell("" if isinstance(found, Guard) else found)
        self._guard, self._had_guard = guard, self._had_guard or guard is not None
        self._judge(pending, is_trusted)
        self.looked.set()

    def _judge(self, pending: Mapping[str, _Seen], is_trusted: bool) -> None:
        for name, seen in pending.items():
            if self._pending.get(name) == seen:
                del self._pending[name]
            if is_trusted:
                self._settle(name, seen)
            else:
                self._dispute(name, seen)

    def _settle(self, name: str, seen: _Seen) -> None:
        self._disputed.pop(name, None)
        self.index.disputed.pop(name, None)
        self._pending.pop(name, None)
        self._verified[name] = seen
        self.index.organizations[name] = seen.organization

    def _dispute(self, name: str, seen: _Seen) -> None:
        known = self._verified.get(name)
        self.index.organizations[name] = known.organization if known else Organization.UNVERIFIED
        if not self._had_guard:
            # Nothing was ever in force: judged again with the first look that finds it so.
            self._pending[name] = seen
            return
        self._disputed[name] = seen
        self.index.disputed[name] = seen.organization.id
        log.error(
            "an organization was set while its policy was not in force: it is not believed until it is set anew",
            extra=fields(
                namespace=name,
                set=seen.organization.id,
                in_force=known.organization.id if known else "",
                reason="OrganizationDisputed",
            ),
        )

    def _tell(self, fault: str) -> None:
        if fault and fault != self.fault:
            log.error(
                "organizations are frozen: annotations of namespaces are not believed until the chart is installed again",
                extra=fields(fault=fault, reason="OrganizationPolicyModified"),
            )
        elif self.fault and not fault:
            log.warning("the policy of organizations is in force again", extra=fields(disputed=list(self.disputed)))
        self.fault = fault

    async def _read(self, path: str) -> Mapping[str, Any]:
        try:
            return await self.client.get(path)
        except NotFoundError:
            return {}
