"""The init container ``wi-env`` of the mode ``envfile``: one kickoff for each container, one file for the kubelet."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from wi_operator.admission.mutate.sidecar import no_api_token_mount, security_context
from wi_operator.admission.plan import run_volume
from wi_operator.admission.settings import InjectionSettings
from wi_operator.api import names


def build_env_writer(containers: Sequence[str], settings: InjectionSettings) -> dict[str, Any]:
    """The container that writes the files of ``containers``; it ends before theirs start."""
    container: dict[str, Any] = {
        "name": names.ENV_WRITER,
        "image": settings.sidecar_image,
        "args": ["envfile"],
        "env": [
            {"name": "WI_CONTAINERS", "value": ",".join(containers)},
            {"name": "WI_RUN_DIR", "value": names.RUN_DIR},
            {"name": "WI_ENV_DIR", "value": names.ENV_DIR},
        ],
        "resources": dict(settings.resources),
        "securityContext": security_context(settings.sidecar_uid),
        "volumeMounts": [
            *(
                {"name": run_volume(name), "mountPath": f"{names.RUN_DIR}/{name}", "readOnly": True}
                for name in containers
            ),
            {"name": names.ENV_VOLUME, "mountPath": names.ENV_DIR},
            no_api_token_mount(),
        ],
    }
    if settings.image_pull_policy:
        container["imagePullPolicy"] = settings.image_pull_policy
    return container


def file_reference(container: str, variable: str) -> dict[str, Any]:
    """The env entry through which the kubelet reads ``variable`` of ``container`` (Kubernetes 1.35)."""
    source = {"volumeName": names.ENV_VOLUME, "path": f"{container}.env", "key": variable, "optional": False}
    return {"name": variable, "valueFrom": {"fileKeyRef": source}}
