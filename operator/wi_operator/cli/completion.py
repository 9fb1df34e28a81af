"""Live names for the shell, asked of kubectl: it is there, since it asks us, and starts in a tenth of the time of our own client.

Anything that goes wrong means no names, quickly.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterable

import typer

from wi_operator.api import names

SECONDS = 2.0
Names = list[str]
KINDS = {
    names.CONFIG_SHORT: f"{names.CONFIG_PLURAL}.{names.GROUP}",
    names.CREDENTIAL_SHORT: f"{names.CREDENTIAL_PLURAL}.{names.GROUP}",
}
JOBS = {"job": "jobs.batch", "cronjob": "cronjobs.batch"}


def _ask(ctx: typer.Context, *arguments: str) -> str:
    """Return what kubectl prints with the options given so far, "" when it fails."""
    flags = [f"--{name}={text}" for name in ("context", "kubeconfig") if (text := ctx.params.get(name))]
    command = ["kubectl", *arguments, *flags, f"--request-timeout={SECONDS:g}s"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=2 * SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout


def _get(ctx: typer.Context, kinds: Iterable[str]) -> list[tuple[str, str]]:
    """Return kind and name of the objects in the namespace at hand."""
    namespace = ctx.params.get("namespace")
    where = [f"--namespace={namespace}"] if namespace else []
    lines = _ask(ctx, "get", ",".join(kinds), "--output=name", *where).split()
    return [(kind.partition(".")[0], name) for kind, _, name in (line.partition("/") for line in lines)]


def _begin(found: Iterable[str], incomplete: str) -> Names:
    return [name for name in found if name.startswith(incomplete)]


def _names(kind: str) -> Callable[[typer.Context, str], Names]:
    def complete(ctx: typer.Context, incomplete: str) -> Names:
        return _begin((name for _, name in _get(ctx, [kind])), incomplete)

    return complete


configs = _names(KINDS[names.CONFIG_SHORT])
credentials = _names(KINDS[names.CREDENTIAL_SHORT])
namespaces = _names("namespaces")


def objects(ctx: typer.Context, incomplete: str) -> Names:
    """``wic/NAME`` and ``spcred/NAME``."""
    shorts = {names.CONFIG_KIND.lower(): names.CONFIG_SHORT, names.CREDENTIAL_KIND.lower(): names.CREDENTIAL_SHORT}
    return _begin((f"{shorts.get(kind, kind)}/{name}" for kind, name in _get(ctx, KINDS.values())), incomplete)


def jobs(ctx: typer.Context, incomplete: str) -> Names:
    """``job/NAME`` and ``cronjob/NAME``."""
    return _begin((f"{kind}/{name}" for kind, name in _get(ctx, JOBS.values())), incomplete)


def kids(ctx: typer.Context, incomplete: str) -> Names:
    """Ids of the signing keys."""
    where = ("configmap", names.STATE_CONFIGMAP, f"--namespace={names.SYSTEM_NAMESPACE}")
    text = _ask(ctx, "get", *where, "--output=jsonpath={.data.state\\.json}")
    try:
        return _begin((each["kid"] for each in json.loads(text)["keys"]), incomplete)
    except (ValueError, LookupError, TypeError):
        return []


def contexts(ctx: typer.Context, incomplete: str) -> Names:
    """Contexts of the kubeconfig."""
    return _begin(_ask(ctx, "config", "get-contexts", "--output=name").split(), incomplete)


def codes(incomplete: str) -> Names:
    """Codes and reasons of the diagnosis table."""
    from wi_operator.federation.diagnosis.table import ROWS

    known = sorted({name for row in ROWS for name in (row.code, row.reason)})
    return [name for name in known if name.lower().startswith(incomplete.lower())]
