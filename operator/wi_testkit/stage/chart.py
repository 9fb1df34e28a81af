"""The chart: where it is, and what it renders."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from wi_testkit.controlplane import binaries
from wi_testkit.controlplane.modules import HELM
from wi_testkit.controlplane.progress import Progress
from wi_testkit.stage.commands import run
from wi_testkit.stage.images import ROOT

CHART = ROOT / "charts" / "workload-identity-operator"
DEFINITIONS = ROOT / "crds"
"""The custom resource definitions, as they are installed apart."""
RELEASE = "workload-identity-operator"
NAMESPACE = "wi-system"


def render_chart(
    values: Mapping[str, Any], *, only: Sequence[str] = (), flags: Sequence[str] = (), progress: Progress | None = None
) -> str:
    """Return what ``helm template`` prints; raises CommandError with its complaint.

    ``only`` are names of templates without folder and ending, ``flags`` are further flags of Helm.
    """
    helm = binaries.find_program(HELM, "helm", progress)
    shown = [f"--show-only=templates/{part}.yaml" for part in only]
    command: list[str | Path] = [
        helm,
        "template",
        RELEASE,
        CHART,
        f"--namespace={NAMESPACE}",
        "--values=-",
        *shown,
        *flags,
    ]
    return run(command, stdin=json.dumps(values))


def render_objects(values: Mapping[str, Any], **options: Any) -> list[dict[str, Any]]:
    """Return the objects of :func:`render_chart`."""
    return [item for item in yaml.safe_load_all(render_chart(values, **options)) if item]
