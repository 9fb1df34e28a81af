"""What all objects have in common that the controller makes in its own namespace."""

from __future__ import annotations

from typing import Any

from wi_operator.api import names

PART_OF = {"app.kubernetes.io/part-of": names.FIELD_MANAGER}


def system_object(kind: str, name: str, namespace: str) -> dict[str, Any]:
    """Return the head of a core object."""
    metadata = {"name": name, "namespace": namespace, "labels": dict(PART_OF)}
    return {"apiVersion": "v1", "kind": kind, "metadata": metadata}
