"""How kube-apiserver is started: the flags that the bare plane and the node share."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from wi_testkit.controlplane.etcd import Etcd
from wi_testkit.controlplane.pki import Authority, KeyPair

SERVICE_RANGE = "10.96.0.0/16"
SERVICE_ADDRESS = "10.96.0.1"
SERVICE_ACCOUNT_ISSUER = "https://kubernetes.default.svc"
ADMIN_GROUP = "system:masters"
_AGGREGATOR = "front-proxy"
_NAMES = (
    "localhost",
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
)


@dataclass(frozen=True)
class Credentials:
    """The key pairs that an API server needs, all of one authority."""

    authority: Authority
    serving: KeyPair
    service_accounts: KeyPair
    kubelet_client: KeyPair
    aggregator: KeyPair

    @classmethod
    def create(cls, authority: Authority, addresses: Sequence[str]) -> "Credentials":
        """Issue them; ``addresses`` are the IP addresses at which clients reach the server."""
        hosts = [*_NAMES, "127.0.0.1", SERVICE_ADDRESS, *addresses]
        return cls(
            authority,
            serving=authority.issue("apiserver", "kube-apiserver", hosts=hosts),
            service_accounts=authority.create_signing_key("service-accounts"),
            kubelet_client=authority.issue("kubelet-client", "kube-apiserver", organizations=[ADMIN_GROUP]),
            aggregator=authority.issue("aggregator", _AGGREGATOR),
        )


@dataclass(frozen=True)
class ApiServer:
    """One kube-apiserver with RBAC, token requests and reviews, and the default admission plugins."""

    program: Path
    etcd: Etcd
    credentials: Credentials
    bind: str
    advertise: str
    port: int = 6443
    flags: Sequence[str] = field(default=())

    @property
    def url(self) -> str:
        """Return where local clients reach it."""
        return f"https://127.0.0.1:{self.port}"

    @property
    def health_url(self) -> str:
        """Return the address that answers 200, to anybody, once RBAC's own roles are in place too."""
        return f"{self.url}/readyz"

    def render_command(self) -> list[str]:
        """Return the command line; ``flags`` come last, so they win."""
        return [
            str(self.program),
            f"--etcd-servers={self.etcd.url}",
            f"--bind-address={self.bind}",
            f"--secure-port={self.port}",
            f"--advertise-address={self.advertise}",
            f"--service-cluster-ip-range={SERVICE_RANGE}",
            "--authorization-mode=Node,RBAC",
            "--enable-admission-plugins=NodeRestriction",
            "--allow-privileged",
            # Webhooks named by Service are called at their endpoints: the server's host has no route to the range.
            "--enable-aggregator-routing",
            # Else `kubectl logs` looks the node's name up in a DNS that does not know it.
            "--kubelet-preferred-address-types=InternalIP",
            *self._render_files(),
            *self.flags,
        ]

    def _render_files(self) -> list[str]:
        own, bundle = self.credentials, self.credentials.authority.bundle
        return [
            f"--client-ca-file={bundle}",
            f"--tls-cert-file={own.serving.certificate}",
            f"--tls-private-key-file={own.serving.key}",
            f"--service-account-issuer={SERVICE_ACCOUNT_ISSUER}",
            f"--service-account-key-file={own.service_accounts.certificate}",
            f"--service-account-signing-key-file={own.service_accounts.key}",
            f"--kubelet-certificate-authority={bundle}",
            f"--kubelet-client-certificate={own.kubelet_client.certificate}",
            f"--kubelet-client-key={own.kubelet_client.key}",
            f"--requestheader-client-ca-file={bundle}",
            f"--proxy-client-cert-file={own.aggregator.certificate}",
            f"--proxy-client-key-file={own.aggregator.key}",
            # One authority signs clients and aggregator: without the name every client could claim to be anybody.
            f"--requestheader-allowed-names={_AGGREGATOR}",
            "--requestheader-username-headers=X-Remote-User",
            "--requestheader-group-headers=X-Remote-Group",
            "--requestheader-extra-headers-prefix=X-Remote-Extra-",
        ]
