"""When each signing key is published, signs and retires: ConfigMap ``wi-issuer-state``. Public, and pure.

Every replica acts on it by the clock, so that all agree without talking, also while the controller is away.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from wi_operator.core.clock import format_rfc3339, parse_rfc3339
from wi_operator.federation.keys import KeysError, KeySet

STATE_FILE = "state.json"


@dataclass(frozen=True, slots=True)
class KeyEntry:
    """A key's times, seconds since the epoch.

    ``sign_after`` is ``None`` until its publication was verified, ``retire_after`` until its successor may sign.
    """

    kid: str
    published_at: float
    sign_after: float | None = None
    retire_after: float | None = None

    def is_published(self, now: float) -> bool:
        """True from its publication until it retires."""
        return self.published_at <= now and (self.retire_after is None or now < self.retire_after)

    def may_sign(self, now: float) -> bool:
        """True while it is published and its time to sign has come."""
        return self.is_published(now) and self.sign_after is not None and self.sign_after <= now


@dataclass(frozen=True, slots=True)
class Timetable:
    """The content of ``state.json``.

    ``epoch`` counts changes that must make grants be minted anew; ``observed_rotate`` is the last request that was followed.
    """

    entries: tuple[KeyEntry, ...]
    epoch: int = 1
    observed_rotate: str = ""

    @classmethod
    def parse(cls, text: str) -> Timetable:
        """Read ``state.json``; raises ``KeysError``."""
        document = _read_object(text)
        entries, epoch = document.get("keys"), document.get("epoch")
        if not isinstance(entries, list) or not isinstance(epoch, int):
            raise KeysError(f"{STATE_FILE} needs the list 'keys' and the number 'epoch'")
        read = tuple(_read_entry(entry, number) for number, entry in enumerate(entries))
        return cls(read, epoch, str(document.get("observedRotate", "")))

    def render(self) -> str:
        """Write ``state.json``; times lose their fractions of a second."""
        keys = [_render_entry(entry) for entry in self.entries]
        return json.dumps({"keys": keys, "epoch": self.epoch, "observedRotate": self.observed_rotate})

    def find(self, kid: str) -> KeyEntry | None:
        """Return the entry of a key."""
        return next((entry for entry in self.entries if entry.kid == kid), None)

    def published(self, now: float) -> tuple[str, ...]:
        """Return the ids that the JWKS shows, in the state's order."""
        return tuple(entry.kid for entry in self.entries if entry.is_published(now))

    def signers(self, now: float) -> tuple[str, ...]:
        """Return the ids of the keys that may sign, newest first; the first one that a replica holds signs."""
        ripe = [entry for entry in self.entries if entry.may_sign(now)]
        return tuple(entry.kid for entry in sorted(ripe, key=lambda entry: -(entry.sign_after or 0.0)))


def first_timetable(key_set: KeySet, now: float, *, epoch: int = 1) -> Timetable:
    """Return the timetable of first keys: published and signing at once, since nobody can have cached others."""
    # Whole seconds are kept: rounding down makes the key usable now, not in a second.
    moment = float(int(now))
    return Timetable(tuple(KeyEntry(key.kid, moment, moment) for key in key_set.keys), epoch)


def _read_object(text: str) -> Mapping[str, Any]:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        raise KeysError(f"{STATE_FILE} is not JSON") from None
    if not isinstance(document, dict):
        raise KeysError(f"{STATE_FILE} is not a JSON object")
    return document


def _read_entry(entry: Any, number: int) -> KeyEntry:
    where = f"key {number} of {STATE_FILE}"
    if not isinstance(entry, dict) or not isinstance(entry.get("kid"), str):
        raise KeysError(f"{where} has no kid")
    published_at = _read_time(entry.get("publishedAt"), f"publishedAt of {where}")
    if published_at is None:
        raise KeysError(f"{where} has no publishedAt")
    return KeyEntry(
        kid=entry["kid"],
        published_at=published_at,
        sign_after=_read_time(entry.get("signAfter"), f"signAfter of {where}"),
        retire_after=_read_time(entry.get("retireAfter"), f"retireAfter of {where}"),
    )


def _read_time(text: Any, where: str) -> float | None:
    if text is None:
        return None
    try:
        return parse_rfc3339(text)
    except (ValueError, TypeError):
        raise KeysError(f"{where} is not a time as RFC 3339 writes it") from None


def _render_entry(entry: KeyEntry) -> dict[str, Any]:
    return {
        "kid": entry.kid,
        "publishedAt": format_rfc3339(entry.published_at),
        "signAfter": _render_time(entry.sign_after),
        "retireAfter": _render_time(entry.retire_after),
    }


def _render_time(moment: float | None) -> str | None:
    return None if moment is None else format_rfc3339(moment)
