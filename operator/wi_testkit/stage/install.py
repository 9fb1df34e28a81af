"""The stage: emulators, real names and the chart in a cluster, and their removal."""

import json
from collections.abc import Mapping
from functools import cached_property
from typing import Any

from wi_testkit.controlplane.progress import Progress
from wi_testkit.pki import CertificateAuthority
from wi_testkit.stage import emulators
from wi_testkit.stage.chart import CHART, DEFINITIONS, NAMESPACE, RELEASE
from wi_testkit.stage.clusters import Cluster
from wi_testkit.stage.dns import lead_names, restore_names
from wi_testkit.stage.emulators import StagedEntra, StagedKeyVault, render_emulators, render_namespace
from wi_testkit.stage.errors import CommandError, StageError
from wi_testkit.stage.images import ImageSet, ensure_images
from wi_testkit.stage.readiness import diagnose, wait_available, wait_until

ISSUER_HOST = "identity.demo.test"
ISSUER_URL = f"https://{ISSUER_HOST}"
NAMES: Mapping[str, str] = {
    "login.microsoftonline.com": f"entra.{emulators.NAMESPACE}",
    f"*.{emulators.VAULT_SUFFIX}": f"keyvault.{emulators.NAMESPACE}",
    ISSUER_HOST: f"wi-issuer.{NAMESPACE}",
}
_DEPLOYMENTS = [(NAMESPACE, "wi-controller"), (NAMESPACE, "wi-issuer"), (NAMESPACE, "wi-webhook")]
_EMULATORS = [(emulators.NAMESPACE, "entra"), (emulators.NAMESPACE, "keyvault")]
_PUBLIC_TLS = "wi-stage-public-tls"
_MARK = "wi-testkit.example/stage"
_RESOLVE = "import socket, sys; print(*(socket.gethostbyname(name) for name in sys.argv[1:]))"


class Stage:
    """The whole system in ``cluster``: ``install`` it, administer ``entra`` and ``keyvault``, ``uninstall`` it."""

    def __init__(self, cluster: Cluster, progress: Progress | None = None) -> None:
        self.cluster = cluster
        self.progress = progress or Progress()
        self.entra = StagedEntra(cluster)
        self.keyvault = StagedKeyVault(cluster)

    @cached_property
    def images(self) -> ImageSet:
        """Return the three images, built when the cache lacks them."""
        return ensure_images(self.progress)

    def install(self, *, issuer_url: str = ISSUER_URL, values: Mapping[str, Any] | None = None) -> None:
        """Install everything anew and wait until it is available; ``values`` are further values of the chart.

        May be repeated, also after having been killed. Emulators forget what they knew: they have new certificates.
        Raises StageError.
        """
        self.require_ours()
        self.cluster.ensure_images(tuple(self.images), self.progress)
        authority = CertificateAuthority("wi-stage CA")
        with self.progress.stage("apply emulators"):
            self.install_emulators(authority)
        with self.progress.stage("install the chart"):
            self.install_chart(authority, issuer_url, values or {})
        with self.progress.stage("real names in cluster DNS"):
            lead_names(self.cluster, NAMES)
        wait_available(self.cluster, _EMULATORS + _DEPLOYMENTS, self.progress)
        self._await_names()

    def install_emulators(self, authority: CertificateAuthority) -> None:
        """Apply the emulators, with certificates of ``authority``."""
        self.cluster.apply([render_namespace(emulators.NAMESPACE)])
        self.cluster.apply(render_emulators(self.images.testkit.name, authority))

    def install_chart(self, authority: CertificateAuthority, issuer_url: str, values: Mapping[str, Any]) -> None:
        """Install the chart, the custom resource definitions with it; does not wait for the pods."""
        namespace = render_namespace(NAMESPACE)
        namespace["metadata"]["labels"][_MARK] = "true"
        self.cluster.apply([namespace, _render_public_tls(authority)])
        self._unlock_release()
        own = {
            "image": {"ref": self.images.operator.name, "pullPolicy": "IfNotPresent"},
            "issuer": {"url": issuer_url, "publicTls": {"secretName": _PUBLIC_TLS}},
            "extraCA": authority.pem.decode(),
        }
        # Definitions outlive a release; those of an aborted run may belong to none.
        flags = ["--install", "--take-ownership", f"--namespace={NAMESPACE}", "--values=-"]
        self.cluster.helm("upgrade", RELEASE, str(CHART), *flags, stdin=json.dumps(merge(own, values)))
        self.cluster.kubectl("wait", "--for=condition=Established", "--timeout=60s", f"--filename={DEFINITIONS}")

    def uninstall(self) -> None:
        """Remove everything that :meth:`install` brought; may be called twice."""
        self.require_ours()
        with self.progress.stage(f"remove the installation from {self.cluster.name}"):
            restore_names(self.cluster)
            if self.cluster.get("namespace", NAMESPACE):
                self._unlock_release()
                self.cluster.helm("uninstall", RELEASE, f"--namespace={NAMESPACE}", "--ignore-not-found")
            for namespace in (NAMESPACE, emulators.NAMESPACE):
                self.cluster.kubectl("delete", "namespace", namespace, "--ignore-not-found", "--timeout=110s")
            self.cluster.kubectl("delete", f"--filename={DEFINITIONS}", "--ignore-not-found", "--timeout=60s")

    def require_ours(self) -> None:
        """Raise StageError when the cluster has an installation that the stage did not make."""
        namespace = self.cluster.get("namespace", NAMESPACE)
        if namespace and _MARK not in namespace["metadata"].get("labels", {}):
            raise StageError(
                f"{self.cluster.name} has a namespace {NAMESPACE} that this program did not make; "
                "it will not touch it: use another cluster"
            )

    def _unlock_release(self) -> None:
        """Forget a Helm operation that was killed: Helm would wait for it for ever."""
        for status in ("pending-install", "pending-upgrade", "pending-rollback", "uninstalling"):
            selector = f"--selector=owner=helm,name={RELEASE},status={status}"
            self.cluster.kubectl("delete", "secret", f"--namespace={NAMESPACE}", selector, "--ignore-not-found")

    def _await_names(self) -> None:
        """Wait until a pod finds the emulators and the issuer under the real names."""
        names = [name.replace("*", "demo") for name in NAMES]
        wanted = [
            self.cluster.get("service", name, "-n", namespace)["spec"]["clusterIP"]
            for name, namespace in (service.split(".") for service in NAMES.values())
        ]

        def resolve() -> bool:
            try:
                program = ["python3", "-c", _RESOLVE, *names]
                found = self.cluster.kubectl("exec", "-n", emulators.NAMESPACE, "deployment/entra", "--", *program)
            except CommandError:
                return False
            return found.split() == wanted

        wait_until("real names in pods", resolve, timeout=60, explain=lambda: diagnose(self.cluster, "kube-system"))
        self.progress.say(f"{', '.join(names)} lead to the emulators and the issuer")


def merge(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``first`` with the values of ``second`` over it, block by block."""
    merged = dict(first)
    for key, value in second.items():
        own = merged.get(key)
        merged[key] = merge(own, value) if isinstance(own, Mapping) and isinstance(value, Mapping) else value
    return merged


def _render_public_tls(authority: CertificateAuthority) -> dict[str, Any]:
    leaf = authority.issue([ISSUER_HOST, f"wi-issuer.{NAMESPACE}.svc"])
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "kubernetes.io/tls",
        "metadata": {"name": _PUBLIC_TLS, "namespace": NAMESPACE},
        "stringData": {"tls.crt": leaf.cert_pem.decode(), "tls.key": leaf.key_pem.decode()},
    }
