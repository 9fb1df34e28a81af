"""Live names for the shell; anything that goes wrong means no names, quickly."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

import typer

from wi_operator.api import names
from wi_operator.cli.call import Call, Reach, open_reach

SECONDS = 2.0
Names = list[str]
KINDS = {
    names.CONFIG_SHORT: names.CONFIG_PLURAL,
    names.CREDENTIAL_SHORT: names.CREDENTIAL_PLURAL,
}


def _ask(context: typer.Context, question: Callable[[Reach], Awaitable[Names]], incomplete: str) -> Names:
    given = context.params
    call = Call(given.get("context") or "", given.get("kubeconfig") or "", given.get("namespace") or "")

    async def ask() -> Names:
        async with asyncio.timeout(SECONDS), open_reach(call) as reach:
            return await question(reach)

    with contextlib.suppress(Exception):  # a shell that completes shows no error
        return [name for name in asyncio.run(ask()) if name.startswith(incomplete)]
    return []


def _names(plural: str, group: str = names.API_VERSION) -> Callable[[Reach], Awaitable[Names]]:
    async def ask(reach: Reach) -> Names:
        return [item["metadata"]["name"] for item in await reach.list(f"/apis/{group}/{plural}")]

    return ask


def configs(ctx: typer.Context, incomplete: str) -> Names:
    """Names of WorkloadIdentityConfigs."""
    return _ask(ctx, _names(names.CONFIG_PLURAL), incomplete)


def credentials(ctx: typer.Context, incomplete: str) -> Names:
    """Names of SecretProviderCredentials."""
    return _ask(ctx, _names(names.CREDENTIAL_PLURAL), incomplete)


def objects(ctx: typer.Context, incomplete: str) -> Names:
    """``wic/NAME`` and ``spcred/NAME``."""

    async def ask(reach: Reach) -> Names:
        found = await asyncio.gather(*(_names(plural)(reach) for plural in KINDS.values()))
        return [f"{short}/{name}" for short, listed in zip(KINDS, found, strict=True) for name in listed]

    return _ask(ctx, ask, incomplete)


def jobs(ctx: typer.Context, incomplete: str) -> Names:
    """``job/NAME`` and ``cronjob/NAME``."""

    async def ask(reach: Reach) -> Names:
        found = await asyncio.gather(*(_names(plural, "batch/v1")(reach) for plural in ("jobs", "cronjobs")))
        return [f"{kind}/{name}" for kind, listed in zip(("job", "cronjob"), found, strict=True) for name in listed]

    return _ask(ctx, ask, incomplete)


def namespaces(ctx: typer.Context, incomplete: str) -> Names:
    """Names of namespaces."""

    async def ask(reach: Reach) -> Names:
        items, _ = await reach.client.list("/api/v1/namespaces", metadata_only=True)
        return [item["metadata"]["name"] for item in items]

    return _ask(ctx, ask, incomplete)


def kids(ctx: typer.Context, incomplete: str) -> Names:
    """Ids of the signing keys."""

    async def ask(reach: Reach) -> Names:
        from wi_operator.cli.keys import read_timetable

        timetable, _ = await read_timetable(reach.client)
        return [entry.kid for entry in timetable.entries]

    return _ask(ctx, ask, incomplete)


def contexts(ctx: typer.Context, incomplete: str) -> Names:
    """Contexts of the kubeconfig."""
    with contextlib.suppress(Exception):
        from kubernetes.aio.config.kube_config import list_kube_config_contexts

        found: list[dict[str, Any]] = list_kube_config_contexts(ctx.params.get("kubeconfig") or None)[0]  # type: ignore[no-untyped-call]
        return [each["name"] for each in found if each["name"].startswith(incomplete)]
    return []


def codes(incomplete: str) -> Names:
    """Codes and reasons of the diagnosis table."""
    from wi_operator.federation.diagnosis.table import ROWS

    known = sorted({name for row in ROWS for name in (row.code, row.reason)})
    return [name for name in known if name.lower().startswith(incomplete.lower())]
