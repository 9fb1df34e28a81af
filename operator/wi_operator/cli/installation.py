"""The installation in ``wi-system`` as a user may see it: deployments, issuer URL, timetable of the keys."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from wi_operator.api import names
from wi_operator.cluster.client import KubernetesClient
from wi_operator.cluster.errors import ForbiddenError, NotFoundError
from wi_operator.cluster.paths import configmaps_path
from wi_operator.federation.keys import KeysError
from wi_operator.federation.timetable import STATE_FILE, Timetable

AGAIN = "Install the chart again: helm upgrade --install …"
DEPLOYMENTS = (names.CONTROLLER, names.ISSUER, names.WEBHOOK)


@dataclass(frozen=True, slots=True)
class Process:
    """A Deployment of the operator; ``is_visible`` is false for who may not read it."""

    name: str
    ready: int = 0
    desired: int = 0
    image: str = ""
    is_visible: bool = True
    is_there: bool = True

    @property
    def is_well(self) -> bool:
        """True when every replica is ready, and there is one."""
        return self.is_there and 0 < self.desired <= self.ready

    @property
    def remedy(self) -> str:
        """What to do when it is not."""
        system = f"kubectl -n {names.SYSTEM_NAMESPACE}"
        if not self.is_there:
            return AGAIN
        if not self.desired:
            return f"{system} scale deploy/{self.name} --replicas=2"
        return f"{system} describe deploy/{self.name} and {system} logs deploy/{self.name}"


@dataclass(frozen=True, slots=True)
class Installation:
    """``issuer_url`` is ``None`` and ``timetable`` too when they are not to be seen."""

    processes: tuple[Process, ...]
    issuer_url: str | None
    timetable: Timetable | None
    own_keys: bool = False


def deployment_path(name: str) -> str:
    """Where the API has a Deployment of the operator."""
    return f"/apis/apps/v1/namespaces/{names.SYSTEM_NAMESPACE}/deployments/{name}"


async def read_installation(client: KubernetesClient) -> Installation:
    """Read what may be read; raises ``ApiError`` only when nobody answers."""
    *deployments, state = await asyncio.gather(
        *(read_quietly(client, deployment_path(name)) for name in DEPLOYMENTS),
        read_quietly(client, configmaps_path(names.SYSTEM_NAMESPACE, names.STATE_CONFIGMAP)),
    )
    processes = tuple(_process(name, item) for name, item in zip(DEPLOYMENTS, deployments, strict=True))
    controller, issuer = deployments[0] or {}, deployments[1]
    return Installation(
        processes=processes,
        issuer_url=None if not issuer else variable(issuer, "WI_PUBLIC_URL"),
        timetable=_timetable(state),
        own_keys=variable(controller, "WI_OWN_KEYS") == "true",
    )


async def read_quietly(client: KubernetesClient, path: str) -> Mapping[str, Any] | None:
    """Read an object: empty when there is none, ``None`` when it may not be read."""
    try:
        return await client.get(path)
    except NotFoundError:
        return {}
    except ForbiddenError:
        return None


def variable(deployment: Mapping[str, Any], name: str) -> str:
    """Return an env value of a Deployment's first container."""
    template = ((deployment.get("spec") or {}).get("template") or {}).get("spec") or {}
    containers = template.get("containers") or [{}]
    return next((e.get("value") or "" for e in containers[0].get("env") or [] if e.get("name") == name), "")


def _process(name: str, item: Mapping[str, Any] | None) -> Process:
    if item is None:
        return Process(name, is_visible=False)
    if not item:
        return Process(name, is_there=False)
    spec, status = item["spec"], item.get("status") or {}
    return Process(
        name=name,
        ready=status.get("readyReplicas", 0),
        desired=spec.get("replicas", 1),
        image=spec["template"]["spec"]["containers"][0].get("image", ""),
    )


def _timetable(state: Mapping[str, Any] | None) -> Timetable | None:
    if not state:
        return None
    try:
        return Timetable.parse((state.get("data") or {}).get(STATE_FILE, ""))
    except KeysError:
        return Timetable(())
