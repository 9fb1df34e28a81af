"""Is what stands in the pod ours? Compared by content: Kubernetes fills in defaults, other webhooks add fields."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

PLATFORM_FIELDS = ("resources", "imagePullPolicy", "securityContext")
"""What platforms and policies change on every container: GKE Autopilot's smallest requests, AlwaysPullImages, OpenShift."""

_PLATFORM_IDENTITY = frozenset({"runAsUser", "runAsGroup", "seLinuxOptions"})
# With one of these the sidecar would run something else than we wrote.
_FOREIGN_FIELDS = ("command", "lifecycle", "envFrom", "startupProbe", "livenessProbe", "readinessProbe")

# Lists that others may add to, and what tells their items apart.
_GROWING = {"env": "name", "volumeMounts": "mountPath"}


def covers(actual: Any, expected: Any) -> bool:
    """Tell whether ``actual`` says everything that ``expected`` says; lists have to be of the same length."""
    if isinstance(expected, Mapping):
        return isinstance(actual, Mapping) and all(
            key in actual and covers(actual[key], value) for key, value in expected.items()
        )
    if isinstance(expected, list):
        return isinstance(actual, list) and len(actual) == len(expected) and all(map(covers, actual, expected))
    return bool(actual == expected)


def find_foreign(actual: Mapping[str, Any], expected: Mapping[str, Any]) -> list[str]:
    """Return the fields that make a container another one than we would write; env and mounts may have grown.

    Resources and pull policy may be anybody's: they change neither what runs nor as whom, and quotas hold anyway.
    """
    fields = {*expected, *_FOREIGN_FIELDS} - {"resources", "imagePullPolicy"}
    return sorted(field for field in fields if not _is_ours(field, actual.get(field), expected.get(field)))


def _is_ours(field: str, actual: Any, expected: Any) -> bool:
    if field in _GROWING:
        return _keeps(actual or (), expected, _GROWING[field])
    if field in _FOREIGN_FIELDS:
        return bool((actual or None) == expected)
    if field == "securityContext":
        return _is_our_security_context(actual or {}, expected)
    return covers(actual, expected)


def _keeps(actual: Sequence[Mapping[str, Any]], expected: Sequence[Mapping[str, Any]], key: str) -> bool:
    # Of two env entries of one name the last counts: a second WI_GRANTS_URL would be somebody else's.
    present = {item.get(key): item for item in actual}
    return all(covers(present.get(item[key]), item) for item in expected)


def _is_our_security_context(actual: Mapping[str, Any], expected: Mapping[str, Any]) -> bool:
    return all(key in actual for key in expected) and all(
        _is_no_weaker(key, value, expected.get(key)) for key, value in actual.items()
    )


def _is_no_weaker(key: str, value: Any, expected: Any) -> bool:
    if key == "capabilities":
        return not value.get("add") and set(expected["drop"]) <= set(value.get("drop") or ())
    if key == "appArmorProfile":
        return bool(value.get("type") != "Unconfined")
    if key in _PLATFORM_IDENTITY and expected is None:
        return True
    return bool(value == expected)
