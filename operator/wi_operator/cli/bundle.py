"""``kubectl wi doctor --bundle``: what a maintainer needs to see, redacted, as a tar archive."""

from __future__ import annotations

import asyncio
import io
import json
import os
import tarfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from wi_operator.api import names
from wi_operator.cli.checks import Check
from wi_operator.cli.complaints import Complaint
from wi_operator.cli.redaction import redact_event, redact_object, redact_pod, redact_workload, scrub
from wi_operator.cluster.client import KubernetesClient
from wi_operator.cluster.errors import ApiError
from wi_operator.cluster.paths import (
    CONFIGS,
    CREDENTIALS,
    PODS,
    configmaps_path,
    events_path,
    webhook_configuration_path,
)

LOG_LINES = "2000"
FOLDER = "wi-support"
SYSTEM = names.SYSTEM_NAMESPACE
INJECTED = {"labelSelector": f"{names.INJECT_LABEL}=true"}
Redact = Callable[[Mapping[str, Any]], dict[str, Any]]
LISTS: Sequence[tuple[str, str, Mapping[str, str], Redact]] = (
    ("configs", CONFIGS, {}, redact_object),
    ("credentials", CREDENTIALS, {}, redact_object),
    ("injected-pods", PODS, INJECTED, redact_pod),
    ("operator-pods", f"/api/v1/namespaces/{SYSTEM}/pods", {}, redact_pod),
    ("operator-deployments", f"/apis/apps/v1/namespaces/{SYSTEM}/deployments", {}, redact_workload),
    ("operator-events", events_path(SYSTEM), {}, redact_event),
    ("policies", "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies", {}, redact_object),
    ("policy-bindings", "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings", {}, redact_object),
)
OURS = "wi-"
"""Policies of others stay where they are."""
OBJECTS = {
    "mutating-webhook": webhook_configuration_path("mutating", names.WEBHOOK_CONFIGURATION),
    "validating-webhook": webhook_configuration_path("validating", names.WEBHOOK_CONFIGURATION),
    "key-record": configmaps_path(SYSTEM, names.STATE_CONFIGMAP),
}


async def write_bundle(client: KubernetesClient, path: str, checks: Sequence[Check], now: float) -> None:
    """Write the archive to ``path``; what may not be read is named in it. Raises ``Complaint`` when it cannot be written."""
    files = await collect(client, checks)
    try:
        await asyncio.to_thread(_write, path, files, now)
    except OSError as error:
        raise Complaint(f"{path} cannot be written: {error.strerror}.") from error


def _write(path: str, files: Mapping[str, str], now: float) -> None:
    # Redacted, and still nobody else's business on a shared machine.
    with (
        open(path, "wb", opener=lambda name, flags: os.open(name, flags, 0o600)) as file,
        tarfile.open(fileobj=file, mode="w:gz") as archive,
    ):
        for name, text in sorted(files.items()):
            data = text.encode()
            entry = tarfile.TarInfo(f"{FOLDER}/{name}")
            entry.size, entry.mode, entry.mtime = len(data), 0o600, int(now)
            archive.addfile(entry, io.BytesIO(data))


async def collect(client: KubernetesClient, checks: Sequence[Check]) -> dict[str, str]:
    """Return the files by name; raises nothing of the API."""
    files: dict[str, str] = {"doctor.json": _json([{**asdict(check), "level": check.level.value} for check in checks])}
    missing: dict[str, str] = {}
    await asyncio.gather(
        *(_list(client, files, missing, *each) for each in LISTS),
        *(_read(client, files, missing, name, path) for name, path in OBJECTS.items()),
    )
    await _read_logs(client, files, missing)
    if missing:
        files["missing.json"] = _json(missing)
    return files


async def _list(
    client: KubernetesClient,
    files: dict[str, str],
    missing: dict[str, str],
    name: str,
    path: str,
    selectors: Mapping[str, str],
    redact: Redact,
) -> None:
    try:
        items, _ = await client.list(path, selectors=selectors)
    except ApiError as error:
        missing[name] = str(error)
        return
    shown = [item for item in items if not name.startswith("polic") or item["metadata"]["name"].startswith(OURS)]
    files[f"{name}.json"] = _json([redact(item) for item in shown])


async def _read(client: KubernetesClient, files: dict[str, str], missing: dict[str, str], name: str, path: str) -> None:
    try:
        files[f"{name}.json"] = _json(redact_object(await client.get(path)))
    except ApiError as error:
        missing[name] = str(error)


async def _read_logs(client: KubernetesClient, files: dict[str, str], missing: dict[str, str]) -> None:
    """Only of our own containers: an application's log is its own."""
    pods = [(SYSTEM, each["metadata"]["name"], "") for each in json.loads(files.get("operator-pods.json", "[]"))]
    pods += [
        (each["metadata"]["namespace"], each["metadata"]["name"], names.SIDECAR)
        for each in json.loads(files.get("injected-pods.json", "[]"))
    ]
    for namespace, pod, container in pods:
        query = {"tailLines": LOG_LINES, **({"container": container} if container else {})}
        try:
            text = await client.read_text(f"/api/v1/namespaces/{namespace}/pods/{pod}/log", **query)
        except ApiError as error:
            missing[f"log of {namespace}/{pod}"] = str(error)
            continue
        files[f"logs/{namespace}-{pod}.log"] = scrub(text)


def _json(value: Any) -> str:
    return json.dumps(value, indent=1, ensure_ascii=False) + "\n"
