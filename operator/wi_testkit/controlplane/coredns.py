"""Cluster DNS, as on any cluster: a Deployment, and a ConfigMap ``coredns`` in kube-system that may be edited."""

from pathlib import Path
from typing import Any

from wi_testkit.controlplane.cache import find_cache, hold_lock
from wi_testkit.controlplane.images import Image
from wi_testkit.controlplane.layout import DNS_ADDRESS, DOMAIN
from wi_testkit.controlplane.modules import COREDNS

NAMESPACE = "kube-system"
NAME = "coredns"
_LABELS = {"k8s-app": "kube-dns"}
COREFILE = f""".:53 {{
    errors
    health {{
        lameduck 1s
    }}
    ready
    kubernetes {DOMAIN} in-addr.arpa ip6.arpa {{
        pods insecure
        fallthrough in-addr.arpa ip6.arpa
        ttl 5
    }}
    cache 5
    reload 2s
    loadbalance
}}
"""


def write_image(program: Path) -> tuple[str, Path]:
    """Return the image's name and its archive in the cache, written once for each build of ``program``."""
    name = f"localhost/coredns:{COREDNS.version.removeprefix('v')}"
    path = find_cache() / "images" / f"coredns-{COREDNS.key}.tar"
    with hold_lock("images"):
        if not path.exists():
            Image(name, ["/coredns"], {"/coredns": program}).write(path)
    return name, path


def render_manifests(image: str) -> list[dict[str, Any]]:
    """Return the objects to apply."""
    return [
        _object("v1", "ServiceAccount"),
        _object("rbac.authorization.k8s.io/v1", "ClusterRole", f"system:{NAME}", rules=_RULES),
        _render_binding(),
        _object("v1", "ConfigMap", data={"Corefile": COREFILE}),
        _render_service(),
        _render_deployment(image),
    ]


_RULES = [
    {"apiGroups": [""], "resources": ["endpoints", "services", "pods", "namespaces"], "verbs": ["list", "watch"]},
    {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["list", "watch"]},
]


def _object(version: str, kind: str, name: str = NAME, **body: object) -> dict[str, Any]:
    metadata: dict[str, object] = {"name": name, "labels": _LABELS}
    if not kind.startswith("ClusterRole"):
        metadata["namespace"] = NAMESPACE
    return {"apiVersion": version, "kind": kind, "metadata": metadata, **body}


def _render_binding() -> dict[str, Any]:
    group = "rbac.authorization.k8s.io"
    role = {"apiGroup": group, "kind": "ClusterRole", "name": f"system:{NAME}"}
    subject = {"kind": "ServiceAccount", "name": NAME, "namespace": NAMESPACE}
    return _object(f"{group}/v1", "ClusterRoleBinding", f"system:{NAME}", roleRef=role, subjects=[subject])


def _render_service() -> dict[str, Any]:
    ports = [
        {"name": "dns", "port": 53, "protocol": "UDP"},
        {"name": "dns-tcp", "port": 53, "protocol": "TCP"},
        {"name": "metrics", "port": 9153, "protocol": "TCP"},
    ]
    return _object("v1", "Service", "kube-dns", spec={"clusterIP": DNS_ADDRESS, "selector": _LABELS, "ports": ports})


def _render_deployment(image: str) -> dict[str, Any]:
    volume = {"name": "config", "configMap": {"name": NAME, "items": [{"key": "Corefile", "path": "Corefile"}]}}
    pod = {
        "serviceAccountName": NAME,
        "priorityClassName": "system-cluster-critical",
        # Not ClusterFirst: it would ask itself.
        "dnsPolicy": "Default",
        "containers": [_render_container(image)],
        "volumes": [volume],
    }
    template = {"metadata": {"labels": _LABELS}, "spec": pod}
    return _object(
        "apps/v1", "Deployment", spec={"replicas": 1, "selector": {"matchLabels": _LABELS}, "template": template}
    )


def _render_container(image: str) -> dict[str, Any]:
    return {
        "name": NAME,
        "image": image,
        "imagePullPolicy": "Never",
        "args": ["-conf", "/etc/coredns/Corefile"],
        "ports": [{"containerPort": 53, "protocol": protocol} for protocol in ("UDP", "TCP")],
        "readinessProbe": {"httpGet": {"path": "/ready", "port": 8181}, "periodSeconds": 1},
        "livenessProbe": {"httpGet": {"path": "/health", "port": 8080}, "initialDelaySeconds": 30},
        "resources": {"requests": {"cpu": "50m", "memory": "70Mi"}, "limits": {"memory": "170Mi"}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"add": ["NET_BIND_SERVICE"], "drop": ["ALL"]},
        },
        "volumeMounts": [{"name": "config", "mountPath": "/etc/coredns", "readOnly": True}],
    }
