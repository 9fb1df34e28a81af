"""One full list of all kinds before the first judgement: a credential must not be judged before its config is known."""

from __future__ import annotations

from collections.abc import AsyncIterator

from wi_operator.api import names
from wi_operator.cluster.client import KubernetesClient
from wi_operator.cluster.paths import CONFIGS, CREDENTIALS, NAMESPACES
from wi_operator.reconcile.reconciler import Reconciler
from wi_operator.reconcile.store import NAMESPACE_KIND, Item, ref_of

PAGE = "500"
ORDER = ((NAMESPACE_KIND, NAMESPACES), (names.CONFIG_KIND, CONFIGS), (names.CREDENTIAL_KIND, CREDENTIALS))


async def catch_up(client: KubernetesClient, reconciler: Reconciler) -> None:
    """Observe everything there is, and forget what a standby missed the deletion of; raises ``ApiError``."""
    for kind, path in ORDER:
        present = set()
        async for item in _list(client, path):
            present.add(ref_of(kind, item))
            reconciler.observe(kind, item)
        for ref in [ref for ref in reconciler.store.items if ref.kind == kind and ref not in present]:
            reconciler.lose(kind, reconciler.store.items[ref])


async def _list(client: KubernetesClient, path: str) -> AsyncIterator[Item]:
    query = {"limit": PAGE}
    while True:
        page = await client.get(path, **query)
        for item in page.get("items") or []:
            yield item
        token = page["metadata"].get("continue", "")
        if not token:
            return
        query = {"limit": PAGE, "continue": token}
