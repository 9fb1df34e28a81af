"""What the schema does not say: which values the API server's validation takes.

Only values and relations inside one definition stand here; ``finish.py`` has the relations across a pod.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

Object = dict[str, Any]

ISCSI_NAME = "iqn.2001-04.com.example:storage"
STORAGE = {"storage": "1Gi"}
MODES = (0, 256, 420, 511)
FIELD_PATHS = ("metadata.name", "metadata.uid", "metadata.namespace", "metadata.labels['app']")

VALUES: Mapping[str, Sequence[Any]] = {
    "string": ("a", "b", "c"),
    "integer": (1, 2, 5),
    "boolean": (True, False),
    "Quantity": ("1", "1Gi"),
    "IntOrString": (80, 8080, "http"),
    # Of any definition:
    ".defaultMode": MODES, ".mode": MODES, ".fsType": ("ext4", ""), ".partition": (0, 1), ".lun": (0, 7),
    ".path": ("a", "b/c"), ".readOnly": (True, False),
    ".topologyKey": ("kubernetes.io/hostname", "zone"), ".weight": (1, 100), ".resources": ({},),
    ".labelSelector": (), ".secretName": ("a",), ".signerName": ("example.com/signer",),
    # Of one:
    "ObjectMeta.name": ("kick",), "ObjectMeta.generateName": ("kick-",), "ObjectMeta.namespace": ("team-a",),
    "ObjectMeta.finalizers": (["example.com/hold"],), "ObjectMeta.labels": ({"app": "x"}, {"app": "x", "a": "b"}),
    "ObjectMeta.annotations": ({"a": "b"}, {"a/b": "c\nd", "x": ""}, {}),
    "OwnerReference.apiVersion": ("v1",), "ObjectMeta.ownerReferences": (
        [{"apiVersion": "v1", "kind": "ConfigMap", "name": "a", "uid": "3f2504e0-4f89-41d3-9a0c-0305e82c3301",
          "controller": True, "blockOwnerDeletion": False}],
    ),
    "OwnerReference.uid": ("3f2504e0-4f89-41d3-9a0c-0305e82c3301",),
    "PodSpec.hostAliases": ([{"ip": "10.0.0.1", "hostnames": ["a", "b"]}],),
    "PodSpec.nodeSelector": (
        {"zone": "a"}, {"kubernetes.io/os": "linux"}, {"zone": "a", "disk": "ssd"}, {}, {"kubernetes.io/os": "windows"},
    ),
    "PodSpec.hostPID": (False, False, True), "PodSpec.shareProcessNamespace": (False, False, True),
    "PodSpec.overhead": ({"cpu": "10m"},), "PodSpec.priority": (0,), "PodSpec.priorityClassName": ("cheap",),
    "PodSpec.runtimeClassName": ("heavy", "light"), "PodSpec.serviceAccountName": ("crew", "default"),
    "PodSpec.serviceAccount": ("crew",), "PodSpec.schedulerName": ("mine",), "PodSpec.subdomain": ("a",),
    "PodSpec.terminationGracePeriodSeconds": (30, 60),
    "PodSpec.resources": (
        {"requests": {"cpu": "4", "memory": "8Gi"}, "limits": {"cpu": "4", "memory": "8Gi"}},
        {"requests": {"cpu": "2"}}, {"limits": {"memory": "4Gi"}}, {"limits": {"cpu": "2"}},
        {"requests": {"memory": "4Gi"}, "limits": {"memory": "4Gi"}},
    ),
    "PodOS.name": ("linux",) * 7 + ("windows",),
    "PodDNSConfig.nameservers": (["10.0.0.10"],), "PodDNSConfig.searches": (["example.com"],),
    "PodReadinessGate.conditionType": ("example.com/ready",), "PodSchedulingGate.name": ("example.com/gate",),
    "PodSpec.schedulingGates": ([{"name": "example.com/gate"}],),
    "Sysctl.name": ("kernel.shm_rmid_forced",), "Sysctl.value": ("1",),
    "PodSecurityContext.seLinuxChangePolicy": ("Recursive",),
    "PodSecurityContext.supplementalGroups": ([1000], [1, 2]),
    ".runAsUser": (1000, 0, 29387), ".runAsGroup": (1000, 0), ".fsGroup": (1000,),
    "SELinuxOptions.level": ("s0:c1,c2",),
    "Capabilities.add": (["NET_ADMIN"], ["SYS_PTRACE"], []), "Capabilities.drop": (["ALL"], []),
    "AppArmorProfile.localhostProfile": ("a",), "SeccompProfile.localhostProfile": ("a.json",),
    "WindowsSecurityContextOptions.hostProcess": (False,),
    "WindowsSecurityContextOptions.runAsUserName": ("ContainerUser",),
    "Toleration.operator": ("Exists", "Equal"), "Toleration.effect": ("NoExecute", "NoSchedule", ""),
    "LabelSelector.matchLabels": ({"app": "x"}, {}), "LabelSelectorRequirement.key": ("tier", "stage"),
    "LabelSelectorRequirement.operator": ("In", "NotIn", "Exists", "DoesNotExist"),
    "NodeSelectorRequirement.operator": ("In", "NotIn", "Exists", "DoesNotExist", "Gt"),
    "NodeSelectorTerm.matchFields": ([{"key": "metadata.name", "operator": "In", "values": ["a"]}],),
    "PodAffinityTerm.matchLabelKeys": (["x"],), "PodAffinityTerm.mismatchLabelKeys": (["y"],),
    "TopologySpreadConstraint.matchLabelKeys": (["x"],),
    "Container.name": ("app", "web", "job", "setup", "long-name"), "Container.image": ("registry.test/app:1",),
    "Container.args": (["--verbose"], ["a b", "$$(A)", ""]), "Container.command": (["run"], ["sh", "-c", "exec run"]),
    "Container.terminationMessagePath": ("/tmp/ended", "/dev/termination-log"), "Container.workingDir": ("/srv",),
    "Container.restartPolicy": ("Always", "OnFailure", "Never"),
    "Container.resources": (
        {"requests": {"cpu": "10m"}}, {"limits": {"memory": "16Mi"}}, {"requests": {"cpu": "1", "memory": "2Gi"}},
        {"requests": {"cpu": "10m", "memory": "8Mi"}, "limits": {"cpu": "1", "memory": "64Mi"}},
        {"claims": [{"name": "claim", "request": "gpu"}]}, {"claims": [{"name": "claim"}]},
        {"limits": {"example.com/card": "1"}},
    ),
    "ContainerPort.containerPort": (80, 8080), "ContainerPort.hostPort": (80, 8080), "ContainerPort.hostIP": ("10.0.0.1",),
    "ContainerPort.name": ("http", "metrics"),
    "ContainerResizePolicy.resourceName": ("cpu", "memory"), "ContainerResizePolicy.restartPolicy": ("NotRequired",),
    "ContainerRestartRule.action": ("Restart",), "ContainerRestartRuleOnExitCodes.operator": ("In", "NotIn"),
    "ContainerRestartRuleOnExitCodes.values": ([1, 78],),
    "Lifecycle.stopSignal": ("SIGUSR1", "SIGTERM"),
    "HTTPGetAction.path": ("/healthz",), "GRPCAction.port": (80,), "Probe.successThreshold": (1,),
    "Probe.terminationGracePeriodSeconds": (10,),
    "EnvVar.name": ("A", "B", "C", "D", "E"),
    "EnvVar.value": (
        "secret://demo/db", "secret:///main", "secret://demo/login#user", "secret://nope/x%2By?version=1",
        "secret://demo/a_b", "u:$(A)@$(B)", "$(C)", "$$(A)", "plain", "", "$(POD_IP) $",
    ),
    "EnvFromSource.prefix": ("P_",),
    "ObjectFieldSelector.apiVersion": ("v1",), "ObjectFieldSelector.fieldPath": FIELD_PATHS,
    "ResourceFieldSelector.resource": ("limits.cpu", "requests.memory"), "ResourceFieldSelector.divisor": ("1",),
    "ResourceFieldSelector.containerName": ("app",),
    "FileKeySelector.volumeName": ("files",), "FileKeySelector.key": ("A",),
    "VolumeMount.mountPath": ("/data", "/srv/x", "/var/lib/y"), "VolumeMount.subPathExpr": ("a",),
    "VolumeMount.mountPropagation": ("None", "HostToContainer"), "VolumeMount.recursiveReadOnly": ("Disabled", "Enabled"),
    "VolumeDevice.devicePath": ("/dev/xvda", "/dev/xvdb"),
    "AzureDiskVolumeSource.diskURI": ("/subscriptions/a/disk",),
    "CephFSVolumeSource.path": ("/a",), "CephFSVolumeSource.secretFile": ("/etc/a",),
    "CSIVolumeSource.driver": ("csi.example.com",), "FlexVolumeSource.driver": ("example.com/flex",),
    "EmptyDirVolumeSource.medium": ("", "Memory"), "GitRepoVolumeSource.directory": ("a",),
    "HostPathVolumeSource.path": ("/srv",), "HostPathVolumeSource.type": ("", "Directory", "File"),
    "ISCSIVolumeSource.iqn": (ISCSI_NAME,), "ISCSIVolumeSource.initiatorName": ("iqn.2001-04.com.example:me",),
    "ISCSIVolumeSource.targetPortal": ("10.0.0.1:3260",), "ISCSIVolumeSource.portals": (["10.0.0.2:3260"],),
    "NFSVolumeSource.path": ("/export",), "NFSVolumeSource.server": ("nfs.example.com",),
    "QuobyteVolumeSource.registry": ("a:1",),
    "PersistentVolumeClaimTemplate.metadata": ({"labels": {"a": "b"}}, {"annotations": {"a": "b"}}),
    "PersistentVolumeClaimSpec.accessModes": (["ReadWriteOnce"], ["ReadWriteMany", "ReadOnlyMany"]),
    "PersistentVolumeClaimSpec.resources": ({"requests": STORAGE}, {"requests": STORAGE, "limits": {"storage": "2Gi"}}),
    "PersistentVolumeClaimSpec.dataSource": ({"kind": "PersistentVolumeClaim", "name": "a"},
        {"apiGroup": "snapshot.storage.k8s.io", "kind": "VolumeSnapshot", "name": "a"}),
    "PersistentVolumeClaimSpec.dataSourceRef": ({"apiGroup": "example.com", "kind": "Other", "name": "a"},),
    "PodCertificateProjection.keyType": ("ED25519", "ECDSAP256"),
    "PodCertificateProjection.maxExpirationSeconds": (3600,),
    "PodCertificateProjection.userAnnotations": ({"example.com/a": "b"},),
    "ServiceAccountTokenProjection.expirationSeconds": (600, 3600), "ServiceAccountTokenProjection.audience": ("vault",),
}  # fmt: skip
"""Values by ``definition.field``, by ``.field`` or by type; an empty sequence means: as the schema says."""

ONE_OF: Mapping[str, Sequence[str]] = {
    "EnvVar": ("value", "value", "value", "valueFrom"),
    "EnvVarSource": ("configMapKeyRef", "fieldRef", "fileKeyRef", "resourceFieldRef", "secretKeyRef"),
    "EnvFromSource": ("configMapRef", "secretRef"),
    "LifecycleHandler": ("exec", "httpGet", "sleep", "tcpSocket"),
    "Probe": ("exec", "grpc", "httpGet", "tcpSocket"),
    "DownwardAPIVolumeFile": ("fieldRef", "resourceFieldRef"),
    "PodResourceClaim": ("resourceClaimName", "resourceClaimTemplateName"),
    "FlockerVolumeSource": ("datasetName", "datasetUUID"),
    "ClusterTrustBundleProjection": ("name", "signerName"),
    "FCVolumeSource": ("targetWWNs", "wwids"),
    "VolumeProjection": (
        "configMap", "downwardAPI", "secret", "serviceAccountToken", "secret", "clusterTrustBundle", "podCertificate",
    ),
}  # fmt: skip
"""Definitions of which exactly one of some fields is set. Of a Volume it is any but ``name``."""

FREQUENT_VOLUMES = ("projected", "projected", "projected", "emptyDir", "configMap", "persistentVolumeClaim")
"""Volumes that pods have more often than those of old drivers, of which there are many."""

NEEDED: Mapping[str, Sequence[str]] = {
    "ConfigMapKeySelector": ("name",), "SecretKeySelector": ("name",), "ConfigMapEnvSource": ("name",),
    "SecretEnvSource": ("name",), "LocalObjectReference": ("name",), "ConfigMapVolumeSource": ("name",),
    "SecretVolumeSource": ("secretName",), "ConfigMapProjection": ("name",), "SecretProjection": ("name",),
    "PodSpec": ("initContainers", "volumes"), "Pod": ("metadata", "spec"), "ObjectMeta": ("labels",),
    "Container": ("image", "command", "env"), "ImageVolumeSource": ("reference",), "HostAlias": ("hostnames",),
    "ExecAction": ("command",), "PersistentVolumeClaimSpec": ("accessModes", "resources"),
    "EphemeralVolumeSource": ("volumeClaimTemplate",), "Toleration": ("operator", "key"),
    "StorageOSVolumeSource": ("volumeName",), "PodCertificateProjection": ("credentialBundlePath",),
    "ProjectedVolumeSource": ("sources",),
    "ScaleIOVolumeSource": ("volumeName",), "PodDNSConfigOption": ("name",), "PodSchedulingGroup": ("podGroupName",),
    "ContainerRestartRule": ("exitCodes",), "ResourceFieldSelector": ("containerName",), "ClusterTrustBundleProjection": (),
    "NodeSelectorTerm": ("matchExpressions",), "NodeAffinity": ("requiredDuringSchedulingIgnoredDuringExecution",),
}  # fmt: skip
"""Fields that validation asks for although the schema does not, or that make a pod worth testing."""

WIDTHS: Mapping[str, int] = {"PodSpec": 12, "Container": 8, "PodSecurityContext": 5, "SecurityContext": 4}
"""How many optional fields a definition gets at most, and half of it at least; four others."""


def _drop(value: Object, *fields: str) -> None:
    for field in fields:
        value.pop(field, None)


def fix_requirement(value: Object) -> None:
    """``values`` fit ``operator``."""
    if value["operator"] in {"Exists", "DoesNotExist"}:
        value.pop("values", None)
    elif value["operator"] in {"Gt", "Lt"}:
        value["values"] = ["1"]
    else:
        value.setdefault("values", ["a"])


def fix_toleration(value: Object) -> None:
    """Only ``NoExecute`` has seconds, only ``Equal`` a value."""
    if value["operator"] == "Exists":
        _drop(value, "value")
    if "tolerationSeconds" in value:
        value["effect"] = "NoExecute"


def fix_profile(value: Object) -> None:
    """A profile of the host has a name, others have none."""
    if value["type"] == "Localhost":
        value.setdefault("localhostProfile", "a")
    else:
        _drop(value, "localhostProfile")


def fix_spread(value: Object) -> None:
    """``minDomains`` only with ``DoNotSchedule``; label keys only with a selector."""
    if value["whenUnsatisfiable"] != "DoNotSchedule":
        _drop(value, "minDomains")
    if not value.get("labelSelector"):
        _drop(value, "matchLabelKeys")


def fix_affinity_term(value: Object) -> None:
    """Label keys only with a selector."""
    if not value.get("labelSelector"):
        _drop(value, "matchLabelKeys", "mismatchLabelKeys")


def fix_security(value: Object) -> None:
    """What is privileged may escalate."""
    if value.get("privileged"):
        _drop(value, "allowPrivilegeEscalation")
    if value.get("procMount") == "Unmasked":
        value["procMount"] = "Default"


def fix_mount(value: Object) -> None:
    """One of two sub-paths; recursive read-only is read-only and does not propagate."""
    if "subPath" in value:
        _drop(value, "subPathExpr")
    if "recursiveReadOnly" in value:
        value |= {"readOnly": True, "mountPropagation": "None"}


def fix_iscsi(value: Object) -> None:
    """CHAP needs a secret."""
    if value.get("chapAuthDiscovery") or value.get("chapAuthSession"):
        value["secretRef"] = {"name": "a"}


def fix_disk(value: Object) -> None:
    """Only a managed disk has this kind of address."""
    value["kind"] = "Managed"


def fix_claim(value: Object) -> None:
    """One data source: two would have to be the same."""
    if "dataSource" in value:
        _drop(value, "dataSourceRef")


def fix_bundle(value: Object) -> None:
    """A selector only beside a signer."""
    if "signerName" not in value:
        _drop(value, "labelSelector")


def fix_fibre(value: Object) -> None:
    """A target has a unit, a world-wide id has none."""
    if "targetWWNs" in value:
        value["lun"] = 0
        _drop(value, "wwids")
    else:
        _drop(value, "lun")


def fix_certificate(value: Object) -> None:
    """One file, or two."""
    if "keyPath" in value or "certificateChainPath" in value:
        _drop(value, "credentialBundlePath")
        value |= {"keyPath": "key.pem", "certificateChainPath": "chain.pem"}


def fix_env(value: Object) -> None:
    """An interpreted value or a source."""
    if "valueFrom" in value:
        _drop(value, "value")


def fix_rules(value: Object) -> None:
    """Restart rules need the container's own policy."""
    if "restartPolicyRules" in value:
        value.setdefault("restartPolicy", "Never")


FIXES: Mapping[str, Callable[[Object], None]] = {
    "NodeSelectorRequirement": fix_requirement, "LabelSelectorRequirement": fix_requirement, "Toleration": fix_toleration,
    "AppArmorProfile": fix_profile, "SeccompProfile": fix_profile, "TopologySpreadConstraint": fix_spread,
    "PodAffinityTerm": fix_affinity_term, "SecurityContext": fix_security, "VolumeMount": fix_mount,
    "ISCSIVolumeSource": fix_iscsi, "AzureDiskVolumeSource": fix_disk,
    "PersistentVolumeClaimSpec": fix_claim, "ClusterTrustBundleProjection": fix_bundle,
    "FCVolumeSource": fix_fibre, "PodCertificateProjection": fix_certificate, "EnvVar": fix_env, "Container": fix_rules,
}  # fmt: skip
