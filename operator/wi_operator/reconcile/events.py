"""One Kubernetes event per change of Ready's reason, and per default or organization that changed."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Mapping
from typing import Any

from wi_operator.api import names
from wi_operator.cluster.client import KubernetesClient
from wi_operator.cluster.errors import ApiError
from wi_operator.cluster.paths import events_path
from wi_operator.core.clock import format_rfc3339
from wi_operator.core.log import fields
from wi_operator.reconcile.render import ready_of

MESSAGE_LIMIT = 1024

log = logging.getLogger(__name__)


def render_event(
    kind: str, item: Mapping[str, Any], status: Mapping[str, Any], *, instance: str, now: float
) -> dict[str, Any] | None:
    """Return the event that tells how Ready's reason changed to ``status``, or ``None`` when it did not."""
    before, after = ready_of(item.get("status") or {}), ready_of(status)
    if before.get("reason") == after.get("reason") or not after:
        return None
    kind_of_event = "Normal" if after["status"] == "True" else "Warning"
    return _render(kind, item, kind_of_event, after["reason"], after["message"], instance=instance, now=now)


def render_change(
    kind: str, item: Mapping[str, Any], reason: str, message: str, *, instance: str, now: float
) -> dict[str, Any]:
    """Return the warning that tells what changed under an object: its default config, its organization, its key."""
    return _render(kind, item, "Warning", reason, message, instance=instance, now=now)


def _render(
    kind: str, item: Mapping[str, Any], event_type: str, reason: str, message: str, *, instance: str, now: float
) -> dict[str, Any]:
    metadata, moment = item["metadata"], format_rfc3339(now)
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": f"{metadata['name'][:200]}.{uuid.uuid4().hex[:16]}", "namespace": metadata["namespace"]},
        "involvedObject": {
            "apiVersion": item.get("apiVersion") or names.API_VERSION,
            "kind": kind,
            "name": metadata["name"],
            "namespace": metadata["namespace"],
            "uid": metadata["uid"],
            "resourceVersion": metadata["resourceVersion"],
        },
        "type": event_type,
        "reason": reason,
        "message": message[:MESSAGE_LIMIT],
        "source": {"component": names.CONTROLLER},
        "reportingComponent": f"{names.GROUP}/controller",
        "reportingInstance": instance[:128],
        "firstTimestamp": moment,
        "lastTimestamp": moment,
        "count": 1,
    }


async def post_event(client: KubernetesClient, event: Mapping[str, Any]) -> None:
    """Create the event; a failure is logged only: the condition already says the same."""
    try:
        await client.create(events_path(event["metadata"]["namespace"]), event)
    except ApiError as error:
        log.warning("event not written", extra=fields(error=str(error)))
