"""The bytes of the two public documents: one place, so that what is served, exported and compared is the same."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import BinaryIO

from wi_operator.core.errors import SettingsError
from wi_operator.federation.discovery import DISCOVERY_PATH, JWKS_PATH, render_discovery
from wi_operator.federation.jwks import render_jwks
from wi_operator.federation.keys import SigningKey


def discovery_body(issuer: str) -> bytes:
    """Return the discovery document of ``issuer`` (an https URL without a trailing slash)."""
    return _compact(render_discovery(issuer))


def jwks_body(keys: Iterable[SigningKey]) -> bytes:
    """Return the JWK set of ``keys``."""
    return _compact(render_jwks(keys))


def write_files(discovery: bytes, jwks: bytes, folder: str) -> None:
    """Write both below ``folder``, which stands for the issuer URL; raises ``SettingsError``."""
    try:
        for name, body in _named(discovery, jwks).items():
            file = Path(folder) / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(body)
    except OSError as error:
        raise SettingsError(f"{folder} cannot be written: {error.strerror}") from error


def write_archive(discovery: bytes, jwks: bytes, stream: BinaryIO, now: float) -> None:
    """Write both as a tar archive; ``now`` in seconds is their time."""
    with tarfile.open(fileobj=stream, mode="w|") as archive:
        for name, body in _named(discovery, jwks).items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode, entry.mtime = len(body), 0o644, int(now)
            archive.addfile(entry, io.BytesIO(body))


def _named(discovery: bytes, jwks: bytes) -> Mapping[str, bytes]:
    return {DISCOVERY_PATH.lstrip("/"): discovery, JWKS_PATH.lstrip("/"): jwks}


def _compact(document: object) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode()
