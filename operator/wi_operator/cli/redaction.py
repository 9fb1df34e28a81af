"""What may leave a cluster in a support bundle: named fields only, and no value of any variable. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from wi_operator.api import names

REDACTED = "[redacted]"
PATTERNS = (
    re.compile(r"eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*"),
    re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL),
    re.compile(r"(?i)(?<=bearer )[^\s\"']+"),
    re.compile(r"(?i)(?<=[?&]sig=)[^\s\"'&]+"),
)
"""Tokens, private keys and signatures, wherever they stand in a text."""
METADATA = (
    "name",
    "namespace",
    "uid",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "labels",
    "ownerReferences",
)
CONTAINER = (
    "name",
    "image",
    "imagePullPolicy",
    "restartPolicy",
    "resources",
    "securityContext",
    "ports",
    "volumeMounts",
)
POD_SPEC = (
    "restartPolicy", "serviceAccountName", "nodeName", "nodeSelector", "tolerations", "securityContext", "hostNetwork",
    "dnsPolicy", "shareProcessNamespace", "terminationGracePeriodSeconds", "priorityClassName",
)  # fmt: skip
CONTAINERS = ("initContainers", "containers", "ephemeralContainers")
STATUSES = ("initContainerStatuses", "containerStatuses")
OURS = "Workload identity"
"""How every line begins that the launcher writes into a termination message."""


def scrub(text: str) -> str:
    """Take tokens and keys out of a text."""
    for pattern in PATTERNS:
        text = pattern.sub(REDACTED, text)
    return text


def scrub_all(value: Any) -> Any:
    """The same in every text of a JSON value."""
    if isinstance(value, str):
        return scrub(value)
    if isinstance(value, Mapping):
        return {key: scrub_all(each) for key, each in value.items()}
    return [scrub_all(each) for each in value] if isinstance(value, list) else value


def redact_metadata(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Keep names, times, labels and our own annotations: kubectl keeps whole manifests in one of the others."""
    notes = metadata.get("annotations") or {}
    ours = {name: text for name, text in notes.items() if name.startswith(f"{names.GROUP}/")}
    return {**_some(metadata, METADATA), **({"annotations": ours} if ours else {})}


def redact_object(item: Mapping[str, Any]) -> dict[str, Any]:
    """Keep an object that holds no values (our own kinds, policies, webhooks), without foreign annotations."""
    return scrub_all({**item, "metadata": redact_metadata(item["metadata"])})  # type: ignore[no-any-return]


def redact_pod(item: Mapping[str, Any]) -> dict[str, Any]:
    """Keep the shape of a pod: variables by name, no command, no argument, no probe, no volume's content."""
    metadata, spec, status = item["metadata"], item.get("spec") or {}, item.get("status") or {}
    shown = {"metadata": redact_metadata(metadata), "spec": redact_pod_spec(spec), "status": _redact_status(status)}
    return scrub_all(shown)  # type: ignore[no-any-return]


def redact_pod_spec(spec: Mapping[str, Any]) -> dict[str, Any]:
    """The same of a pod's spec alone."""
    shown: dict[str, Any] = _some(spec, POD_SPEC)
    for kind in CONTAINERS:
        if spec.get(kind):
            shown[kind] = [_redact_container(each) for each in spec[kind]]
    shown["volumes"] = [
        {"name": each["name"], "kind": next((key for key in each if key != "name"), "")}
        for each in spec.get("volumes") or []
    ]
    return shown


def redact_workload(item: Mapping[str, Any]) -> dict[str, Any]:
    """Keep the shape of a Deployment."""
    spec = item["spec"]
    template = {"spec": redact_pod_spec((spec.get("template") or {}).get("spec") or {})}
    shown = {
        "metadata": redact_metadata(item["metadata"]),
        "spec": {**_some(spec, ("replicas", "strategy", "selector")), "template": template},
        "status": item.get("status") or {},
    }
    return scrub_all(shown)  # type: ignore[no-any-return]


def redact_event(item: Mapping[str, Any]) -> dict[str, Any]:
    """Keep an event."""
    shown = _some(item, ("type", "reason", "count", "firstTimestamp", "lastTimestamp", "eventTime"))
    shown |= {
        "message": item.get("message") or item.get("note") or "",
        "object": item.get("involvedObject") or item.get("regarding"),
    }
    return scrub_all(shown)  # type: ignore[no-any-return]


def _redact_container(container: Mapping[str, Any]) -> dict[str, Any]:
    env = [{"name": each["name"], **_source(each)} for each in container.get("env") or []]
    return {**_some(container, CONTAINER), **({"env": env} if env else {})}


def _source(variable: Mapping[str, Any]) -> dict[str, Any]:
    if "valueFrom" in variable:
        return {"valueFrom": variable["valueFrom"]}  # names of objects and keys
    return {"value": REDACTED} if variable.get("value") else {}


def _redact_status(status: Mapping[str, Any]) -> dict[str, Any]:
    shown = _some(status, ("phase", "conditions", "reason", "startTime", "qosClass"))
    for kind in STATUSES:
        if status.get(kind):
            shown[kind] = [_redact_container_status(each) for each in status[kind]]
    return shown


def _redact_container_status(status: Mapping[str, Any]) -> dict[str, Any]:
    shown = _some(status, ("name", "image", "imageID", "ready", "started", "restartCount"))
    for when in ("state", "lastState"):
        shown[when] = {kind: _redact_state(each) for kind, each in (status.get(when) or {}).items()}
    return shown


def _redact_state(state: Mapping[str, Any]) -> dict[str, Any]:
    """An application may write anything into its termination message: only the launcher's is kept."""
    message = str(state.get("message") or "")
    kept = {key: value for key, value in state.items() if key != "message"}
    return {**kept, "message": message if message.startswith(OURS) else REDACTED} if message else kept


def _some(value: Mapping[str, Any], keys: tuple[str, ...]) -> dict[str, Any]:
    return {key: value[key] for key in keys if key in value}
