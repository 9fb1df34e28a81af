"""Injected pods: what became of their kickoffs. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from wi_operator.api import names
from wi_operator.cli.findings import Finding, Level, split
from wi_operator.federation.diagnosis.table import ROWS

REFUSED_EXIT = 78
"""Exit code of a refused kickoff."""
DECLARATION = "WI_DECLARATION"
SCHEME = "secret://"
REASONS = {row.reason for row in ROWS}


@dataclass(frozen=True, slots=True)
class Pod:
    """``secrets`` counts the variables declared; ``refusal`` is the termination message of a refused kickoff.

    ``is_literal``: a variable still holds a reference, and there is no sidecar.
    """

    namespace: str
    name: str
    state: str
    is_literal: bool
    secrets: int
    created: str
    refusal: str
    warnings: str


def read_pod(item: Mapping[str, Any]) -> Pod:
    """Read the API's JSON of a labelled pod."""
    metadata, spec, status = item["metadata"], item["spec"], item.get("status") or {}
    sidecar = next((each for each in spec.get("initContainers") or [] if each["name"] == names.SIDECAR), None)
    refusal = _refusal(status)
    return Pod(
        namespace=metadata["namespace"],
        name=metadata["name"],
        state="Refused" if refusal else _state(metadata, status),
        is_literal=sidecar is None and _holds_reference(spec),
        secrets=_count(sidecar or {}),
        created=metadata.get("creationTimestamp", ""),
        refusal=refusal,
        warnings=(metadata.get("annotations") or {}).get(names.WARNINGS_ANNOTATION, ""),
    )


def _state(metadata: Mapping[str, Any], status: Mapping[str, Any]) -> str:
    if metadata.get("deletionTimestamp"):
        return "Terminating"
    main = status.get("containerStatuses") or []
    has_begun = any(
        {"running", "terminated"} & {*(each.get("state") or {}), *(each.get("lastState") or {})} for each in main
    )
    for each in status.get("initContainerStatuses") or []:
        if reason := _waits_for(each):
            # Beside an application that runs it is a sidecar that crashes, and nothing waits for it.
            return f"{each['name'] if has_begun else 'Init'}:{reason}"
    return next(filter(None, map(_waits_for, main)), str(status.get("phase", "Unknown")))


def _waits_for(container: Mapping[str, Any]) -> str:
    reason = ((container.get("state") or {}).get("waiting") or {}).get("reason", "")
    return "" if reason == "PodInitializing" else reason


def _refusal(status: Mapping[str, Any]) -> str:
    for each in [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]:
        if each["name"] == names.SIDECAR:
            continue  # it ends like this for settings of its own; it refuses by answering
        for state in (each.get("state") or {}, each.get("lastState") or {}):
            ended = state.get("terminated") or {}
            if ended.get("exitCode") == REFUSED_EXIT:
                return str(ended.get("message") or "The kickoff was refused; its log says why.")
    return ""


def _holds_reference(spec: Mapping[str, Any]) -> bool:
    containers = [*(spec.get("initContainers") or []), *spec["containers"]]
    return any(str(e.get("value") or "").startswith(SCHEME) for each in containers for e in each.get("env") or [])


def _count(sidecar: Mapping[str, Any]) -> int:
    declared = next((e.get("value") or "" for e in sidecar.get("env") or [] if e["name"] == DECLARATION), "")
    try:
        containers = json.loads(declared)["containers"].values()
        return sum("reference" in entry for each in containers for entry in each["entries"])
    except (ValueError, LookupError, TypeError, AttributeError):
        return 0


def judge_pods(pods: Iterable[Pod]) -> Iterator[Finding]:
    """Yield what is wrong with them."""
    for pod in pods:
        where = f"pod {pod.namespace}/{pod.name}"
        if pod.is_literal:
            yield Finding(
                Level.FAIL,
                "NotInjected",
                (where,),
                "A variable holds a reference, and there is no sidecar: the injector did not run when it was made.",
                "Delete it, so that it is made anew; if that is refused, kubectl wi doctor tells why.",
            )
        elif pod.refusal:
            yield _of_refusal(where, pod.refusal)
        if pod.warnings:
            yield Finding(
                Level.WARN, "InjectionWarning", (where,), pod.warnings, "kubectl wi test shows whether it still holds."
            )


def _of_refusal(where: str, text: str) -> Finding:
    """Split the launcher's words: a headline, then one line for each group of variables with reason, cause and remedy."""
    lines = [line for line in text.splitlines() if line and not line.startswith("Workload identity kickoff failed")]
    told = lines[0] if lines else text
    reason = next((word for word in told.replace(":", " ").split() if word in REASONS), "KickoffRefused")
    remedies = [line.removeprefix("What to do: ") for line in lines if line.startswith("What to do: ")]
    if remedies:
        return Finding(Level.FAIL, reason, (where,), told, remedies[0])
    cause, remedy = split(reason, told)
    return Finding(Level.FAIL, reason, (where,), cause, remedy)
