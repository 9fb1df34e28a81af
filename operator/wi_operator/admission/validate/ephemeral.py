"""Ephemeral containers: they have no sidecar of their own and are added to a pod that already runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from wi_operator.api import names
from wi_operator.api.reference import is_reference
from wi_operator.federation.diagnosis import admission as rows


def unusable_ephemeral_containers(pod: Mapping[str, Any], old: Mapping[str, Any]) -> Iterator[str]:
    """Yield problems of the containers that this request adds."""
    before = {container["name"] for container in _ephemeral(old)}
    for container in _ephemeral(pod):
        name, place = container["name"], f"ephemeral container '{container['name']}'"
        if name in before:
            continue
        if name.startswith(names.RESERVED_PREFIX):
            yield rows.tell(place, rows.RESERVED_NAME)
        for item in container.get("env") or ():
            if is_reference(item.get("value") or ""):
                yield rows.tell(f"{place}, variable '{item.get('name', '')}'", rows.EPHEMERAL_SECRET)


def _ephemeral(pod: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return (pod.get("spec") or {}).get("ephemeralContainers") or []
