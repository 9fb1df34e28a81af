"""The keys in use: read from the mounted Secret and state, read again when they change."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field
from pathlib import Path

from wi_operator.core.clock import Clock
from wi_operator.core.log import fields
from wi_operator.federation.keys import KeysError, KeySet, KeyState, SigningKey, initial_state

POLL_SECONDS = 2.0

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Keyring:
    """Answers which keys are published and which one signs now; holds parsed keys, parsed once per change."""

    keys_file: Path
    state_file: Path
    clock: Clock
    _key_set: KeySet | None = field(default=None, init=False)
    _state: KeyState | None = field(default=None, init=False)
    _texts: tuple[str, str] = field(default=("", ""), init=False)

    async def follow(self) -> None:
        """Load now and then every two seconds until cancelled."""
        while True:
            await asyncio.to_thread(self.load)
            await asyncio.sleep(POLL_SECONDS)

    def load(self) -> None:
        """Read the files if they changed; unusable files leave the last good keys in place."""
        texts = _read(self.keys_file), _read(self.state_file)
        if texts == self._texts or not texts[0]:
            return
        try:
            key_set = KeySet.parse(texts[0])
            state = KeyState.parse(texts[1]) if texts[1] else initial_state(key_set, self.clock.now())
        except KeysError as error:
            log.error("keys not loaded", extra=fields(error=str(error)))
            return
        self._key_set, self._state, self._texts = key_set, state, texts
        log.info("keys loaded", extra=fields(published=state.published(self.clock.now()), epoch=state.epoch))

    @property
    def epoch(self) -> int:
        """Changes whenever grants signed before should be replaced."""
        return self._state.epoch if self._state else 0

    def published(self) -> list[SigningKey]:
        """The keys that the JWKS shows now."""
        if self._key_set is None or self._state is None:
            return []
        kids = self._state.published(self.clock.now())
        return [key for key in self._key_set.keys if key.kid in kids]

    def signing(self) -> SigningKey | None:
        """The key that signs now: never one that is not published."""
        if self._state is None:
            return None
        kid = self._state.signing(self.clock.now())
        return next((key for key in self.published() if key.kid == kid), None)

    def fingerprint_key_of(self, organization: str) -> bytes:
        """Return the organization's fingerprint key, 32 bytes; empty without keys."""
        return self._key_set.fingerprint_key_of(organization) if self._key_set else b""


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
