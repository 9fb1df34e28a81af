"""Relations across a pod: names that are unique, mounts of volumes that exist, values that only go together."""

from collections.abc import Callable, Iterable
from typing import Any

Object = dict[str, Any]

_PROBES = ("livenessProbe", "readinessProbe", "startupProbe")
PRIORITY = {"cheap": (5, "Never")}
"""Priority classes of the cluster under test: value and preemption policy."""
HEAVY = {"cpu": "10m"}
"""Overhead of its runtime class ``heavy``."""


def finish(pod: Object) -> Object:
    """Make a drawn pod consistent; it is changed and returned."""
    spec: Object = pod["spec"]
    pod |= {"apiVersion": "v1", "kind": "Pod"}
    pod["metadata"] |= {"name": "kick", "namespace": "team-a"}
    pod["metadata"].pop("generateName", None) if len(pod["metadata"]) % 2 else None
    spec["volumes"] = [*_unique(spec["volumes"], "name"), {"name": "files", "emptyDir": {}}]
    _finish_claims(spec)
    _finish_containers(spec)
    for step in _STEPS:
        step(spec)
    return pod


def _unique(items: Iterable[Object], *keys: str) -> list[Object]:
    found: dict[tuple[Any, ...], Object] = {}
    for item in items:
        found.setdefault(tuple(item.get(key) for key in keys), item)
    return list(found.values())


def _finish_claims(spec: Object) -> None:
    containers = [*spec["containers"], *spec["initContainers"]]
    if any("claims" in container.get("resources", {}) for container in containers):
        spec["resourceClaims"] = [{**claim, "name": "claim"} for claim in spec.get("resourceClaims", ())][:1] or [
            {"name": "claim", "resourceClaimName": "a"}
        ]
    elif "resourceClaims" in spec:
        spec["resourceClaims"] = _unique(spec["resourceClaims"], "name")


def _finish_containers(spec: Object) -> None:
    spec["containers"] = _unique(spec["containers"], "name")
    taken = {container["name"] for container in spec["containers"]}
    spec["initContainers"] = [c for c in _unique(spec["initContainers"], "name") if c["name"] not in taken]
    devices = {volume["name"] for volume in spec["volumes"] if "persistentVolumeClaim" in volume}
    volumes = [volume["name"] for volume in spec["volumes"] if volume["name"] not in devices]
    host_ports: set[int] = set()
    for container in spec["containers"]:
        _finish_container(container, spec["containers"], volumes, devices)
        _finish_ports(container, host_ports, is_host=bool(spec.get("hostNetwork")))
    for container in spec["initContainers"]:
        if container.get("restartPolicy") != "Always":
            for field in ("lifecycle", *_PROBES):
                container.pop(field, None)
        _finish_container(container, spec["containers"], volumes, devices)
        _finish_ports(container, host_ports, is_host=bool(spec.get("hostNetwork")))


def _finish_container(container: Object, others: list[Object], volumes: list[str], devices: set[str]) -> None:
    container["env"] = _unique(container.get("env", ()), "name")
    for item in container["env"]:
        _name_container(item.get("valueFrom", {}), container["name"])
    mounts = [
        mount | {"name": volumes[index % len(volumes)]} for index, mount in enumerate(container.get("volumeMounts", ()))
    ]
    container["volumeMounts"] = _unique(mounts, "mountPath")
    if "volumeDevices" in container:
        container["volumeDevices"] = [
            each | {"name": name}
            for name, each in zip(sorted(devices), _unique(container["volumeDevices"], "devicePath"), strict=False)
        ]
    container["resizePolicy"] = _unique(container.get("resizePolicy", ()), "resourceName")
    if "readinessProbe" in container:
        container["readinessProbe"].pop("terminationGracePeriodSeconds", None)
    del others


def _name_container(source: Object, name: str) -> None:
    if "resourceFieldRef" in source:
        source["resourceFieldRef"]["containerName"] = name


def _finish_ports(container: Object, host_ports: set[int], *, is_host: bool) -> None:
    ports = _unique(_unique(container.get("ports", ()), "containerPort"), "name")
    for port in ports:
        if is_host:
            port["hostPort"] = port["containerPort"]
        if port.get("hostPort") in host_ports:
            port.pop("hostPort")
        host_ports.add(port.get("hostPort", 0))
    if is_host:
        ports = [port for port in ports if "hostPort" in port]
    container["ports"] = ports


