"""Ephemeral containers: they have no sidecar of their own and are added to a pod that already runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from wi_operator.api import names
from wi_operator.api.reference import is_reference


def unusable_ephemeral_containers(pod: Mapping[str, Any], old: Mapping[str, Any]) -> Iterator[str]:
    """Yield problems of the containers that this request adds."""
    before = {container["name"] for container in _ephemeral(old)}
    for container in _ephemeral(pod):
        name = container["name"]
        if name in before:
            continue
        if name.startswith(names.RESERVED_PREFIX):
            yield f"ephemeral container '{name}': names that begin with {names.RESERVED_PREFIX} are the operator's"
        for item in container.get("env") or ():
            if is_reference(item.get("value") or ""):
                yield (
                    f"ephemeral container '{name}', variable '{item.get('name', '')}': an ephemeral container takes no "
                    "secret; put the reference into a container of the pod template"
                )


def _ephemeral(pod: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return (pod.get("spec") or {}).get("ephemeralContainers") or []
