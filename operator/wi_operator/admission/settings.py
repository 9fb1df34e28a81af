"""What the webhook puts into pods: fixed by the chart, never by the pod."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

SIDECAR_UID = 29387
# A LimitRange default (16Mi is common) would kill the sidecar: requests and the memory limit are always explicit.
RESOURCES: Mapping[str, Any] = {"requests": {"cpu": "10m", "memory": "32Mi"}, "limits": {"memory": "64Mi"}}

# With 100m a pod starts 3.4 s later than without a sidecar, with 200m 1.7 s; unlimited 0.4 s.
GUARANTEED_CPU = "200m"

LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")


@dataclass(frozen=True, slots=True)
class Bounds:
    """The least and the most of a resource that a pod may ask for, as Kubernetes quantities."""

    least: str
    most: str


RESOURCE_BOUNDS: Mapping[str, Bounds] = {"cpu": Bounds("1m", "500m"), "memory": Bounds("32Mi", "256Mi")}


@dataclass(frozen=True, slots=True, eq=False)
class InjectionSettings:
    """Settings of injected parts; two are the same only if they are one, so that they can be the key of what is kept.

    ``sidecar_image`` should be a digest. ``ca_bundle`` is PEM text: the CA of the grants service. ``sidecar_uid`` is
    ``None`` where the platform chooses the user (OpenShift). An empty ``image_pull_policy`` leaves it to Kubernetes.
    ``guaranteed_cpu`` is the sidecar's CPU, request and limit, in pods that would else no longer be Guaranteed; empty: they
    are not. ``resource_bounds`` and ``log_levels`` limit what a pod may choose by annotation. ``environment`` are further
    variables of the sidecar.
    """

    sidecar_image: str
    grants_url: str
    ca_bundle: str
    image_pull_policy: str = ""
    image_pull_secrets: tuple[str, ...] = ()
    sidecar_uid: int | None = SIDECAR_UID
    log_level: str = "INFO"
    is_envfile_allowed: bool = False
    resources: Mapping[str, Any] = field(default_factory=lambda: RESOURCES)
    guaranteed_cpu: str = GUARANTEED_CPU
    resource_bounds: Mapping[str, Bounds] = field(default_factory=lambda: RESOURCE_BOUNDS)
    log_levels: tuple[str, ...] = LOG_LEVELS
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def ca_sha256(self) -> str:
        """Hexadecimal SHA-256 of the bundle's text; pods carry it so that a rotation can wait for the last old pod."""
        return _hash(self.ca_bundle)


@lru_cache(maxsize=2)  # one bundle at a time, asked for with every pod
def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
