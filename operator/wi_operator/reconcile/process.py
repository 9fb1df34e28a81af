"""The controller process: everyone watches, one leads."""

from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import Awaitable
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry

from wi_operator.cluster.client import KubernetesClient
from wi_operator.cluster.errors import ApiError
from wi_operator.cluster.pulse import Pulse, Pulses
from wi_operator.core.clock import Clock, SystemClock
from wi_operator.core.errors import SettingsError
from wi_operator.core.log import fields
from wi_operator.core.memory import give_back
from wi_operator.core.metrics import Certificates
from wi_operator.federation.certificates import CertificateError
from wi_operator.reconcile.audit import Audit
from wi_operator.reconcile.catch_up import catch_up
from wi_operator.reconcile.connections import trust
from wi_operator.reconcile.gather import Gatherer
from wi_operator.reconcile.handlers import make_pulses, watch
from wi_operator.reconcile.handshake import Handshaker
from wi_operator.reconcile.installation import Installation
from wi_operator.reconcile.leadership import BoundedLock, end, lead
from wi_operator.reconcile.metrics import AppMetrics, CheckMetrics, ObjectMetrics, WorkMetrics, authority_expiry
from wi_operator.reconcile.probes import Probes
from wi_operator.reconcile.public_keys import fetch_kids
from wi_operator.reconcile.publication import KEEP_SECONDS, Publication
from wi_operator.reconcile.queue import KeyedQueue
from wi_operator.reconcile.reconciler import Reconciler
from wi_operator.reconcile.routes import lanes_of
from wi_operator.reconcile.settings import ControllerSettings
from wi_operator.reconcile.signing_keys import SigningKeys
from wi_operator.reconcile.store import Store

