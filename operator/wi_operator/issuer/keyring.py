"""The keys in use: from the mounted Secret and the timetable, read again when they change."""

from __future__ import annotations

import asyncio
import logging
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from wi_operator.api import reasons
from wi_operator.core.clock import Clock
from wi_operator.core.errors import WorkloadIdentityError
from wi_operator.core.log import fields
from wi_operator.core.secret import SecretValue
from wi_operator.federation.keys import KeySet, SigningKey
from wi_operator.federation.timetable import STATE_FILE, KeyEntry, Timetable
from wi_operator.issuer.problems import KEY_LOST, KEY_MISSING, RefusedError

POLL_SECONDS = 2.0

log = logging.getLogger(__name__)

Loaded = tuple[KeySet, Timetable]


@dataclass(slots=True)
class Keyring:
    """Answers which keys are published and which one signs now; holds parsed keys, parsed once per change.

    ``source`` returns what there is, or ``None`` while nothing has changed or nothing is usable.
    """

    source: Callable[[], Loaded | None]
    clock: Clock
    _key_set: KeySet | None = field(default=None, init=False)
    _timetable: Timetable | None = field(default=None, init=False)

    async def follow(self) -> None:
        """Load now and then every two seconds until cancelled."""
        while True:
            await asyncio.to_thread(self.load)
            await asyncio.sleep(POLL_SECONDS)

    def load(self) -> None:
        """Ask the source; unusable keys leave the last good ones in place."""
        try:
            loaded = self.source()
        except WorkloadIdentityError as error:
            log.error("keys not loaded", extra=fields(error=str(error)))
            return
        if loaded is None:
            return
        self._key_set, self._timetable = loaded
        log.info("keys loaded", extra=fields(published=[key.kid for key in self.published()], epoch=self.epoch))
        if self.is_lost:
            log.error(
                "the recorded signing keys are not in the Secret",
                extra=fields(reason=reasons.KEY_LOST, kids=self._recorded()),
            )

    @property
    def epoch(self) -> int:
        """Changes whenever grants signed before should be replaced."""
        return self._timetable.epoch if self._timetable else 0

    @property
    def is_lost(self) -> bool:
        """True when keys are recorded and none of those that may sign is there: nothing is signed with another."""
        if self._timetable is None or not self._timetable.signers(self.clock.now()):
            return False
        return self.signing() is None

    def published(self) -> list[SigningKey]:
        """The keys that the JWKS shows now: recorded *and* held, so that neither object alone can plant one."""
        if self._key_set is None or self._timetable is None:
            return []
        found = map(self._key_set.find, self._timetable.published(self.clock.now()))
        return [key for key in found if key is not None]

    def signing(self) -> SigningKey | None:
        """The newest key that may sign and is held here: never one that is not published."""
        if self._key_set is None or self._timetable is None:
            return None
        found = map(self._key_set.find, self._timetable.signers(self.clock.now()))
        return next((key for key in found if key is not None), None)

    def require_signing(self) -> SigningKey:
        """Return the key that signs; raises ``RefusedError`` 503 that tells a lost key from one that is not there yet."""
        key = self.signing()
        if key is None:
            raise RefusedError(KEY_LOST if self.is_lost else KEY_MISSING)
        return key

    def signing_since(self) -> float:
        """Return when the key that signs was published, seconds since the epoch; 0 without one."""
        key = self.signing()
        entry = self._timetable.find(key.kid) if key and self._timetable else None
        return entry.published_at if entry else 0.0

    def fingerprint_key_of(self, organization: str) -> bytes:
        """Return the organization's fingerprint key, 32 bytes; empty without keys."""
        return self._key_set.fingerprint_key_of(organization) if self._key_set else b""

    def _recorded(self) -> list[str]:
        return [entry.kid for entry in self._timetable.entries] if self._timetable else []


@dataclass(slots=True)
class MountedKeys:
    """Keys that the controller made: Secret and ConfigMap as the kubelet mounts them.

    The kubelet brings a changed ConfigMap after up to two minutes; ``put_state`` takes it from a watch, so that a tainted key
    is gone at once. The mounted one serves until the watch has spoken, also when the API server is away.
    """

    keys_dir: Path
    state_dir: Path
    _watched: str = field(default="", init=False)
    _last: tuple[Mapping[str, bytes], str] = field(default=({}, ""), init=False)

    def put_state(self, item: Mapping[str, Any]) -> None:
        """Take the ConfigMap from the API server."""
        self._watched = str((item.get("data") or {}).get(STATE_FILE, ""))

    def drop_state(self, item: Mapping[str, Any]) -> None:
        """A deleted record changes nothing here: the controller makes it anew or says what is lost."""
        del item
        log.error("the record of the signing keys was deleted; the last one is in force")

    def __call__(self) -> Loaded | None:
        """Return keys and timetable if they changed; raises ``KeysError``."""
        entries, state = _read_folder(self.keys_dir), self._watched or _read(self.state_dir / STATE_FILE)
        if (entries, state) == self._last or not state:
            return None
        self._last = entries, state
        timetable = Timetable.parse(state)
        # Recorded and absent is a loss, which the keyring tells; absent and unreadable are not the same.
        return KeySet.parse(entries) if entries else KeySet((), b""), timetable


@dataclass(slots=True)
class OwnKeys:
    """Keys of an administrator, PEM: the first one signs, all are published; rotating them is the administrator's."""

    text: Callable[[], SecretValue]
    clock: Clock
    _last: SecretValue = field(default_factory=lambda: SecretValue(""), init=False)

    def __call__(self) -> Loaded | None:
        """Return keys and a timetable in which the first one signs; raises ``KeysError``."""
        text = self.text()
        if text == self._last:
            return None
        self._last = text
        key_set = KeySet.parse_own(text.reveal())
        # Replicas do not talk: the epoch must follow from the keys alone.
        epoch = zlib.crc32(" ".join(key.kid for key in key_set.keys).encode())
        now = float(int(self.clock.now()))
        entries = [KeyEntry(key.kid, now, now if number == 0 else None) for number, key in enumerate(key_set.keys)]
        return key_set, Timetable(tuple(entries), epoch)


def _read_folder(folder: Path) -> dict[str, bytes]:
    """Read the entries of a mounted Secret; the kubelet's own names begin with ``..``."""
    try:
        files = [file for file in folder.iterdir() if not file.name.startswith("..")]
        return {file.name: file.read_bytes() for file in files}
    except OSError:
        return {}


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
