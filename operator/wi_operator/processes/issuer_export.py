"""``wi-operator issuer-export DIR``: the two public documents as files, for static hosting; ``-`` writes a tar archive."""

from __future__ import annotations

import io
import sys
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

from wi_operator.core.clock import SystemClock
from wi_operator.core.errors import SettingsError
from wi_operator.federation.discovery import DISCOVERY_PATH, JWKS_PATH
from wi_operator.issuer.documents import discovery_body, jwks_body
from wi_operator.processes.issuer import describe, open_keyring
from wi_operator.settings import IssuerProcessSettings, load

STANDARD_OUTPUT = "-"


def export(target: str) -> int:
    """Write the documents below ``target``, which stands for the issuer URL; raises ``SettingsError``."""
    settings = load(IssuerProcessSettings)
    url = describe(settings).public_url
    if not url:
        raise SettingsError("there is no issuer URL: set WI_PUBLIC_URL (the chart's value issuer.url)")
    _, keyring = open_keyring(settings, SystemClock())
    keys = keyring.published()
    if not keys:
        raise SettingsError(f"there is no published key in {settings.keys_dir} and {settings.state_dir}")
    documents = {DISCOVERY_PATH.lstrip("/"): discovery_body(url), JWKS_PATH.lstrip("/"): jwks_body(keys)}
    if target == STANDARD_OUTPUT:
        _write_archive(documents, sys.stdout.buffer)
        return 0
    try:
        for name, body in documents.items():
            file = Path(target) / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(body)
    except OSError as error:
        raise SettingsError(f"{target} cannot be written: {error.strerror}") from error
    return 0


def _write_archive(documents: Mapping[str, bytes], stream: BinaryIO) -> None:
    with tarfile.open(fileobj=stream, mode="w|") as archive:
        for name, body in documents.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode, entry.mtime = len(body), 0o644, int(SystemClock().now())
            archive.addfile(entry, io.BytesIO(body))
