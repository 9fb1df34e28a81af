"""Warnings for objects of the two kinds that are accepted but not served yet."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from wi_operator.api import names, reasons
from wi_operator.index.objects import AZURE, Credential
from wi_operator.index.resolve import unsupported


def unsupported_yet(kind: str, item: Mapping[str, Any]) -> list[str]:
    """List what this version does not do with the object."""
    if kind == names.CREDENTIAL_KIND:
        refusal = unsupported(Credential.from_object(item))
        return [f"{refusal.reason}: {refusal.message}"] if refusal else []
    provider = (item.get("spec") or {}).get("provider")
    if kind != names.CONFIG_KIND or provider == AZURE:
        return []
    return [
        f"{reasons.NOT_SUPPORTED_YET}: provider: {provider} is accepted, but this version federates with Azure only."
    ]
