"""Which tenant and which vault a check of an object speaks to: its lanes. Pure."""

from __future__ import annotations

from urllib.parse import urlsplit

from wi_operator.api import names
from wi_operator.federation.azure import AzureEndpoints
from wi_operator.index.objects import AZURE, Config, ObjectKey
from wi_operator.index.resolve import Refusal, find_config
from wi_operator.reconcile.queue import Ref
from wi_operator.reconcile.store import Store


def lanes_of(store: Store, ref: Ref) -> tuple[str, ...]:
    """Return ``login:<authority>/<tenant>`` of a config, ``vault:<host>`` of a credential, and both when it reads."""
    item = store.items.get(ref)
    if item is None:
        return ()
    key = ObjectKey(ref.namespace, ref.name)
    if ref.kind == names.CONFIG_KIND:
        return _login(store.index.configs[key])
    credential = store.index.credentials[key]
    vault = (f"vault:{(urlsplit(credential.vault_url).netloc or credential.vault_url).lower()}",)
    spec = item.get("spec") or {}
    reads = (spec.get("azureKeyVault") or {}).get("probeSecret") or spec.get("listSecretNames")
    found = find_config(store.index, credential)
    if not reads or isinstance(found, Refusal) or not found.readiness.is_ready:
        return vault  # nothing is asked of the tenant: a rest of it must not hold back what there is to say
    return (*vault, *_login(found))


def _login(config: Config) -> tuple[str, ...]:
    if config.provider != AZURE:
        return ()
    cloud = AzureEndpoints.from_block(config.azure)
    return (f"login:{cloud.authority_host}/{cloud.tenant_id}".lower(),)
