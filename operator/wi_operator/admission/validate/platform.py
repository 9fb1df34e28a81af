"""Pods in which the sidecar could not run or not reach the issuer."""

from __future__ import annotations

from collections.abc import Iterator

from wi_operator.admission.plan import Plan

_CLUSTER_DNS = "ClusterFirstWithHostNet"


def windows_pods(plan: Plan) -> Iterator[str]:
    """Yield a pod for Windows nodes."""
    os_name = (plan.spec.get("os") or {}).get("name")
    selected = (plan.spec.get("nodeSelector") or {}).get("kubernetes.io/os")
    if "windows" in {os_name, selected}:
        yield "secrets are delivered on Linux nodes only: remove the references or run the pod on Linux"


def host_network_without_cluster_dns(plan: Plan) -> Iterator[str]:
    """Yield a pod whose sidecar would ask the node's DNS for the issuer's Service."""
    if plan.spec.get("hostNetwork") and plan.spec.get("dnsPolicy") != _CLUSTER_DNS:
        yield f"a pod with hostNetwork: true needs dnsPolicy: {_CLUSTER_DNS}, else the sidecar cannot find the issuer"