PREPARE_SECONDS = 3.0
SILENCE_LIMIT = 60.0
"""Seconds without an answer about the Lease after which the process counts as stuck."""

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Controller:
    """One process; ``run`` once."""

    settings: ControllerSettings
    client: KubernetesClient
    lock: BoundedLock
    clock: Clock
    registry: CollectorRegistry = field(default_factory=CollectorRegistry)
    installation: Installation = field(init=False)
    reconciler: Reconciler = field(init=False)
    audit: Audit = field(init=False)
    _handshaker: Handshaker = field(init=False)
    _pulses: dict[str, Pulse] = field(init=False)
    _watching: asyncio.Event = field(default_factory=asyncio.Event)
    _leading: bool = False
    _beat: float = field(init=False)
    _keys: SigningKeys | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self._beat = self.clock.monotonic()
        self.installation = Installation(
            self.client,
            self.settings.namespace,
            self.clock,
            self._signing_keys(),
            self.settings.authority,
            keeps_webhook=not self.settings.own_webhook_certificate,
        )
        store = Store()
        self._handshaker = Handshaker(
            grants_url=self.settings.grants_url,
            token_file=self.settings.token_file,
            allowed_hosts=self.settings.allowed_hosts,
            issuer_ca=self._issuer_ca,
            extra_ca=self._extra_ca,
        )
        keep = min(KEEP_SECONDS, self.settings.recheck_seconds / 2)
        publication = Publication(self._handshaker.outside_session, self.clock, keep)
        self.reconciler = Reconciler(
            client=self.client,
            store=store,
            queue=KeyedQueue(self.clock, self.settings.concurrency, functools.partial(lanes_of, store)),
            gatherer=Gatherer(
                store,
                self._handshaker,
                publication,
                self.settings.public_url,
                Probes(self.clock),
                CheckMetrics(self.registry, self.clock),
            ),
            clock=self.clock,
            recheck_seconds=self.settings.recheck_seconds,
            instance=self.settings.pod_name,
        )
        self._pulses = make_pulses(self.clock)
        self.audit = Audit(self.client, store, self.settings.audit_seconds, self._prove_watches)
        self._register(store, publication)

    @classmethod
    async def connect(cls, settings: ControllerSettings, registry: CollectorRegistry | None = None) -> Controller:
        """Use the pod's account or the kubeconfig; raises ``SettingsError`` without either."""
        clock, client = SystemClock(), await KubernetesClient.connect()
        return cls(settings, client, BoundedLock(settings, client.api, clock), clock, registry or CollectorRegistry())

    def _register(self, store: Store, publication: Publication) -> None:
        rotation = 0.0 if self.settings.own_keys else float(self.settings.rotation.every)
        for collector in (
            AppMetrics(store.index),
            ObjectMetrics(store),
            WorkMetrics(
                queue=self.reconciler.queue,
                is_leading=lambda: self._leading,
                unseen=lambda: self.audit.unseen,
                is_published=lambda: publication.is_matching,
                rotation_seconds=rotation,
            ),
            Pulses(self._pulses),
            Certificates({"internal-ca": authority_expiry(lambda: self.installation.authority)}),
        ):
            self.registry.register(collector)

    def _prove_watches(self) -> None:
        for pulse in self._pulses.values():
            pulse.prove()

    def is_alive(self) -> bool:
        """False when the event loop has not come round for a minute, or the watch hides changes: a restart is the only cure."""
        return self.clock.monotonic() - self._beat < SILENCE_LIMIT and self.audit.is_passed

    def is_ready(self) -> bool:
        """True once the watch runs; a standby is ready too."""
        return self._watching.is_set()

    @property
    def is_leading(self) -> bool:
        """True while this process holds the Lease and has prepared the installation."""
        return self._leading

    async def run(self) -> None:
        """Run until the process is asked to end (SIGTERM), then return; raises ``LeadershipLostError``."""
        watching = asyncio.create_task(watch(self.reconciler, self._watching, self._pulses))
        leading = asyncio.create_task(lead(self.settings, self.lock, self._work))
        beating = asyncio.create_task(self._keep_beating())
        auditing = asyncio.create_task(self.audit.run())
        in_order = True
        try:
            await asyncio.wait({watching, leading}, return_when=asyncio.FIRST_COMPLETED)
            for task in (leading, watching):
                if task.done() and not task.cancelled():
                    task.result()
        except Exception:
            in_order = False
            raise
        finally:
            for task in (leading, watching, beating, auditing):
                await end(task)
            if in_order:
                # Here and not where the Lease is renewed: kopf cancels every task that it does not know when it ends.
                await self.lock.release()
            await self._handshaker.connections.close()
            await self.client.close()

    async def _work(self) -> None:
        await self._watching.wait()
        await self._prepare()
        self._leading = True
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.installation.keep())
            if self._keys is not None:
                tasks.create_task(self._keys.keep())
            tasks.create_task(self.reconciler.queue.run(self.reconciler.reconcile))

    async def _prepare(self) -> None:
        """Make the installation's objects and list everything before judging: the way to the issuer needs the CA."""
        while True:
            await self._try(self.installation.ensure())
            # What is left undone beyond the CA is ``keep``'s; it must not hold back the checks.
            if self.installation.authority and await self._try(catch_up(self.client, self.reconciler)):
                log.info("everything was seen", extra=fields(objects=len(self.reconciler.store.items)))
                return
            await asyncio.sleep(PREPARE_SECONDS)

    async def _try(self, step: Awaitable[object]) -> bool:
        try:
            await step
        except (ApiError, CertificateError) as error:
            log.warning("not prepared yet", extra=fields(error=str(error), retry_seconds=PREPARE_SECONDS))
            return False
        return True

    async def _keep_beating(self) -> None:
        while True:
            self._beat = self.clock.monotonic()
            give_back()
            await asyncio.sleep(SILENCE_LIMIT / 12)

    def _signing_keys(self) -> SigningKeys | None:
        if self.settings.own_keys:
            return None

        async def fetch() -> frozenset[str]:
            return await fetch_kids(self.settings.public_url, trust(extra=self._extra_ca()))

        rotation = self.settings.rotation
        self._keys = SigningKeys(self.client, self.settings.namespace, self.clock, rotation, fetch)
        return self._keys

    def _issuer_ca(self) -> str:
        file = self.settings.issuer_ca_file
        return file.read_text() if file else self.installation.authority

    def _extra_ca(self) -> str:
        file = self.settings.extra_ca_file
        try:
            return file.read_text() if file else ""
        except FileNotFoundError:
            return ""  # the ConfigMap is optional
        except OSError as error:
            raise SettingsError(f"the extra CA {file} cannot be read: {error.strerror}") from error
