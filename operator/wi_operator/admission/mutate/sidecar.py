"""The sidecar: a native sidecar (init container that restarts)."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from wi_kickoff import wire
from wi_operator.admission import declaration
from wi_operator.admission.declaration import Declaration, Entry
from wi_operator.admission.expansion import escape
from wi_operator.admission.keeping import is_small
from wi_operator.admission.plan import run_volume
from wi_operator.admission.settings import InjectionSettings
from wi_operator.api import names

# Not below /var/run/wi: where /var/run is a link to /run (Debian), that is the folder of the sockets.
TOKEN_DIR = f"/var/run/secrets/{names.GROUP}"
START_SECONDS = 60


def build_sidecar(declared: Declaration, settings: InjectionSettings) -> dict[str, Any]:
    """The container for a declaration; it is shared, and must not be changed."""
    written = [(entry.name, entry.text) for entries in declared.values() for entry in entries]
    return (_build_kept if is_small(written) else _build)(tuple(declared.items()), settings)


def _build(items: tuple[tuple[str, tuple[Entry, ...]], ...], settings: InjectionSettings) -> dict[str, Any]:
    declared = dict(items)
    container: dict[str, Any] = {
        "name": names.SIDECAR,
        "image": settings.sidecar_image,
        "args": ["sidecar"],
        "restartPolicy": "Always",
        "env": _env(declared, settings),
        "resources": dict(settings.resources),
        "securityContext": security_context(settings.sidecar_uid),
        "lifecycle": _await_sockets(declared),
        "volumeMounts": _mounts(declared),
    }
    if settings.image_pull_policy:
        container["imagePullPolicy"] = settings.image_pull_policy
    return container


_build_kept = lru_cache(maxsize=64)(_build)  # pods come from templates: the same sidecar again and again


def security_context(uid: int | None) -> dict[str, Any]:
    """Pod Security Standards, profile restricted; complete in itself, whatever the pod's own securityContext says."""
    context: dict[str, Any] = {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "privileged": False,
        "readOnlyRootFilesystem": True,
        "runAsNonRoot": True,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    if uid is not None:
        context |= {"runAsUser": uid, "runAsGroup": uid}
    return context


def _env(declared: Declaration, settings: InjectionSettings) -> list[dict[str, str]]:
    return [
        {"name": declaration.VARIABLE, "value": declaration.write(declared)},
        {"name": "WI_GRANTS_URL", "value": escape(settings.grants_url)},
        {"name": "WI_CA_BUNDLE", "value": escape(settings.ca_bundle)},
        {"name": "WI_TOKEN_FILE", "value": f"{TOKEN_DIR}/token"},
        {"name": "WI_RUN_DIR", "value": names.RUN_DIR},
        {"name": "WI_LOG_LEVEL", "value": escape(settings.log_level)},
        *({"name": name, "value": escape(value)} for name, value in settings.environment.items()),
    ]


def _await_sockets(declared: Declaration) -> dict[str, Any]:
    """Hold back the containers that follow until the sidecar listens; after ``START_SECONDS`` it is started again.

    Not by a startup probe: some kubelets of 1.32 to 1.35 can lose one, and then never start (again) what waits for it;
    and they look once a second only, where this takes as long as the sidecar does (decision 12).
    """
    last = list(declared)[-1] if declared else ""
    # "Listening", never "reached the cloud": a sidecar that waited for that would hang the pod instead of failing it.
    wait = ["sh", "-c", 'until test -f "$0"; do sleep 0.02; done', f"{names.RUN_DIR}/{last}/{wire.STARTED_NAME}"]
    return {"postStart": {"exec": {"command": ["timeout", str(START_SECONDS), *wait]}}}


def _mounts(declared: Declaration) -> list[dict[str, Any]]:
    return [
        *({"name": run_volume(name), "mountPath": f"{names.RUN_DIR}/{name}"} for name in declared),
        {"name": names.TOKEN_VOLUME, "mountPath": TOKEN_DIR, "readOnly": True},
        no_api_token_mount(),
    ]


def no_api_token_mount() -> dict[str, Any]:
    """Without something at this path the ServiceAccount plugin mounts the application's API token here."""
    return {"name": names.NO_API_TOKEN_VOLUME, "mountPath": names.API_TOKEN_DIR, "readOnly": True}
