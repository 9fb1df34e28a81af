"""One invocation: which cluster, which namespaces, which form of output."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any

from wi_operator.cluster.paths import in_namespace

if TYPE_CHECKING:
    from wi_operator.cluster.client import KubernetesClient


class Form(Enum):
    """How results are written."""

    TABLE = "table"
    JSON = "json"
    YAML = "yaml"


@dataclass(frozen=True, slots=True)
class Call:
    """The options that every command has; an empty ``namespace`` is the context's."""

    context: str = ""
    kubeconfig: str = ""
    namespace: str = ""
    all_namespaces: bool = False
    output: Form = Form.TABLE
    debug: bool = False


@dataclass(frozen=True, slots=True)
class Reach:
    """A cluster that is spoken to; ``scope`` is the namespace looked at, ``""`` for all of them."""

    client: KubernetesClient
    namespace: str
    scope: str

    async def list(self, path: str, **selectors: str) -> list[dict[str, Any]]:
        """List the collection at ``path`` (of all namespaces) within the scope."""
        items, _ = await self.client.list(in_namespace(path, self.scope), selectors=selectors)
        return items


@contextlib.asynccontextmanager
async def open_reach(call: Call) -> AsyncIterator[Reach]:
    """Connect as kubectl would; raises ``SettingsError``."""
    # Half a second: not for --help.
    from wi_operator.cluster.client import KubernetesClient

    client, usual = await KubernetesClient.of_kubeconfig(call.kubeconfig, call.context)
    try:
        namespace = call.namespace or usual
        yield Reach(client, namespace, "" if call.all_namespaces else namespace)
    finally:
        await client.close()
