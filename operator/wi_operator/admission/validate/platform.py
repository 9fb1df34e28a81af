"""Pods in which the sidecar could not run or not reach the issuer."""

from __future__ import annotations

from collections.abc import Iterator

from wi_operator.admission.plan import Plan
from wi_operator.federation.diagnosis import admission as rows

_CLUSTER_DNS = "ClusterFirstWithHostNet"
_MIRROR = "kubernetes.io/config.mirror"


def windows_pods(plan: Plan) -> Iterator[str]:
    """Yield a pod for Windows nodes."""
    os_name = (plan.spec.get("os") or {}).get("name")
    selected = (plan.spec.get("nodeSelector") or {}).get("kubernetes.io/os")
    if "windows" in {os_name, selected}:
        yield rows.tell("pod", rows.WINDOWS_POD)


def static_pods(plan: Plan) -> Iterator[str]:
    """Yield the mirror of a static pod: the kubelet runs its own file, whatever we answer."""
    if _MIRROR in plan.annotations:
        yield rows.tell("pod", rows.STATIC_POD)


def host_network_without_cluster_dns(plan: Plan) -> Iterator[str]:
    """Yield a pod whose sidecar would ask the node's DNS for the issuer's Service."""
    if plan.spec.get("hostNetwork") and plan.spec.get("dnsPolicy") != _CLUSTER_DNS:
        yield rows.tell("pod", rows.HOST_NETWORK_DNS)
