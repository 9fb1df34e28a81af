"""What an installation needs once: internal CA, certificates, signing key, and the CA in the webhook configurations.

The signing key is made once and never silently again. Order, and why a crash between two steps is harmless:

1. If ConfigMap ``wi-issuer-state`` exists, no Secret is ever created: a Secret that is gone then is ``KeyLost``.
2. Otherwise Secret ``wi-issuer-keys`` is created (create-only) with its key id in an annotation. If it exists already (a
   crash after this step, or another replica), its *metadata* tells the key id; the key itself is not read.
3. The state is created (create-only) with that key id. Whoever loses the race wrote the same id, since the Secret
   is never replaced here.
"""

from __future__ import annotations

import asyncio
import base64
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from wi_operator.api import names, reasons
from wi_operator.cluster.client import KubernetesClient
from wi_operator.cluster.errors import ApiError, ConflictError, NotFoundError
from wi_operator.cluster.paths import configmaps_path, secrets_path, webhook_configuration_path
from wi_operator.core.clock import Clock
from wi_operator.core.log import fields
from wi_operator.federation import certificates
from wi_operator.federation.certificates import CertificateError, Pair
from wi_operator.federation.keys import (
    KEYS_FILE,
    STATE_FILE,
    KeyEntry,
    KeysError,
    KeyState,
    generate_key_set,
    initial_state,
)

