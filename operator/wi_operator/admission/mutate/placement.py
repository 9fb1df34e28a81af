"""Puts our init containers, side by side, before whoever needs them first."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from wi_operator.admission.content import PLATFORM_FIELDS
from wi_operator.admission.mutate.env_writer import build_env_writer
from wi_operator.admission.mutate.sidecar import build_sidecar
from wi_operator.admission.patch import Patch
from wi_operator.admission.plan import INIT_CONTAINERS, Plan


def place_containers(plan: Plan, patch: Patch) -> None:
    """Add sidecar and ``wi-env``, or bring those of an earlier call up to date and to their place."""
    path = ("spec", INIT_CONTAINERS)
    present = plan.spec.get(INIT_CONTAINERS) or []
    wanted = [_sidecar(plan), *_env_writers(plan)]
    if not present:
        patch.add(*path, value=wanted)
        return
    place = _find_place(plan)
    if wanted == present[place : place + len(wanted)] and len(plan.own) == len(wanted):
        return
    for position in sorted(plan.own, reverse=True):
        patch.remove(*path, position)
    for offset, container in enumerate(wanted):
        patch.add(*path, place + offset, value=container)


def _sidecar(plan: Plan) -> dict[str, Any]:
    return _renew(plan, plan.sidecar, lambda: build_sidecar(plan.declaration, plan.settings))


def _env_writers(plan: Plan) -> list[dict[str, Any]]:
    containers = plan.envfile_containers
    if not containers:
        return []
    return [_renew(plan, plan.env_writer, lambda: build_env_writer(containers, plan.settings))]


def _renew(plan: Plan, earlier: int | None, build: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """The one that is there, if it was told the same: others may have added to it. Else a new one, with what a platform
    made of the earlier one: it may not be asked again.
    """
    if earlier is None:
        return build()
    present: dict[str, Any] = plan.spec[INIT_CONTAINERS][earlier]
    if dict(plan.declared) == plan.declaration:
        return present
    return build() | {field: present[field] for field in PLATFORM_FIELDS if field in present}


def _find_place(plan: Plan) -> int:
    """Index among the other init containers: immediately before the first that takes a secret, else last."""
    others = [position for position in range(len(plan.spec[INIT_CONTAINERS])) if position not in plan.own]
    users = [target.position for target in plan.targets if target.group == INIT_CONTAINERS]
    return others.index(users[0]) if users else len(others)
