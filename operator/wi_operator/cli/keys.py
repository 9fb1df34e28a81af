"""``kubectl wi keys``: the timetable of the signing keys, and requests by annotations on their Secret; no key comes here."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from rich.console import RenderableType
from rich.text import Text

from wi_operator.api import names
from wi_operator.cli.complaints import Complaint
from wi_operator.cli.exits import Exit
from wi_operator.cli.output import table
from wi_operator.cli.times import age
from wi_operator.cluster.client import KubernetesClient
from wi_operator.cluster.errors import ForbiddenError, NotFoundError
from wi_operator.cluster.paths import configmaps_path, secrets_path
from wi_operator.core.clock import format_rfc3339
from wi_operator.federation.keys import KeysError
from wi_operator.federation.timetable import STATE_FILE, KeyEntry, Timetable

SECRET = secrets_path(names.SYSTEM_NAMESPACE, names.KEYS_SECRET)
STATE = configmaps_path(names.SYSTEM_NAMESPACE, names.STATE_CONFIGMAP)
LOOK_SECONDS = 0.5
NO_RECORD = (
    "There is no record of signing keys (ConfigMap wi-system/wi-issuer-state): the keys are your own (chart value "
    "issuer.ownKeys), or wi-controller has not run yet. kubectl wi doctor"
)


@dataclass(frozen=True, slots=True)
class KeyRow:
    """A key; times are RFC 3339, ``""`` while they are not set."""

    kid: str
    state: str
    published: str
    signs: str
    retires: str


async def read_timetable(client: KubernetesClient) -> tuple[Timetable, tuple[str, ...] | None]:
    """Return the record, and the ids that the Secret holds (``None`` for who may not read it).

    Raises ``Complaint``, ``ApiError``.
    """
    try:
        found = await client.get(STATE)
        timetable = Timetable.parse((found.get("data") or {}).get(STATE_FILE, ""))
    except NotFoundError:
        raise Complaint(NO_RECORD) from None
    except KeysError as error:
        raise Complaint(
            f"The record of the signing keys is unreadable: {error}. Restore ConfigMap wi-issuer-state."
        ) from error
    return timetable, await read_held(client)


async def read_held(client: KubernetesClient) -> tuple[str, ...] | None:
    """Return the ids of the keys in the Secret: none without one, ``None`` when its metadata may not be read."""
    try:
        notes = (await client.get_metadata(SECRET))["metadata"].get("annotations") or {}
    except NotFoundError:
        return ()
    except ForbiddenError:
        return None
    return tuple(filter(None, notes.get(names.KIDS_ANNOTATION, "").split(",")))


def rows(timetable: Timetable, held: Iterable[str] | None, now: float) -> tuple[KeyRow, ...]:
    """Return the keys in the record's order; pure."""
    kept = None if held is None else set(held)
    signing = next(iter(timetable.signers(now)), "")
    return tuple(
        KeyRow(
            kid=entry.kid,
            state="lost" if kept is not None and entry.kid not in kept else _state(entry, signing, now),
            published=format_rfc3339(entry.published_at),
            signs="" if entry.sign_after is None else format_rfc3339(entry.sign_after),
            retires="" if entry.retire_after is None else format_rfc3339(entry.retire_after),
        )
        for entry in timetable.entries
    )


def _state(entry: KeyEntry, signing: str, now: float) -> str:
    if entry.sign_after is None:
        return "published, waits to be seen in public"
    if entry.sign_after > now:
        return f"published, signs in {age(entry.sign_after - now)}"
    if entry.kid == signing:
        return "signs"
    return "retired" if not entry.is_published(now) else "published, signs no more"


def render(listed: tuple[KeyRow, ...]) -> RenderableType:
    """Return a line a key."""
    style = {"signs": "green", "lost": "bold red"}
    shown = [
        (row.kid, Text(row.state, style.get(row.state, "yellow")), row.published, row.signs or "-", row.retires or "-")
        for row in listed
    ]
    return table(("kid", "state", "published", "signs after", "retires after"), shown)


def find(timetable: Timetable, kid: str) -> str:
    """Return the id that ``kid`` begins; raises ``Complaint`` for none and for several."""
    found = [entry.kid for entry in timetable.entries if entry.kid.startswith(kid)] if kid else []
    if len(found) == 1:
        return found[0]
    listed = ", ".join(entry.kid for entry in timetable.entries) or "none"
    raise Complaint(f"'{kid}' begins the ids of {len(found)} keys; there are: {listed}.", Exit.USAGE)


def check_rotation(timetable: Timetable, now: float) -> None:
    """Raise ``Complaint`` while a new key is already on its way; pure."""
    newest = max(timetable.entries, key=lambda entry: entry.published_at, default=None)
    if newest is not None and not newest.may_sign(now):
        raise Complaint(
            f"Key {newest.kid} is on its way already ({_state(newest, '', now)}): wait for it, or taint it. "
            "kubectl wi keys list",
            Exit.BAD,
        )


def is_armed(timetable: Timetable, kid: str) -> bool:
    """Tell whether it is set when the key signs; pure."""
    entry = timetable.find(kid)
    return entry is not None and entry.sign_after is not None


async def ask(client: KubernetesClient, **annotations: str) -> None:
    """Write requests onto the Secret; its content is neither read nor returned."""
    named = {
        "rotate": names.ROTATE_ANNOTATION,
        "taint": names.TAINT_ANNOTATION,
        "confirm": names.CONFIRM_ANNOTATION,
    }
    body: Mapping[str, object] = {"metadata": {"annotations": {named[key]: text for key, text in annotations.items()}}}
    await client.merge_blind(SECRET, body)


async def wait(client: KubernetesClient, is_done: Callable[[Timetable], bool], *, seconds: float) -> Timetable:
    """Wait until the controller has followed a request; raises ``Complaint`` when it does not in time."""
    deadline = asyncio.get_running_loop().time() + seconds
    while True:
        timetable, _ = await read_timetable(client)
        if is_done(timetable):
            return timetable
        if asyncio.get_running_loop().time() > deadline:
            raise Complaint(
                f"wi-controller did not follow within {seconds:g} s. kubectl -n wi-system logs deploy/wi-controller",
                Exit.NO_VERDICT,
            )
        await asyncio.sleep(LOOK_SECONDS)