def _finish_network(spec: Object) -> None:
    # What the webhook refuses on purpose has tests of its own.
    if spec.get("hostNetwork"):
        spec["dnsPolicy"] = "ClusterFirstWithHostNet"
    elif spec.get("dnsPolicy") == "None":
        spec.setdefault("dnsConfig", {})["nameservers"] = ["10.0.0.10"]
    if spec.get("setHostnameAsFQDN") or spec.get("hostNetwork"):
        spec.pop("hostnameOverride", None)


def _finish_priority(spec: Object) -> None:
    value, policy = PRIORITY.get(spec.get("priorityClassName", ""), (0, "PreemptLowerPriority"))
    for field, wanted in (("priority", value), ("preemptionPolicy", policy)):
        if field in spec:
            spec[field] = wanted
    if "overhead" in spec:
        spec |= {"overhead": dict(HEAVY), "runtimeClassName": "heavy"}
    if "serviceAccount" in spec:
        spec["serviceAccountName"] = spec["serviceAccount"]


def _finish_user_namespace(spec: Object) -> None:
    shares_host = any(spec.get(field) for field in ("hostNetwork", "hostPID", "hostIPC"))
    if shares_host:
        spec.pop("hostUsers", None)
    if spec.get("hostPID"):
        spec.pop("shareProcessNamespace", None)
    if spec.get("hostIPC"):
        spec.get("securityContext", {}).pop("sysctls", None)
    if not spec.get("hostUsers", True):
        for container in [*spec["containers"], *spec["initContainers"]]:
            container["volumeDevices"] = []


def _finish_sharing(spec: Object) -> None:
    """Half of the pods that share their process namespace keep their containers away from root and capabilities."""
    is_shared = spec.get("shareProcessNamespace") or spec.get("hostPID")
    if not is_shared or spec.get("restartPolicy") == "Never":
        return
    spec.setdefault("securityContext", {})["runAsUser"] = 1000
    for container in [*spec["containers"], *spec["initContainers"]]:
        context = container.get("securityContext", {})
        for field in ("runAsUser", "privileged", "capabilities"):
            context.pop(field, None)


def _finish_scheduling(spec: Object) -> None:
    if "schedulingGates" in spec:
        spec.pop("nodeName", None)
    if "topologySpreadConstraints" in spec:
        spec["topologySpreadConstraints"] = _unique(
            spec["topologySpreadConstraints"], "topologyKey", "whenUnsatisfiable"
        )
    for volume in spec["volumes"]:
        _separate_sources(volume.get("projected", {}).get("sources", ()))
    context = spec.get("securityContext", {})
    if "sysctls" in context:
        context["sysctls"] = context["sysctls"][:1]


def _separate_sources(sources: list[Object]) -> None:
    """Two sources of one volume may not write the same file."""
    for index, source in enumerate(sources):
        for content in source.values():
            for item in [content, *content.get("items", ())]:
                for field in ("path", "keyPath", "certificateChainPath", "credentialBundlePath"):
                    if field in item:
                        item[field] = f"{index}/{item[field]}"


def _finish_platform(spec: Object) -> None:
    """Fields of one platform only; ``stopSignal`` needs the platform named."""
    containers = [*spec["containers"], *spec["initContainers"]]
    contexts = [spec.get("securityContext", {}), *(container.get("securityContext", {}) for container in containers)]
    if any("stopSignal" in container.get("lifecycle", {}) for container in containers):
        spec["os"] = {"name": "linux"}
        # Windows knows two signals only; which one stays is for Linux.
    name = spec.get("os", {}).get("name")
    drop: Callable[[Object], None] = _drop_windows if name == "linux" else _keep
    for context in contexts:
        drop(context)
    if name == "windows":
        _strip_linux(spec, contexts)


def _drop_windows(context: Object) -> None:
    context.pop("windowsOptions", None)


def _keep(_: Object) -> None:
    return


def _strip_linux(spec: Object, contexts: list[Object]) -> None:
    for field in ("hostPID", "hostIPC", "hostNetwork", "hostUsers", "shareProcessNamespace", "resources"):
        spec.pop(field, None)
    for context in contexts:
        for field in [field for field in context if field not in {"windowsOptions", "runAsNonRoot"}]:
            context.pop(field)


_STEPS = (
    _finish_network, _finish_priority, _finish_user_namespace, _finish_sharing, _finish_scheduling, _finish_platform,
)  # fmt: skip
