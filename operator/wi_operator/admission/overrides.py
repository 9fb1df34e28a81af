"""What a pod may choose about its sidecar by annotation: resources and log level, within the chart's bounds. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from wi_operator.admission.quantity import compare
from wi_operator.admission.settings import InjectionSettings
from wi_operator.api import names
from wi_operator.federation.diagnosis import admission as rows

_OURS = (*names.SIDECAR_RESOURCE_ANNOTATIONS, names.SIDECAR_LOG_LEVEL_ANNOTATION)


def override(settings: InjectionSettings, annotations: Mapping[str, str]) -> InjectionSettings:
    """Return the settings with the pod's choices; those that ``find_faults`` complains of are left out."""
    chosen = _choose(annotations)
    if not chosen:
        return settings
    faulty = {name for name, _ in _faults(settings, chosen)}
    resources = {group: dict(amounts) for group, amounts in settings.resources.items()}
    for name, (group, resource) in names.SIDECAR_RESOURCE_ANNOTATIONS.items():
        if name in chosen and name not in faulty:
            resources.setdefault(group, {})[resource] = chosen[name]
    level = chosen.get(names.SIDECAR_LOG_LEVEL_ANNOTATION, settings.log_level)
    is_faulty = names.SIDECAR_LOG_LEVEL_ANNOTATION in faulty
    return replace(settings, resources=resources, log_level=settings.log_level if is_faulty else level)


def find_faults(settings: InjectionSettings, annotations: Mapping[str, str]) -> Iterator[str]:
    """Yield what is wrong with the pod's choices."""
    chosen = _choose(annotations)
    if not chosen:
        return
    for name, detail in _faults(settings, chosen):
        yield rows.tell(f"annotation {name}", rows.INVALID_OVERRIDE, object=repr(chosen[name]), detail=detail)
    resources = override(settings, annotations).resources
    for resource in settings.resource_bounds:
        request, limit = (_amount(resources, group, resource) for group in ("requests", "limits"))
        if request and limit and compare(request, limit) > 0:
            yield rows.tell("the sidecar", rows.REQUEST_OVER_LIMIT, object=f"{resource} {request}", detail=limit)


def _faults(settings: InjectionSettings, chosen: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield annotation and what may be written."""
    for name, value in chosen.items():
        if name == names.SIDECAR_LOG_LEVEL_ANNOTATION:
            if value not in settings.log_levels:
                yield name, f"one of {', '.join(settings.log_levels)}"
            continue
        bounds = settings.resource_bounds[names.SIDECAR_RESOURCE_ANNOTATIONS[name][1]]
        if not _is_within(value, bounds.least, bounds.most):
            yield name, f"a quantity from {bounds.least} to {bounds.most}"


def _choose(annotations: Mapping[str, str]) -> dict[str, str]:
    return {name: annotations[name] for name in _OURS if name in annotations}


def _is_within(value: str, least: str, most: str) -> bool:
    try:
        return compare(least, value) <= 0 <= compare(most, value)
    except ValueError:
        return False


def _amount(resources: Mapping[str, Any], group: str, resource: str) -> str:
    return str(resources.get(group, {}).get(resource, ""))
