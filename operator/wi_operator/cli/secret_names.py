"""``kubectl wi secrets``: the names that status shows where ``listSecretNames`` is on; never a value. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from wi_operator.api import names, reasons
from wi_operator.cli.findings import Finding, Level, condition
from wi_operator.cli.output import list_findings, table

MOST = 200
"""Names in a status at most."""


@dataclass(frozen=True, slots=True)
class SecretName:
    """A secret of a vault, and the reference that reads it."""

    namespace: str
    credential: str
    name: str
    reference: str


def read(items: Iterable[Mapping[str, Any]]) -> tuple[SecretName, ...]:
    """Return the names in the statuses of credentials."""
    return tuple(
        SecretName(
            item["metadata"]["namespace"], item["metadata"]["name"], name, f"secret://{item['metadata']['name']}/{name}"
        )
        for item in items
        for name in (item.get("status") or {}).get("secretNames") or []
    )


def judge(items: Sequence[Mapping[str, Any]]) -> tuple[Finding, ...]:
    """Return why names are missing."""
    return tuple(finding for item in items if (finding := _judge(item)))


def _judge(item: Mapping[str, Any]) -> Finding | None:
    namespace, name = item["metadata"]["namespace"], item["metadata"]["name"]
    where = f"{names.CREDENTIAL_SHORT} {namespace}/{name}"
    if not item["spec"].get("listSecretNames"):
        patch = f'kubectl -n {namespace} patch spcred {name} --type=merge -p \'{{"spec":{{"listSecretNames":true}}}}\''
        return Finding(Level.WARN, "NotListed", (where,), "listSecretNames is off: its names are not kept.", patch)
    listable = condition(item, reasons.SECRETS_LISTABLE)
    if listable.get("status") == "False":
        return Finding(Level.FAIL, str(listable.get("reason")), (where,), str(listable.get("message")), "")
    found = (item.get("status") or {}).get("secretNames") or []
    if not found:
        return Finding(
            Level.WARN, "NotListed", (where,), "No names are known yet.", f"kubectl wi test {where.split()[0]}/{name}"
        )
    if len(found) >= MOST:
        return Finding(Level.WARN, "Truncated", (where,), f"Only the first {MOST} names are kept.", "")
    return None


def render(listed: Sequence[SecretName], findings: Sequence[Finding]) -> RenderableType:
    """Return a line a secret, and below what is missing."""
    rows = [(each.namespace, f"spcred/{each.credential}", each.name, each.reference) for each in listed]
    parts: list[RenderableType] = [table(("namespace", "credential", "secret", "reference"), rows)] if rows else []
    if findings:
        parts += ([Text("")] if rows else []) + [list_findings(findings)]
    return Group(*(parts or [Text("No SecretProviderCredential here.")]))
