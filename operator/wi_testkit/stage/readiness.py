"""Waiting for workloads, with a diagnosis when it takes too long."""

import time
from collections.abc import Callable, Iterable
from typing import Any

from wi_testkit.controlplane.progress import Progress
from wi_testkit.stage.clusters import Cluster
from wi_testkit.stage.errors import CommandError, StageError

_POLL_SECONDS = 0.5
_LOG_LINES = 8
_EVENTS = 6


def wait_available(
    cluster: Cluster, deployments: Iterable[tuple[str, str]], progress: Progress, timeout: float = 180
) -> None:
    """Return once every deployment (namespace, name) runs its newest pods and no others.

    Raises StageError after ``timeout`` seconds, with what is known about the pods that are missing.
    """
    missing = list(deployments)
    deadline = time.monotonic() + timeout
    while missing:
        for namespace in sorted({namespace for namespace, _ in missing}):
            found = {each["metadata"]["name"]: each for each in cluster.get("deployments", "-n", namespace)["items"]}
            for key in [key for key in missing if key[0] == namespace and is_available(found.get(key[1], {}))]:
                missing.remove(key)
                progress.say(f"{namespace}/{key[1]} is available")
        if missing and time.monotonic() > deadline:
            names = ", ".join(f"{namespace}/{name}" for namespace, name in missing)
            details = [line for namespace in {key[0] for key in missing} for line in diagnose(cluster, namespace)]
            raise StageError("\n".join([f"not available after {timeout:.0f} s: {names}", *details]))
        time.sleep(_POLL_SECONDS if missing else 0)


def is_available(deployment: dict[str, Any]) -> bool:
    """Tell whether a deployment is rolled out, judged by the newest generation."""
    if not deployment:
        return False
    status, wanted = deployment.get("status", {}), deployment["spec"].get("replicas", 1)
    counts = (status.get(name, 0) for name in ("replicas", "updatedReplicas", "availableReplicas"))
    is_seen = status.get("observedGeneration", 0) >= deployment["metadata"]["generation"]
    return is_seen and all(count == wanted for count in counts)


def wait_until(what: str, is_met: Callable[[], bool], *, timeout: float, explain: Callable[[], list[str]]) -> None:
    """Poll until ``is_met``; raises StageError that says ``what`` was awaited, and what ``explain`` knows."""
    deadline = time.monotonic() + timeout
    while not is_met():
        if time.monotonic() > deadline:
            raise StageError("\n".join([f"{what}: not within {timeout:.0f} s", *explain()]))
        time.sleep(_POLL_SECONDS)


def diagnose(cluster: Cluster, namespace: str) -> list[str]:
    """Return lines about a namespace: pods that are not ready with their last words, and the last warnings."""
    try:
        pods = cluster.get("pods", "-n", namespace)["items"]
        lines = [line for pod in pods for line in _diagnose_pod(cluster, pod)]
        events = cluster.get("events", "-n", namespace, "--field-selector=type=Warning")["items"]
    except CommandError as error:
        return [f"  no diagnosis: {error}"]
    events.sort(key=lambda event: event.get("lastTimestamp") or event.get("eventTime") or "")
    shown = [f"  event {event['involvedObject']['name']}: {event['reason']}: {event['message']}" for event in events]
    return lines + shown[-_EVENTS:]


def _diagnose_pod(cluster: Cluster, pod: dict[str, Any]) -> list[str]:
    name, status = pod["metadata"]["name"], pod["status"]
    containers = [*status.get("initContainerStatuses", []), *status.get("containerStatuses", [])]
    troubled = [each for each in containers if not each["ready"] and not _has_succeeded(each)]
    if containers and not troubled:
        return []
    lines = [f"  pod {name}: {status['phase']} {status.get('message', '')}".rstrip()]
    for each in troubled:
        kind, detail = _read_state(each)
        words = [str(detail[key]) for key in ("reason", "exitCode", "message") if detail.get(key)]
        lines.append(f"    {each['name']}: {kind} {' '.join(words)} (restarts: {each['restartCount']})")
        lines += [f"      | {line}" for line in _read_log(cluster, pod["metadata"], each)]
    return lines


def _has_succeeded(container: dict[str, Any]) -> bool:
    ended = container["state"].get("terminated")
    return bool(ended) and ended["exitCode"] == 0


def _read_log(cluster: Cluster, pod: dict[str, Any], container: dict[str, Any]) -> list[str]:
    # A container that waits for its restart has said why in its previous life.
    flags = ["--previous"] if "waiting" in container["state"] and container["restartCount"] else []
    try:
        text = cluster.kubectl(
            "logs", "-n", pod["namespace"], pod["name"], "-c", container["name"], f"--tail={_LOG_LINES}", *flags
        )
    except CommandError:
        return []
    return text.splitlines()


def _read_state(container: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    for kind, detail in container["state"].items():
        return kind, detail
    return "unknown", {}
