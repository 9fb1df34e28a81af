"""The emulators as pods, and their administration from outside through ``kubectl exec``.

They stand in a namespace that enforces Pod Security ``restricted``, with certificates for the real names.
"""

import hashlib
import json
import secrets
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wi_testkit.emulation.admin import AdminError
from wi_testkit.entra.server import NAMES as ENTRA_NAMES
from wi_testkit.entra.server import Entra
from wi_testkit.keyvault.server import KeyVault
from wi_testkit.pki import CertificateAuthority
from wi_testkit.stage.clusters import Cluster
from wi_testkit.stage.inside import PORT, TOKEN_FILE

NAMESPACE = "wi-emulators"
VAULT_SUFFIX = "vault.azure.net"
_UID = 29388
_FOLDER = TOKEN_FILE.parent


class StagedEntra(Entra):
    """Entra's emulator in a cluster, with the methods of the one that tests start themselves."""

    def __init__(self, cluster: Cluster) -> None:
        self.url = f"https://entra.{NAMESPACE}.svc"
        self._cluster = cluster

    def call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """Make one admin call inside the pod; raises AdminError when it is refused."""
        return call_inside(self._cluster, "entra", method, path, body)


class StagedKeyVault(KeyVault):
    """Key Vault's emulator in a cluster, with the methods of the one that tests start themselves."""

    def __init__(self, cluster: Cluster) -> None:
        self.url = f"https://keyvault.{NAMESPACE}.svc"
        self._cluster = cluster

    def call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """Make one admin call inside the pod; raises AdminError when it is refused."""
        return call_inside(self._cluster, "keyvault", method, path, body)


def call_inside(cluster: Cluster, name: str, method: str, path: str, body: dict[str, Any] | None) -> Any:
    """Run :mod:`wi_testkit.stage.inside` in the emulator's pod. The body, which may hold a value, is no argument."""
    program = ["python3", "-m", "wi_testkit.stage.inside", method, path]
    text = cluster.kubectl(
        "exec", "--stdin", f"--namespace={NAMESPACE}", f"deployment/{name}", "--", *program,
        stdin="" if body is None else json.dumps(body),
    )  # fmt: skip
    answer = json.loads(text)
    if answer["status"] >= 300:
        raise AdminError(answer["status"], answer["body"])
    return json.loads(answer["body"] or "{}")


@dataclass(frozen=True)
class _Emulator:
    name: str
    hosts: Sequence[str]
    arguments: Sequence[str]


_EMULATORS = (
    _Emulator("entra", ENTRA_NAMES, ()),
    _Emulator(
        "keyvault",
        (f"*.{VAULT_SUFFIX}",),
        ("--entra-url", f"https://entra.{NAMESPACE}.svc", "--suffix", VAULT_SUFFIX),
    ),
)


def render_emulators(image: str, authority: CertificateAuthority) -> list[dict[str, Any]]:
    """Return all objects of both emulators, with certificates of ``authority`` and new admin tokens."""
    return [each for emulator in _EMULATORS for each in _render_emulator(emulator, image, authority)]


def render_namespace(name: str) -> dict[str, Any]:
    """Return a namespace that enforces Pod Security ``restricted``."""
    return {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": name, "labels": {"pod-security.kubernetes.io/enforce": "restricted"}},
    }


def _render_emulator(emulator: _Emulator, image: str, authority: CertificateAuthority) -> list[dict[str, Any]]:
    own = [f"{emulator.name}.{NAMESPACE}.svc", f"{emulator.name}.{NAMESPACE}.svc.cluster.local", "localhost"]
    leaf = authority.issue([*own, *emulator.hosts])
    files = {
        "tls.crt": leaf.cert_pem,
        "tls.key": leaf.key_pem,
        "ca.crt": authority.pem,
        TOKEN_FILE.name: secrets.token_urlsafe(24).encode(),
    }
    data = {name: b64encode(content).decode() for name, content in files.items()}
    service = {"selector": {"app": emulator.name}, "ports": [{"name": "https", "port": 443, "targetPort": PORT}]}
    return [
        _object("v1", "Secret", emulator.name, data=data),
        _object("v1", "Service", emulator.name, spec=service),
        _object("apps/v1", "Deployment", emulator.name, spec=_render_deployment(emulator, image, data)),
    ]


def _object(version: str, kind: str, name: str, **body: object) -> dict[str, Any]:
    metadata = {"name": name, "namespace": NAMESPACE, "labels": {"app": name}}
    return {"apiVersion": version, "kind": kind, "metadata": metadata, **body}


def _render_deployment(emulator: _Emulator, image: str, data: dict[str, str]) -> dict[str, Any]:
    labels = {"app": emulator.name}
    pod = {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": 2,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": _UID,
            "runAsGroup": _UID,
            "fsGroup": _UID,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [_render_container(emulator, image)],
        "volumes": [{"name": "files", "secret": {"secretName": emulator.name, "defaultMode": 0o440}}],
    }
    # New certificates need a new process.
    checksum = hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()
    template = {"metadata": {"labels": labels, "annotations": {"checksum/files": checksum}}, "spec": pod}
    # State is in memory: two of them would disagree.
    return {
        "replicas": 1,
        "strategy": {"type": "Recreate"},
        "selector": {"matchLabels": labels},
        "template": template,
    }


def _render_container(emulator: _Emulator, image: str) -> dict[str, Any]:
    files: dict[str, Path] = {
        "--tls-cert": _FOLDER / "tls.crt",
        "--tls-key": _FOLDER / "tls.key",
        "--ca": _FOLDER / "ca.crt",
        "--admin-token-file": TOKEN_FILE,
    }
    flags = [text for flag, path in files.items() for text in (flag, str(path))]
    return {
        "name": emulator.name,
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "args": [f"wi_testkit.{emulator.name}", "--listen", f"0.0.0.0:{PORT}", *flags, *emulator.arguments],
        "ports": [{"name": "https", "containerPort": PORT}],
        "readinessProbe": {"httpGet": {"path": "/healthz", "port": PORT, "scheme": "HTTPS"}, "periodSeconds": 1},
        "resources": {"requests": {"cpu": "20m", "memory": "64Mi"}, "limits": {"memory": "256Mi"}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [{"name": "files", "mountPath": str(_FOLDER), "readOnly": True}],
    }
