"""One full list of all kinds before the first judgement: a credential must not be judged before its config is known."""

from __future__ import annotations

from wi_operator.api import names
from wi_operator.cluster.client import KubernetesClient
from wi_operator.cluster.paths import CONFIGS, CREDENTIALS, NAMESPACES
from wi_operator.reconcile.queue import Ref
from wi_operator.reconcile.reconciler import Reconciler
from wi_operator.reconcile.store import NAMESPACE_KIND, ref_of

ORDER = ((NAMESPACE_KIND, NAMESPACES), (names.CONFIG_KIND, CONFIGS), (names.CREDENTIAL_KIND, CREDENTIALS))


async def catch_up(client: KubernetesClient, reconciler: Reconciler) -> None:
    """Observe everything there is, and forget what a standby missed the deletion of; raises ``ApiError``."""
    for kind, path in ORDER:
        present: set[Ref] = set()
        async for items, _ in client.list_pages(path):
            for item in items:
                reconciler.observe(kind, item)
            present |= {ref_of(kind, item) for item in items}
        for ref in [ref for ref in reconciler.store.items if ref.kind == kind and ref not in present]:
            reconciler.lose(kind, reconciler.store.items[ref])