KID_ANNOTATION = f"{names.GROUP}/kid"
CHECK_SECONDS = 3600.0
INCOMPLETE_SECONDS = 15.0
WEBHOOK_KINDS = ("mutating", "validating")
PART_OF = {"app.kubernetes.io/part-of": names.FIELD_MANAGER}

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Installation:
    """Keeps the installation's objects right; run by the leader only, harmless when two do."""

    client: KubernetesClient
    namespace: str
    clock: Clock
    authority: str = field(default="", init=False)
    """The internal CA, PEM; empty until the first ``ensure``."""

    async def ensure(self) -> float:
        """Create and renew what is missing or old; return seconds until the next look. Raises ``ApiError``."""
        authority = await self._ensure_authority()
        await self._ensure_leaf(names.ISSUER_TLS_SECRET, authority, self._issuer_names())
        await self._ensure_leaf(names.WEBHOOK_TLS_SECRET, authority, self._webhook_names())
        await self._ensure_bundle(authority.certificate)
        self.authority = authority.certificate
        has_keys = await self._ensure_keys()
        present = [await self._ensure_webhooks(kind, authority.certificate) for kind in WEBHOOK_KINDS]
        return CHECK_SECONDS if has_keys and all(present) else INCOMPLETE_SECONDS

    def _issuer_names(self) -> tuple[str, ...]:
        services = (names.GRANTS_SERVICE, names.ISSUER)
        return tuple(name for service in services for name in self._service_names(service))

    def _webhook_names(self) -> tuple[str, ...]:
        return self._service_names(names.WEBHOOK)

    def _service_names(self, service: str) -> tuple[str, ...]:
        short = f"{service}.{self.namespace}.svc"
        return short, f"{short}.cluster.local"

    async def _ensure_authority(self) -> Pair:
        found = await self._read_pair(names.CA_SECRET)
        if found is not None:
            return found[0]
        pair = await asyncio.to_thread(certificates.generate_authority, self.clock.now())
        try:
            await self.client.create(secrets_path(self.namespace), self._tls_secret(names.CA_SECRET, pair))
        except ConflictError:
            # Another replica was faster: its CA is the one.
            found = await self._read_pair(names.CA_SECRET)
            if found is None:
                raise
            return found[0]
        log.info("internal CA created", extra=fields(secret=names.CA_SECRET))
        return pair

    async def _ensure_leaf(self, name: str, authority: Pair, hosts: tuple[str, ...]) -> None:
        found, now = await self._read_pair(name), self.clock.now()
        if found is not None and certificates.is_usable(found[0], authority.certificate, hosts, now=now):
            return
        pair = await asyncio.to_thread(certificates.issue_leaf, authority, hosts, now=now)
        secret = self._tls_secret(name, pair, authority.certificate)
        if found is None:
            await self.client.create(secrets_path(self.namespace), secret)
        else:
            secret["metadata"]["resourceVersion"] = found[1]
            await self.client.replace(secrets_path(self.namespace, name), secret)
        log.info("certificate issued", extra=fields(secret=name, names=list(hosts)))

    async def _read_pair(self, name: str) -> tuple[Pair, str] | None:
        try:
            secret = await self.client.get(secrets_path(self.namespace, name))
        except NotFoundError:
            return None
        data: Mapping[str, str] = secret.get("data") or {}
        return Pair(_decode(data, "tls.crt", name), _decode(data, "tls.key", name)), secret["metadata"][
            "resourceVersion"
        ]

    def _tls_secret(self, name: str, pair: Pair, authority: str = "") -> dict[str, Any]:
        data = {"tls.crt": _encode(pair.certificate), "tls.key": _encode(pair.key)}
        if authority:
            data["ca.crt"] = _encode(authority)
        return {**self._object("Secret", name), "type": "kubernetes.io/tls", "data": data}

    def _object(self, kind: str, name: str) -> dict[str, Any]:
        metadata = {"name": name, "namespace": self.namespace, "labels": dict(PART_OF)}
        return {"apiVersion": "v1", "kind": kind, "metadata": metadata}

    async def _ensure_bundle(self, authority: str) -> None:
        path = configmaps_path(self.namespace, names.CA_CONFIGMAP)
        wanted = {"ca.crt": authority}
        try:
            if (await self.client.get(path)).get("data") == wanted:
                return
        except NotFoundError:
            log.info("public CA bundle is missing: writing it", extra=fields(configmap=names.CA_CONFIGMAP))
        body = {**self._object("ConfigMap", names.CA_CONFIGMAP), "data": wanted}
        await self.client.apply(path, body, manager=names.FIELD_MANAGER)

    async def _ensure_keys(self) -> bool:
        """Return whether key and state fit; see the module's text for the order."""
        state = await self._read_state()
        if state is not None:
            return await self._compare_keys(state)
        fresh = await asyncio.to_thread(generate_key_set, self.clock.now())
        secret = self._object("Secret", names.KEYS_SECRET)
        secret["metadata"]["annotations"] = {KID_ANNOTATION: fresh.keys[0].kid}
        secret |= {"type": "Opaque", "data": {KEYS_FILE: _encode(fresh.render())}}
        try:
            await self.client.create(secrets_path(self.namespace), secret)
        except ConflictError:
            kid = await self._read_kid()
            if not kid:
                log.error(
                    "the Secret with the signing keys was not made by this operator: write its key id into the annotation",
                    extra=fields(secret=names.KEYS_SECRET, annotation=KID_ANNOTATION),
                )
                return False
            moment = float(int(self.clock.now()))
            timetable = KeyState((KeyEntry(kid, moment, moment),))
        else:
            timetable = initial_state(fresh, self.clock.now())
            log.info("signing key created", extra=fields(secret=names.KEYS_SECRET, kid=fresh.keys[0].kid))
        body = {**self._object("ConfigMap", names.STATE_CONFIGMAP), "data": {STATE_FILE: timetable.render()}}
        try:
            await self.client.create(configmaps_path(self.namespace), body)
        except ConflictError:
            log.info("another replica recorded the signing key", extra=fields(configmap=names.STATE_CONFIGMAP))
        return True

    async def _read_state(self) -> KeyState | None:
        try:
            found = await self.client.get(configmaps_path(self.namespace, names.STATE_CONFIGMAP))
        except NotFoundError:
            return None
        try:
            return KeyState.parse((found.get("data") or {}).get(STATE_FILE, ""))
        except KeysError as error:
            # Unreadable is not absent: making a new key now would be the silent replacement that must not happen.
            log.error(
                "the record of the signing keys is unreadable: restore it",
                extra=fields(configmap=names.STATE_CONFIGMAP, error=str(error)),
            )
            return KeyState(())

    async def _compare_keys(self, state: KeyState) -> bool:
        try:
            kid = await self._read_kid()
        except NotFoundError:
            log.error(
                "the signing key is lost: restore the Secret; nothing is signed with a new one unasked",
                extra=fields(secret=names.KEYS_SECRET, reason=reasons.KEY_LOST),
            )
            return False
        if kid and kid not in {entry.kid for entry in state.entries}:
            log.error(
                "the Secret holds another signing key than recorded: restore the Secret",
                extra=fields(secret=names.KEYS_SECRET, kid=kid, reason=reasons.KEY_LOST),
            )
            return False
        return True

    async def _read_kid(self) -> str:
        found = await self.client.read_metadata(secrets_path(self.namespace, names.KEYS_SECRET))
        return str((found["metadata"].get("annotations") or {}).get(KID_ANNOTATION, ""))

    async def _ensure_webhooks(self, kind: str, authority: str) -> bool:
        """Apply ``caBundle``, and nothing else, to each webhook of a configuration; false while there is none."""
        path = webhook_configuration_path(kind, names.WEBHOOK_CONFIGURATION)
        try:
            found = await self.client.get(path)
        except NotFoundError:
            log.warning("no webhook configuration yet", extra=fields(kind=kind, name=names.WEBHOOK_CONFIGURATION))
            return False
        bundle, webhooks = _encode(authority), found.get("webhooks") or []
        if all(webhook["clientConfig"].get("caBundle") == bundle for webhook in webhooks):
            return True
        body = {
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": f"{kind.capitalize()}WebhookConfiguration",
            # With the version that was read, a configuration deleted meanwhile is not created as a torso.
            "metadata": {
                "name": names.WEBHOOK_CONFIGURATION,
                "uid": found["metadata"]["uid"],
                "resourceVersion": found["metadata"]["resourceVersion"],
            },
            "webhooks": [{"name": webhook["name"], "clientConfig": {"caBundle": bundle}} for webhook in webhooks],
        }
        await self.client.apply(path, body, manager=names.FIELD_MANAGER)
        log.info("CA given to the webhook configuration", extra=fields(kind=kind))
        return True

    async def keep(self) -> None:
        """Look again and again, until cancelled; ``ensure`` must have succeeded once."""
        delay = INCOMPLETE_SECONDS
        while True:
            await asyncio.sleep(delay)
            try:
                delay = await self.ensure()
            except (ApiError, CertificateError) as error:
                delay = INCOMPLETE_SECONDS
                log.warning("installation not checked", extra=fields(error=str(error), retry_seconds=delay))


def _encode(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _decode(data: Mapping[str, str], entry: str, secret: str) -> str:
    try:
        return base64.b64decode(data.get(entry, ""), validate=True).decode()
    except ValueError:
        raise CertificateError(f"{entry} of Secret {secret} is not text") from None
