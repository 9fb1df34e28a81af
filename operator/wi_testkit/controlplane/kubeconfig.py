"""Kubeconfig files that stand alone: certificates are inside, so they can be copied anywhere."""

import base64
import json
import os
from pathlib import Path

from wi_testkit.controlplane.pki import KeyPair


def write_kubeconfig(path: Path, *, server: str, authority: Path, client: KeyPair) -> Path:
    """Write a kubeconfig for ``server`` (an https URL) and the user of ``client``; readable by its owner only."""
    # JSON is YAML: no library is needed to write it.
    text = json.dumps(_render(server, authority, client), indent=1)
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
        file.write(text)
    return path


def _render(server: str, authority: Path, client: KeyPair) -> dict[str, object]:
    user = {"client-certificate-data": _encode(client.certificate), "client-key-data": _encode(client.key)}
    cluster = {"server": server, "certificate-authority-data": _encode(authority)}
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "wi", "cluster": cluster}],
        "users": [{"name": "wi", "user": user}],
        "contexts": [{"name": "wi", "context": {"cluster": "wi", "user": "wi"}}],
        "current-context": "wi",
    }


def _encode(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()
