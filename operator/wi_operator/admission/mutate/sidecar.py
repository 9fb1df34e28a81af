"""The sidecar: a native sidecar (init container that restarts), placed before whoever needs it first."""

from __future__ import annotations

from typing import Any

from wi_kickoff import wire
from wi_operator.admission import declaration
from wi_operator.admission.declaration import Declaration
from wi_operator.admission.expansion import escape
from wi_operator.admission.patch import Patch
from wi_operator.admission.plan import INIT_CONTAINERS, Plan, run_volume
from wi_operator.admission.settings import InjectionSettings
from wi_operator.api import names

# Not below /var/run/wi: where /var/run is a link to /run (Debian), that is the folder of the sockets.
TOKEN_DIR = f"/var/run/secrets/{names.GROUP}"


def build_sidecar(declared: Declaration, settings: InjectionSettings) -> dict[str, Any]:
    """The container for a declaration."""
    container: dict[str, Any] = {
        "name": names.SIDECAR,
        "image": settings.sidecar_image,
        "args": ["sidecar"],
        "restartPolicy": "Always",
        "env": _env(declared, settings),
        "resources": dict(settings.resources),
        "securityContext": security_context(settings.sidecar_uid),
        "startupProbe": _startup_probe(declared),
        "volumeMounts": _mounts(declared),
    }
    if settings.image_pull_policy:
        container["imagePullPolicy"] = settings.image_pull_policy
    return container


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


def _startup_probe(declared: Declaration) -> dict[str, Any]:
    last = list(declared)[-1] if declared else ""
    # "Listening", never "reached the cloud": a sidecar that waited for that would hang the pod instead of failing it.
    test = ["test", "-f", f"{names.RUN_DIR}/{last}/{wire.STARTED_NAME}"]
    return {"exec": {"command": test}, "periodSeconds": 1, "failureThreshold": 60}


def _mounts(declared: Declaration) -> list[dict[str, Any]]:
    return [
        *({"name": run_volume(name), "mountPath": f"{names.RUN_DIR}/{name}"} for name in declared),
        {"name": names.TOKEN_VOLUME, "mountPath": TOKEN_DIR, "readOnly": True},
        # Without something at this path the ServiceAccount plugin mounts the application's API token here.
        {"name": names.NO_API_TOKEN_VOLUME, "mountPath": names.API_TOKEN_DIR, "readOnly": True},
    ]


def place_sidecar(plan: Plan, patch: Patch) -> None:
    """Add the sidecar, or bring the one of an earlier call up to date and to its place."""
    path = ("spec", INIT_CONTAINERS)
    wanted = _position(plan)
    if plan.sidecar is None:
        container = build_sidecar(plan.declaration, plan.settings)
        if plan.spec.get(INIT_CONTAINERS):
            patch.add(*path, wanted, value=container)
        else:
            patch.add(*path, value=[container])
        return
    if dict(plan.declared) != plan.declaration:
        patch.replace(*path, plan.sidecar, value=build_sidecar(plan.declaration, plan.settings))
    if wanted != plan.sidecar:
        patch.move((*path, plan.sidecar), (*path, wanted))


def _position(plan: Plan) -> int:
    """Index among the other init containers: immediately before the first that takes a secret, else last."""
    before = plan.sidecar
    others = len(plan.spec.get(INIT_CONTAINERS) or ()) - (before is not None)
    users = [target.position for target in plan.targets if target.group == INIT_CONTAINERS]
    if not users:
        return others
    return users[0] - (before is not None and before < users[0])
