"""The listener's certificate: read again when its files change, without a restart."""

from __future__ import annotations

import logging
import ssl
from dataclasses import dataclass, field
from pathlib import Path

from wi_operator.core.errors import SettingsError
from wi_operator.core.log import fields

logger = logging.getLogger(__name__)

Stamp = tuple[int, ...]


@dataclass(slots=True)
class ReloadingCertificate:
    """``tls.crt`` and ``tls.key`` of a mounted Secret; each handshake uses the newest pair that fits together."""

    folder: Path
    _context: ssl.SSLContext | None = field(default=None, init=False)
    _stamp: Stamp = field(default=(), init=False)

    def server_context(self) -> ssl.SSLContext:
        """Return the listener's context; raises ``SettingsError`` if there is no usable pair yet."""
        stamp = self._read_stamp()
        try:
            self._context = self._load()
        except (OSError, ssl.SSLError) as error:
            raise SettingsError(f"no usable tls.crt and tls.key in {self.folder}: {error}") from error
        self._stamp = stamp
        listener = self._load()
        listener.sni_callback = self._choose
        return listener

    def _choose(self, connection: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> None:
        """Called in every handshake, with or without a server name."""
        self._reload()
        if self._context is not None:
            connection.context = self._context

    def _reload(self) -> None:
        stamp = self._read_stamp()
        if stamp == self._stamp:
            return
        try:
            self._context = self._load()
        except (OSError, ssl.SSLError) as error:
            # The files of a Secret change one after the other: keep the old pair until the new one is whole.
            logger.warning(
                "certificate not reloaded", extra=fields(folder=str(self.folder), error=type(error).__name__)
            )
            return
        self._stamp = stamp
        logger.info("certificate reloaded", extra=fields(folder=str(self.folder)))

    def _load(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(self.folder / "tls.crt", self.folder / "tls.key")
        return context

    def _read_stamp(self) -> Stamp:
        stamp: list[int] = []
        for name in ("tls.crt", "tls.key"):
            try:
                status = (self.folder / name).stat()
            except OSError:
                return ()
            stamp += (status.st_mtime_ns, status.st_size, status.st_ino)
        return tuple(stamp)
