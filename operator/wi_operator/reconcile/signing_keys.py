"""The signing keys' life: made once, rotated by their timetable, never silently replaced.

The controller adds and removes entries of Secret ``wi-issuer-keys`` by patches and reads its metadata only. Order, and why a
crash between two steps is harmless:

1. If ConfigMap ``wi-issuer-state`` exists, no Secret is ever created: a recorded key that is not held is ``KeyLost``.
2. Otherwise the Secret is created (create-only) with its key ids in an annotation; if it exists already (a crash after this
   step, or another replica), its *metadata* tells the ids.
3. The state is created (create-only) with these ids. Whoever loses the race wrote the same ones.
4. A new key goes into the Secret first and then into the state. One that is held but not recorded was never published: it is
   removed.
"""

from __future__ import annotations

import asyncio
import base64
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from wi_operator.api import names, reasons
from wi_operator.cluster.client import KubernetesClient
from wi_operator.cluster.errors import ApiError, ConflictError, NotFoundError
from wi_operator.cluster.paths import configmaps_path, secrets_path
from wi_operator.core.clock import Clock
from wi_operator.core.log import fields
from wi_operator.federation import rotation
from wi_operator.federation.keys import PEM_SUFFIX, KeysError, KeySet, generate_key_set, generate_signing_key
from wi_operator.federation.rotation import Requests, RotationSettings
from wi_operator.federation.timetable import STATE_FILE, KeyEntry, Timetable, first_timetable
from wi_operator.reconcile.events import post_event, render_change
from wi_operator.reconcile.objects import system_object
from wi_operator.reconcile.public_keys import PublicKeysError

LOOK_SECONDS = 5.0
CONFIRMATIONS = 16
"""Fetches, each on a new connection, that must all show a key: behind the public URL are several replicas."""
SILENCE_SECONDS = 300.0

LOST = (
    "a signing key is lost: restore Secret wi-issuer-keys, or accept the loss by the annotation "
    f"{names.ACCEPT_LOSS_ANNOTATION} on ConfigMap wi-issuer-state with the key's id; nothing is signed with a new key unasked"
)

FetchKids = Callable[[], Awaitable[frozenset[str]]]

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Record:
    """The ConfigMap as read; ``accepted`` is the lost key that an administrator gives up."""

    timetable: Timetable
    version: str
    accepted: str
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Held:
    """The Secret's metadata as read."""

    kids: tuple[str, ...]
    version: str
    requests: Requests


