"""Proof that events still flow: what the API server lists now is compared with what the watch has shown.

A watch can fall silent without an error (a half-open connection, a stuck stream). Nobody would notice until an object that
was changed is not judged; so the process counts as dead when a change stays unseen, and the kubelet starts it anew.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from wi_operator.cluster.client import KubernetesClient
from wi_operator.cluster.errors import ApiError
from wi_operator.core.log import fields
from wi_operator.reconcile.catch_up import ORDER
from wi_operator.reconcile.queue import Ref
from wi_operator.reconcile.store import Store, ref_of

GRACE_SHARE = 6
GRACE_LIMIT = 20.0
"""What was listed must have been shown by the watch after a sixth of the period, at most so long."""

log = logging.getLogger(__name__)

Versions = Mapping[Ref, str]


def unseen(listed: Versions, at_listing: Versions, now: Versions) -> list[Ref]:
    """Return the objects whose listed version the watch has not shown, although it has had the time.

    One whose known version moved since the listing was shown something: the watch is alive.
    """
    return sorted(
        ref for ref, version in listed.items() if now.get(ref) != version and now.get(ref) == at_listing.get(ref)
    )


def nothing() -> None:
    """Do nothing."""


@dataclass(slots=True)
class Audit:
    """Compares now and then; ``on_proof`` hears of every comparison that found all seen."""

    client: KubernetesClient
    store: Store
    audit_seconds: float
    on_proof: Callable[[], None] = nothing
    unseen: int = 0
    """Objects whose change the watch had not shown at the last comparison."""

    @property
    def is_passed(self) -> bool:
        """False after a comparison that found unseen changes."""
        return not self.unseen

    async def run(self) -> None:
        """Compare until cancelled; an API server that does not answer proves nothing."""
        while True:
            await asyncio.sleep(self.audit_seconds)
            try:
                await self.compare()
            except ApiError as error:
                log.info("watches not compared", extra=fields(error=str(error)))

    async def compare(self) -> None:
        """List the metadata of all objects, wait, and judge; raises ``ApiError``."""
        listed = await self._list()
        at_listing = dict(self.store.versions)
        await asyncio.sleep(min(GRACE_LIMIT, self.audit_seconds / GRACE_SHARE))
        missing = unseen(listed, at_listing, self.store.versions)
        self.unseen = len(missing)
        if not missing:
            self.on_proof()
        else:
            log.error("the watch does not show changes", extra=fields(unseen=[str(ref) for ref in missing[:5]]))

    async def _list(self) -> dict[Ref, str]:
        found: dict[Ref, str] = {}
        for kind, path in ORDER:
            items, _ = await self.client.list(path, metadata_only=True)
            found |= {ref_of(kind, item): item["metadata"]["resourceVersion"] for item in items}
        return found
