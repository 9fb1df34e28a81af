"""The pod's quality of service: what was Guaranteed stays it beside our containers. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any

from wi_operator.admission.quantity import compare
from wi_operator.admission.settings import InjectionSettings

_COUNTED = ("cpu", "memory")


def is_guaranteed(containers: Iterable[Mapping[str, Any]]) -> bool:
    """Tell whether containers (init containers among them) make a pod Guaranteed.

    Each has limits of CPU and memory, and requests that equal them (Kubernetes, "Pod Quality of Service Classes"); the API
    server has set requests that were left out to the limits before the webhook is asked.
    """
    return all(_is_fixed(container.get("resources") or {}) for container in containers)


def keep_guaranteed(settings: InjectionSettings) -> InjectionSettings:
    """Return the settings with resources that leave a pod Guaranteed, or as they are where the chart does not want that."""
    return _fix(settings) if settings.guaranteed_cpu else settings


@lru_cache(maxsize=4)  # of one template after the other; a pod's own choices make settings of its own
def _fix(settings: InjectionSettings) -> InjectionSettings:
    requests, limits = (dict(settings.resources.get(group) or {}) for group in ("requests", "limits"))
    limits.setdefault("cpu", _more(settings.guaranteed_cpu, requests.get("cpu") or "0"))
    limits.setdefault("memory", requests.get("memory") or settings.resource_bounds["memory"].least)
    fixed = {name: limits[name] for name in _COUNTED}
    return replace(settings, resources={"requests": requests | fixed, "limits": limits})


def _is_fixed(resources: Mapping[str, Any]) -> bool:
    requests, limits = resources.get("requests") or {}, resources.get("limits") or {}
    return all(name in limits and _are_equal(requests.get(name), limits[name]) for name in _COUNTED)


def _are_equal(request: str | None, limit: str) -> bool:
    return request is None or request == limit or compare(request, limit) == 0


def _more(first: str, second: str) -> str:
    return first if compare(first, second) >= 0 else second