@dataclass(slots=True)
class SigningKeys:
    """Run by the leader only, harmless when two do. ``fetch_kids`` reads the JWKS through the public URL."""

    client: KubernetesClient
    namespace: str
    clock: Clock
    settings: RotationSettings
    fetch_kids: FetchKids
    _told: tuple[str, float] = field(default=("", 0.0), init=False)
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock, init=False)

    async def ensure(self) -> bool:
        """Make the first key if there is none, and take the next step of a rotation; return whether all is in order.

        Raises ``ApiError``.
        """
        async with self._lock:
            return await self._ensure()

    async def _ensure(self) -> bool:
        record = await self._read_record()
        if record is None:
            return await self._begin()
        if not record.timetable.entries and not record.version:
            return False
        held = await self._read_held()
        lost = rotation.find_lost(record.timetable, held.kids if held else ())
        if held is None or lost:
            return await self._mourn(record, held, lost)
        await self._advance(record, held)
        return True

    async def keep(self) -> None:
        """Look again and again, until cancelled: annotations and times are acted on within seconds."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            try:
                await self.ensure()
            except ApiError as error:
                self._tell("signing keys not checked", error=str(error))

    async def _begin(self) -> bool:
        fresh = await asyncio.to_thread(generate_key_set)
        try:
            await self.client.create(secrets_path(self.namespace), self._secret(fresh))
        except ConflictError:
            held = await self._read_held()
            if held is None or not held.kids:
                self._tell(
                    "the Secret with the signing keys was not made by this operator: write its key ids into the annotation"
                )
                return False
            moment = float(int(self.clock.now()))
            timetable = Timetable(tuple(KeyEntry(kid, moment, moment) for kid in held.kids))
        else:
            timetable = first_timetable(fresh, self.clock.now())
            log.info("signing key created", extra=fields(secret=names.KEYS_SECRET, kid=fresh.keys[0].kid))
        body = system_object("ConfigMap", names.STATE_CONFIGMAP, self.namespace) | _state_data(timetable)
        try:
            await self.client.create(configmaps_path(self.namespace), body)
        except ConflictError:
            log.info("another replica recorded the signing key", extra=fields(configmap=names.STATE_CONFIGMAP))
        return True

    def _secret(self, key_set: KeySet) -> dict[str, Any]:
        secret = system_object("Secret", names.KEYS_SECRET, self.namespace)
        secret["metadata"]["annotations"] = {names.KIDS_ANNOTATION: _join(key.kid for key in key_set.keys)}
        return secret | {"type": "Opaque", "data": {name: _encode(entry) for name, entry in key_set.render().items()}}

    async def _mourn(self, record: Record, held: Held | None, lost: tuple[str, ...]) -> bool:
        """Say loudly what is lost; begin anew only when an administrator has named the lost key."""
        if record.accepted not in lost:
            if self._tell(LOST, kids=list(lost), secret=names.KEYS_SECRET, reason=reasons.KEY_LOST):
                await self._warn(record, f"{LOST} ({', '.join(lost)})")
            return False
        fresh = await asyncio.to_thread(generate_key_set)
        log.warning("loss of signing keys accepted", extra=fields(lost=list(lost), kid=fresh.keys[0].kid))
        if held is None:
            await self.client.create(secrets_path(self.namespace), self._secret(fresh))
        else:
            await self._patch_secret(held, add=fresh.render(), kids=(fresh.keys[0].kid,))
        # Nothing else can sign: nobody waits for publication.
        timetable = first_timetable(fresh, self.clock.now(), epoch=record.timetable.epoch + 1)
        await self._write_record(record, timetable)
        return True

    async def _warn(self, record: Record, message: str) -> None:
        item = {"apiVersion": "v1", "metadata": record.metadata}
        now = self.clock.now()
        event = render_change("ConfigMap", item, reasons.KEY_LOST, message, instance=names.CONTROLLER, now=now)
        await post_event(self.client, event)

    async def _advance(self, record: Record, held: Held) -> None:
        now, requests, before = self.clock.now(), held.requests, record.timetable
        timetable = rotation.drop_retired(before, now)
        if requests.taint:
            timetable = rotation.taint(timetable, requests.taint)
        if timetable != before:
            await self._write_record(record, timetable)
            gone = [entry.kid for entry in before.entries if timetable.find(entry.kid) is None]
            log.warning("signing keys taken out", extra=fields(kids=gone, tainted=requests.taint in gone))
            return
        orphans = [kid for kid in held.kids if timetable.find(kid) is None]
        if orphans:
            await self._patch_secret(held, remove=orphans, kids=[k for k in held.kids if k not in orphans])
        elif rotation.needs_key(timetable, now, self.settings, requests.rotate):
            await self._publish(record, held)
        else:
            await self._arm(record, requests.confirm)

    async def _publish(self, record: Record, held: Held) -> None:
        key = await asyncio.to_thread(generate_signing_key)
        await self._patch_secret(held, add={key.entry: key.render()}, kids=[*held.kids, key.kid])
        timetable = rotation.publish(record.timetable, key.kid, self.clock.now(), held.requests.rotate)
        await self._write_record(record, timetable)
        log.info("signing key published", extra=fields(kid=key.kid))

    async def _arm(self, record: Record, confirmed: str) -> None:
        pending = rotation.find_unverified(record.timetable)
        if pending is None or (confirmed != pending.kid and not await self._is_public(pending.kid)):
            return
        timetable = rotation.arm(record.timetable, pending.kid, self.clock.now(), self.settings)
        await self._write_record(record, timetable)
        entry = timetable.find(pending.kid)
        log.info("signing key verified in public", extra=fields(kid=pending.kid, sign_after=entry and entry.sign_after))

    async def _is_public(self, kid: str) -> bool:
        """Tell whether the public copy shows the key, whichever replica answers; otherwise say so now and then."""
        for _ in range(CONFIRMATIONS):
            try:
                shown = kid in await self.fetch_kids()
            except PublicKeysError as error:
                self._tell("the public key set cannot be read: the new key waits", kid=kid, error=str(error))
                return False
            if not shown:
                self._tell("the public key set does not show the new key yet: it waits", kid=kid)
                return False
        return True

    async def _read_record(self) -> Record | None:
        try:
            found = await self.client.get(configmaps_path(self.namespace, names.STATE_CONFIGMAP))
        except NotFoundError:
            return None
        metadata = found["metadata"]
        accepted = (metadata.get("annotations") or {}).get(names.ACCEPT_LOSS_ANNOTATION, "")
        try:
            timetable = Timetable.parse((found.get("data") or {}).get(STATE_FILE, ""))
        except KeysError as error:
            # Unreadable is not absent: making a new key now would be the silent replacement that must not happen.
            self._tell(
                "the record of the signing keys is unreadable: restore it",
                configmap=names.STATE_CONFIGMAP,
                error=str(error),
                reason=reasons.KEY_LOST,
            )
            return Record(Timetable(()), "", "")
        return Record(timetable, metadata["resourceVersion"], accepted, metadata)

    async def _write_record(self, record: Record, timetable: Timetable) -> None:
        body = {"metadata": {"resourceVersion": record.version}, **_state_data(timetable)}
        await self.client.merge(configmaps_path(self.namespace, names.STATE_CONFIGMAP), body)

    async def _read_held(self) -> Held | None:
        try:
            found = await self.client.read_metadata(secrets_path(self.namespace, names.KEYS_SECRET))
        except NotFoundError:
            return None
        metadata = found["metadata"]
        notes = metadata.get("annotations") or {}
        requests = Requests(
            rotate=notes.get(names.ROTATE_ANNOTATION, ""),
            taint=notes.get(names.TAINT_ANNOTATION, ""),
            confirm=notes.get(names.CONFIRM_ANNOTATION, ""),
        )
        return Held(
            tuple(filter(None, notes.get(names.KIDS_ANNOTATION, "").split(","))), metadata["resourceVersion"], requests
        )

    async def _patch_secret(
        self, held: Held, *, kids: Any, add: dict[str, bytes] | None = None, remove: Any = ()
    ) -> None:
        """Add and remove entries; the answer is metadata only, and the version guards against another's change."""
        data: dict[str, str | None] = {name: _encode(entry) for name, entry in (add or {}).items()}
        data |= {kid + PEM_SUFFIX: None for kid in remove}
        metadata = {"resourceVersion": held.version, "annotations": {names.KIDS_ANNOTATION: _join(kids)}}
        path = secrets_path(self.namespace, names.KEYS_SECRET)
        await self.client.merge_blind(path, {"metadata": metadata, "data": data})

    def _tell(self, message: str, **values: Any) -> bool:
        """Log a state that lasts, when it begins and then every five minutes; return whether it was told now."""
        now = self.clock.monotonic()
        if self._told[0] == message and now - self._told[1] < SILENCE_SECONDS:
            return False
        self._told = message, now
        log.error(message, extra=fields(**values))
        return True


def _state_data(timetable: Timetable) -> dict[str, Any]:
    return {"data": {STATE_FILE: timetable.render()}}


def _join(kids: Any) -> str:
    return ",".join(kids)


def _encode(entry: bytes) -> str:
    return base64.b64encode(entry).decode()
