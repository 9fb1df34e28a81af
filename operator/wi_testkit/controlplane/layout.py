"""What a node consists of: its components with their files, rendered into the spec that the supervisor runs.

Inside its mount namespace a node has ``/run``, ``/var/lib`` and ``/var/log`` to itself, so every program stands on
its usual paths there.
"""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wi_testkit.controlplane.apiserver import ADMIN_GROUP, SERVICE_RANGE, ApiServer, Credentials
from wi_testkit.controlplane.etcd import Etcd
from wi_testkit.controlplane.kubeconfig import write_kubeconfig
from wi_testkit.controlplane.network import FIRST_POD_ADDRESS, NODE_ADDRESS, POD_RANGE, Wire
from wi_testkit.controlplane.pki import Authority

DNS_ADDRESS = "10.96.0.10"
DOMAIN = "cluster.local"
CONTAINERD_SOCKET = "/run/containerd/containerd.sock"
PAUSE_IMAGE = "localhost/wi-pause:1"
_CAP_SYS_RESOURCE = 1 << 24
# The kubelet sets these for the whole machine unless it finds them so. It finds them so, and the machine keeps its own.
_SHADOWED = {
    "/proc/sys/vm/overcommit_memory": "1",
    "/proc/sys/vm/panic_on_oom": "0",
    "/proc/sys/kernel/panic": "10",
    "/proc/sys/kernel/panic_on_oops": "1",
    "/proc/sys/kernel/keys/root_maxkeys": "1000000",
    "/proc/sys/kernel/keys/root_maxbytes": "25000000",
}
# Written inside the network namespace, whose own they are.
_SYSCTLS = {"/proc/sys/net/ipv4/ip_forward": "1"}
_CLIENTS = {
    "controller-manager": "system:kube-controller-manager",
    "scheduler": "system:kube-scheduler",
    "proxy": "system:kube-proxy",
}


@dataclass(frozen=True)
class Toolbox:
    """The folders of the built programs."""

    kubernetes: Path
    containerd: Path
    runc: Path


