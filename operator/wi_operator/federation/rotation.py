"""What is next for the signing keys: publish, verify, sign, retire. Pure; ``reconcile.signing_keys`` carries it out.

Why these steps: a cloud keeps the key set of an issuer for minutes to hours and refuses a token whose key it does not know yet.
So a key is published first, seen by us through the public URL, and signs ``publish_before`` later; its predecessor
stays published until every token that it signed has ended.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

from wi_operator.federation.timetable import KeyEntry, Timetable

DAY = 86400.0


@dataclass(frozen=True, slots=True)
class RotationSettings:
    """Seconds. ``every`` 0 means: only when asked. ``retire_after`` must not be less than the longest life of a token."""

    every: float = 90 * DAY
    publish_before: float = DAY
    retire_after: float = 7200.0


@dataclass(frozen=True, slots=True)
class Requests:
    """What administrators asked for by annotations on the Secret; whoever may patch it decides."""

    rotate: str = ""
    taint: str = ""
    confirm: str = ""


def taint(timetable: Timetable, kid: str) -> Timetable:
    """Take a key out at once; grants that it signed are minted anew, because the epoch moves."""
    entries = tuple(entry for entry in timetable.entries if entry.kid != kid)
    if entries == timetable.entries:
        return timetable
    # The predecessor goes on if there is one: its end was set for a successor that is gone.
    if not any(entry.retire_after is None for entry in entries):
        entries = tuple(replace(entry, retire_after=None) for entry in entries)
    return replace(timetable, entries=entries, epoch=timetable.epoch + 1)


def drop_retired(timetable: Timetable, now: float) -> Timetable:
    """Forget keys whose time is over."""
    kept = tuple(entry for entry in timetable.entries if entry.retire_after is None or now < entry.retire_after)
    return timetable if kept == timetable.entries else replace(timetable, entries=kept)


def needs_key(timetable: Timetable, now: float, settings: RotationSettings, rotate: str) -> bool:
    """Tell whether a new key is due; never while one is already on its way."""
    newest = max(timetable.entries, key=lambda entry: entry.published_at, default=None)
    if newest is None:
        return True
    if not newest.may_sign(now):
        return False
    is_old = settings.every > 0 and now - newest.published_at >= settings.every
    return is_old or (bool(rotate) and rotate != timetable.observed_rotate)


def publish(timetable: Timetable, kid: str, now: float, rotate: str) -> Timetable:
    """Enter a new key: published, not signing; ``rotate`` is the request that this follows."""
    entry = KeyEntry(kid, float(int(now)))
    return replace(timetable, entries=(*timetable.entries, entry), observed_rotate=rotate or timetable.observed_rotate)


def find_unverified(timetable: Timetable) -> KeyEntry | None:
    """Return the key that waits for the proof of its publication."""
    return next((entry for entry in timetable.entries if entry.sign_after is None), None)


def arm(timetable: Timetable, kid: str, now: float, settings: RotationSettings) -> Timetable:
    """Set when a key, now seen in public, signs, and when the others retire.

    With no other key that may sign there is nothing to wait for: minting stands still until it signs.
    """
    is_alone = not timetable.signers(now)
    sign_after = float(int(now if is_alone else now + settings.publish_before))
    retire_after = sign_after + settings.retire_after
    return replace(timetable, entries=tuple(_arm(e, kid, sign_after, retire_after) for e in timetable.entries))


def _arm(entry: KeyEntry, kid: str, sign_after: float, retire_after: float) -> KeyEntry:
    if entry.kid == kid:
        return replace(entry, sign_after=sign_after)
    return replace(entry, retire_after=retire_after) if entry.retire_after is None else entry


def find_lost(timetable: Timetable, held: Collection[str]) -> tuple[str, ...]:
    """Return recorded keys that the Secret no longer holds: never replaced unasked."""
    return tuple(entry.kid for entry in timetable.entries if entry.kid not in held)
