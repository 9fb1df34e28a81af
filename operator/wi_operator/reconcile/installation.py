"""What an installation needs: internal CA and its bundle, certificates, signing keys, the CA in the webhook configurations."""

from __future__ import annotations

import asyncio
import base64
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from wi_operator.api import names
from wi_operator.cluster.client import KubernetesClient
from wi_operator.cluster.errors import ApiError, NotFoundError
from wi_operator.cluster.paths import configmaps_path, secrets_path, webhook_configuration_path
from wi_operator.core.clock import Clock
from wi_operator.core.log import fields
from wi_operator.federation import certificates
from wi_operator.federation.certificates import CertificateError, Pair
from wi_operator.reconcile.authority import AuthoritySettings, InternalAuthority, read_pair
from wi_operator.reconcile.objects import system_object

CHECK_SECONDS = 30.0
INCOMPLETE_SECONDS = 15.0
WEBHOOK_KINDS = ("mutating", "validating")

log = logging.getLogger(__name__)


class Keys(Protocol):
    """The signing keys as far as the installation is concerned."""

    async def ensure(self) -> bool:
        """Make what is missing; return whether all is in order."""


@dataclass(slots=True)
class Installation:
    """Keeps the installation's objects right; run by the leader only, harmless when two do.

    ``keys`` ``None``: not ours; without ``keeps_webhook`` its certificate and ``caBundle`` are not ours either.
    """

    client: KubernetesClient
    namespace: str
    clock: Clock
    keys: Keys | None = None
    rotation: AuthoritySettings = field(default_factory=AuthoritySettings)
    """Of the internal CA."""
    keeps_webhook: bool = True
    authority: str = field(default="", init=False)
    """The bundle of the internal CA, PEM; empty until the first ``ensure``."""
    _internal: InternalAuthority = field(init=False)

    def __post_init__(self) -> None:
        self._internal = InternalAuthority(self.client, self.namespace, self.clock, self.rotation)

    async def ensure(self) -> float:
        """Create and renew what is missing or old; return seconds until the next look. Raises ``ApiError``."""
        authorities = await self._internal.ensure()
        # Everybody must trust the next CA before it signs: bundle and webhook configurations come before the leaves.
        await self._ensure_bundle(authorities.bundle)
        self.authority = authorities.bundle
        kinds = WEBHOOK_KINDS if self.keeps_webhook else ()
        present = [await self._ensure_webhooks(kind, authorities.bundle) for kind in kinds]
        await self._ensure_leaf(names.ISSUER_TLS_SECRET, authorities.active, self._issuer_names())
        if self.keeps_webhook:
            await self._ensure_leaf(names.WEBHOOK_TLS_SECRET, authorities.active, self._webhook_names())
        has_keys = self.keys is None or await self.keys.ensure()
        return CHECK_SECONDS if has_keys and all(present) else INCOMPLETE_SECONDS

    def _issuer_names(self) -> tuple[str, ...]:
        services = (names.GRANTS_SERVICE, names.ISSUER)
        return tuple(name for service in services for name in self._service_names(service))

    def _webhook_names(self) -> tuple[str, ...]:
        return self._service_names(names.WEBHOOK)

    def _service_names(self, service: str) -> tuple[str, ...]:
        short = f"{service}.{self.namespace}.svc"
        return short, f"{short}.cluster.local"

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
        return read_pair(data, name), secret["metadata"]["resourceVersion"]

    def _tls_secret(self, name: str, pair: Pair, authority: str) -> dict[str, Any]:
        data = {"tls.crt": _encode(pair.certificate), "tls.key": _encode(pair.key), "ca.crt": _encode(authority)}
        return {**system_object("Secret", name, self.namespace), "type": "kubernetes.io/tls", "data": data}

    async def _ensure_bundle(self, authority: str) -> None:
        path = configmaps_path(self.namespace, names.CA_CONFIGMAP)
        wanted = {"ca.crt": authority}
        try:
            if (await self.client.get(path)).get("data") == wanted:
                return
        except NotFoundError:
            log.info("public CA bundle is missing: writing it", extra=fields(configmap=names.CA_CONFIGMAP))
        body = {**system_object("ConfigMap", names.CA_CONFIGMAP, self.namespace), "data": wanted}
        await self.client.apply(path, body, manager=names.FIELD_MANAGER)

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