@dataclass(frozen=True)
class Layout:
    """One node: its name in the cluster, its files below ``state``, its wire, its control group, its programs."""

    node_name: str
    state: Path
    wire: Wire
    cgroup: str
    toolbox: Toolbox
    keep: Sequence[Path]

    @property
    def spec_file(self) -> Path:
        """Return the file that the supervisor reads."""
        return self.state / "spec.json"

    @property
    def status_file(self) -> Path:
        """Return the file that the supervisor writes."""
        return self.state / "status.json"

    @property
    def kubeconfig(self) -> Path:
        """Return the cluster admin's kubeconfig, for use on the host."""
        return self.state / "kubeconfig"

    @property
    def url(self) -> str:
        """Return the API server's URL as the host reaches it."""
        return f"https://{self.wire.node_address}:6443"

    @property
    def authority_file(self) -> Path:
        """Return the CA bundle to trust."""
        return Authority(self.state / "pki").bundle

    @property
    def logs(self) -> Path:
        """Return the folder of the components' logs."""
        return self.state / "log"

    def write(self) -> None:
        """Issue the certificates and write every file; the state folder must be new."""
        for folder in ("lib/kubelet", "varlog", "log", "config"):
            (self.state / folder).mkdir(parents=True)
        authority = Authority.create(self.state / "pki")
        credentials = Credentials.create(authority, [NODE_ADDRESS, self.wire.node_address])
        self._write_kubeconfigs(authority)
        hosts = [self.node_name, "127.0.0.1", NODE_ADDRESS]
        authority.issue("kubelet-serving", self.node_name, hosts=hosts)
        self._write_configs()
        self.spec_file.write_text(json.dumps(self._render_spec(credentials), indent=1))

    def _write_kubeconfigs(self, authority: Authority) -> None:
        local, bundle = "https://127.0.0.1:6443", authority.bundle
        for name, user in _CLIENTS.items():
            write_kubeconfig(
                self._locate(f"{name}.kubeconfig"), server=local, authority=bundle, client=authority.issue(name, user)
            )
        kubelet = authority.issue("kubelet", f"system:node:{self.node_name}", organizations=["system:nodes"])
        write_kubeconfig(self._locate("kubelet.kubeconfig"), server=local, authority=bundle, client=kubelet)
        admin = authority.issue("admin", "admin", organizations=[ADMIN_GROUP])
        write_kubeconfig(self.kubeconfig, server=self.url, authority=bundle, client=admin)

    def _write_configs(self) -> None:
        self._locate("containerd.toml").write_text(self._render_containerd())
        self._locate("cni").mkdir()
        self._locate("cni/10-pods.conflist").write_text(json.dumps(_render_cni()))
        self._locate("kubelet.json").write_text(json.dumps(self._render_kubelet(), indent=1))
        self._locate("proxy.json").write_text(json.dumps(self._render_proxy(), indent=1))
        # What pods with dnsPolicy Default and the host network see: the cluster's names, and nothing beyond.
        self._locate("resolv.conf").write_text(f"nameserver {DNS_ADDRESS}\n")

    def _locate(self, name: str) -> Path:
        return self.state / "config" / name

    def _render_spec(self, credentials: Credentials) -> dict[str, Any]:
        path = [str(self.toolbox.containerd), str(self.toolbox.runc), "/usr/sbin:/usr/bin:/sbin:/bin"]
        return {
            "status": str(self.status_file),
            "logs": str(self.logs),
            "keep": [str(folder) for folder in (*self.keep, sys.prefix, sys.base_prefix)],
            "hide": {"/var/lib": str(self.state / "lib"), "/var/log": str(self.state / "varlog")},
            "shadow": _SHADOWED,
            "sysctls": _SYSCTLS,
            "environment": {"PATH": ":".join(path)},
            "components": self._render_components(credentials),
        }

    def _render_components(self, credentials: Credentials) -> list[dict[str, Any]]:
        """Return the components in the order of their start, each with what must answer before it."""
        etcd = Etcd(self.toolbox.kubernetes / "etcd", self.state / "etcd")
        server = ApiServer(
            program=self.toolbox.kubernetes / "kube-apiserver",
            etcd=etcd,
            credentials=credentials,
            # Of the node's own network namespace, which only the host can reach.
            bind="0.0.0.0",
            advertise=NODE_ADDRESS,
            flags=[f"--cert-dir={self.state}/certs"],
        )
        authority = str(credentials.authority.bundle)
        has_etcd = {"url": etcd.health_url}
        has_server = {"url": server.health_url, "authority": authority}
        has_runtime = {"socket": CONTAINERD_SOCKET}
        return [
            _component("etcd", etcd.render_command()),
            _component(
                "containerd", [str(self.toolbox.containerd / "containerd"), "-c", self._name_file("containerd.toml")]
            ),
            _component("kube-apiserver", server.render_command(), has_etcd),
            _component("kube-controller-manager", self._render_manager(credentials), has_server),
            _component("kube-scheduler", self._render_scheduler()),
            _component("kube-proxy", [self._program("kube-proxy"), f"--config={self._name_file('proxy.json')}"]),
            _component("kubelet", self._render_kubelet_command(), has_runtime),
        ]

    def _program(self, name: str) -> str:
        return str(self.toolbox.kubernetes / name)

    def _name_file(self, name: str) -> str:
        return str(self._locate(name))

    def _render_manager(self, credentials: Credentials) -> list[str]:
        ca = credentials.authority.pair
        return [
            self._program("kube-controller-manager"),
            f"--kubeconfig={self._name_file('controller-manager.kubeconfig')}",
            f"--service-account-private-key-file={credentials.service_accounts.key}",
            f"--root-ca-file={ca.certificate}",
            f"--cluster-signing-cert-file={ca.certificate}",
            f"--cluster-signing-key-file={ca.key}",
            "--use-service-account-credentials",
            f"--service-cluster-ip-range={SERVICE_RANGE}",
            "--flex-volume-plugin-dir=/var/lib/kubelet/volume-plugins",
            "--cert-dir=/var/lib/kube-controller-manager",
            # Nobody competes for the lease, and waiting for it costs seconds.
            "--leader-elect=false",
            # A whole cluster at once is more than the default of 20 requests a second, and costs four seconds.
            "--kube-api-qps=500",
            "--kube-api-burst=500",
            "--bind-address=127.0.0.1",
        ]

    def _render_scheduler(self) -> list[str]:
        kubeconfig = f"--kubeconfig={self._name_file('scheduler.kubeconfig')}"
        return [self._program("kube-scheduler"), kubeconfig, "--leader-elect=false", "--bind-address=127.0.0.1"]

    def _render_kubelet_command(self) -> list[str]:
        return [
            self._program("kubelet"),
            f"--config={self._name_file('kubelet.json')}",
            f"--kubeconfig={self._name_file('kubelet.kubeconfig')}",
            f"--hostname-override={self.node_name}",
            f"--node-ip={NODE_ADDRESS}",
        ]

    def _render_kubelet(self) -> dict[str, Any]:
        pki = self.state / "pki"
        return {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "authentication": {
                "anonymous": {"enabled": False},
                "webhook": {"enabled": True},
                "x509": {"clientCAFile": str(pki / "ca.crt")},
            },
            "authorization": {"mode": "Webhook"},
            "tlsCertFile": str(pki / "kubelet-serving.crt"),
            "tlsPrivateKeyFile": str(pki / "kubelet-serving.key"),
            "containerRuntimeEndpoint": f"unix://{CONTAINERD_SOCKET}",
            "volumePluginDir": "/var/lib/kubelet/volume-plugins",
            "clusterDNS": [DNS_ADDRESS],
            "clusterDomain": DOMAIN,
            "resolvConf": self._name_file("resolv.conf"),
            "failCgroupV1": False,
            "cgroupDriver": "cgroupfs",
            "cgroupRoot": self.cgroup,
            "enforceNodeAllocatable": [],
            "failSwapOn": False,
            "localStorageCapacityIsolation": False,
            "oomScoreAdj": -999 if may_lower_oom_score() else 0,
            # Images are imported by hand and cannot be pulled again: nothing may collect them, nor evict for them.
            "evictionHard": {},
            "imageGCHighThresholdPercent": 100,
            "syncFrequency": "1s",
        }

    def _render_proxy(self) -> dict[str, Any]:
        return {
            "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
            "kind": "KubeProxyConfiguration",
            "mode": "nftables",
            "clientConnection": {"kubeconfig": self._name_file("proxy.kubeconfig")},
            "clusterCIDR": POD_RANGE,
            "hostnameOverride": self.node_name,
            "bindAddress": "127.0.0.1",
            "oomScoreAdj": -999 if may_lower_oom_score() else 0,
            # The table's size is the whole machine's: leave it alone.
            "conntrack": {
                "maxPerCore": 0,
                "min": 0,
                "tcpEstablishedTimeout": "0s",
                "tcpCloseWaitTimeout": "0s",
            },
        }

    def _render_containerd(self) -> str:
        restrict = json.dumps(not may_lower_oom_score())
        return f"""version = 3
[grpc]
  address = "{CONTAINERD_SOCKET}"
[plugins.'io.containerd.internal.v1.opt']
  path = "/var/lib/containerd/opt"
[plugins.'io.containerd.cri.v1.images']
  snapshotter = "{find_snapshotter(self.state)}"
  [plugins.'io.containerd.cri.v1.images'.pinned_images]
    sandbox = "{PAUSE_IMAGE}"
[plugins.'io.containerd.cri.v1.runtime']
  restrict_oom_score_adj = {restrict}
  [plugins.'io.containerd.cri.v1.runtime'.cni]
    bin_dirs = ["{self.toolbox.containerd}"]
    conf_dir = "{self._name_file("cni")}"
  [plugins.'io.containerd.cri.v1.runtime'.containerd]
    default_runtime_name = "runc"
    [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
"""


