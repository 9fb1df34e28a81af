"""List, then watch, for ever: keeps a consumer's picture of one resource true."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from wi_operator.cluster.client import KubernetesClient
from wi_operator.cluster.errors import ApiError
from wi_operator.cluster.pulse import Pulse
from wi_operator.core.log import fields

Consumer = Callable[[Mapping[str, Any]], None]

RETRY_SECONDS = 1.0
RETRY_LIMIT_SECONDS = 30.0

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Watch:
    """Follows the collection at ``path``; ``put`` and ``drop`` get objects as the API's JSON.

    ``field_selector`` narrows it, for example to one object.
    ``synced`` is set after the first full list and stays set: an outage leaves the last picture in place.
    """

    client: KubernetesClient
    path: str
    put: Consumer
    drop: Consumer
    field_selector: str = ""
    synced: asyncio.Event = field(default_factory=asyncio.Event)
    pulse: Pulse = field(default_factory=Pulse)
    _known: dict[tuple[str, str], Mapping[str, Any]] = field(default_factory=dict)

    @property
    def resource(self) -> str:
        """The plural name of what is watched."""
        return self.path.rpartition("/")[2]

    async def run(self) -> None:
        """Follow until cancelled."""
        delay = RETRY_SECONDS
        while True:
            try:
                await self._follow()
                delay = RETRY_SECONDS
            except ApiError as error:
                log.warning("watch interrupted", extra=fields(path=self.path, error=str(error), retry_seconds=delay))
                await asyncio.sleep(delay)
                delay = min(delay * 2, RETRY_LIMIT_SECONDS)

    async def _follow(self) -> None:
        version = await self._list()
        self.synced.set()
        while True:
            # After a list, and after a watch that the server ended in order: nothing can have been missed.
            self.pulse.prove()
            async for event in self.client.watch(self.path, resource_version=version, selectors=self._selectors()):
                item = event["object"]
                version = item["metadata"]["resourceVersion"]
                self.pulse.prove()
                self._take(event["type"], item)

    async def _list(self) -> str:
        """Take the full list; forget what is no longer in it."""
        items, version = await self.client.list(self.path, selectors=self._selectors())
        for key in set(self._known) - {_key(item) for item in items}:
            self.drop(self._known.pop(key))
        for item in items:
            self._take("ADDED", item)
        return version

    def _selectors(self) -> dict[str, str]:
        return {"fieldSelector": self.field_selector} if self.field_selector else {}

    def _take(self, kind: str, item: Mapping[str, Any]) -> None:
        if kind in {"ADDED", "MODIFIED", "DELETED"}:
            self.pulse.beat()
        if kind in {"ADDED", "MODIFIED"}:
            self._known[_key(item)] = {"metadata": item["metadata"]}
            self.put(item)
        elif kind == "DELETED":
            self._known.pop(_key(item), None)
            self.drop(item)


def _key(item: Mapping[str, Any]) -> tuple[str, str]:
    return item["metadata"].get("namespace", ""), item["metadata"]["name"]