def _component(name: str, command: list[str], *awaits: dict[str, str]) -> dict[str, Any]:
    return {"name": name, "command": command, "awaits": list(awaits)}


def _render_cni() -> dict[str, Any]:
    pods = {"subnet": POD_RANGE, "rangeStart": FIRST_POD_ADDRESS, "gateway": NODE_ADDRESS}
    ipam = {"type": "host-local", "ranges": [[pods]], "routes": [{"dst": "0.0.0.0/0"}], "dataDir": "/run/cni-ipam"}
    # Point to point, not a bridge: between two pods of one bridge a Service's answer would bypass the translation
    # unless the kernel has br_netfilter. Routed, it cannot.
    wires = {"type": "ptp", "ipMasq": False, "ipam": ipam}
    ports = {"type": "portmap", "backend": "nftables", "capabilities": {"portMappings": True}}
    return {"cniVersion": "1.0.0", "name": "pods", "plugins": [wires, ports]}


def may_lower_oom_score() -> bool:
    """Tell whether this machine grants CAP_SYS_RESOURCE, without which no process may be made harder to kill."""
    status = Path("/proc/self/status").read_text()
    effective = next(line for line in status.splitlines() if line.startswith("CapEff:"))
    return bool(int(effective.split()[1], 16) & _CAP_SYS_RESOURCE)


def find_snapshotter(folder: Path) -> str:
    """Return containerd's way to layer images below ``folder``: an overlay cannot stand on an overlay."""
    best, kind = "", ""
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, target, found, *_ = line.split()
        if folder.is_relative_to(target) and len(target) >= len(best):
            best, kind = target, found
    return "native" if kind == "overlay" else "overlayfs"
