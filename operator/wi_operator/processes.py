"""The served processes: each wires its parts, runs until SIGTERM and closes what it opened."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

from prometheus_client import CollectorRegistry

from wi_operator import health
from wi_operator.admission import server as admission_server
from wi_operator.admission.metrics import AdmissionMetrics
from wi_operator.admission.settings import InjectionSettings
from wi_operator.cluster import paths
from wi_operator.cluster.client import KubernetesClient
from wi_operator.cluster.watch import Watch
from wi_operator.core.certificate import ReloadingCertificate
from wi_operator.core.clock import SystemClock
from wi_operator.core.log import configure
from wi_operator.federation.discovery import check_issuer_url
from wi_operator.index.store import Index
from wi_operator.issuer import app as issuer_app
from wi_operator.issuer.callers import CallerReviews
from wi_operator.issuer.grants import Grants
from wi_operator.issuer.handshakes import Handshakes
from wi_operator.issuer.keyring import Keyring
from wi_operator.issuer.settings import IssuerSettings
from wi_operator.settings import (
    CommonSettings,
    IssuerProcessSettings,
    WebhookProcessSettings,
    load,
    read_text,
)

Fact = Callable[[], bool]


def follow_objects(client: KubernetesClient, index: Index, *, namespaces: bool) -> list[Watch]:
    """Return the watches that keep ``index`` true."""
    watches = [
        Watch(client, paths.CONFIGS, index.put_config, index.drop_config),
        Watch(client, paths.CREDENTIALS, index.put_credential, index.drop_credential),
    ]
    if namespaces:
        watches.append(Watch(client, paths.NAMESPACES, index.put_namespace, index.drop_namespace))
    return watches


async def run_issuer() -> int:
    """Serve public documents and grants."""
    settings = load(IssuerProcessSettings)
    configure(settings.log_level)
    clock = SystemClock()
    issuer_settings = IssuerSettings(
        public_url=check_issuer_url(settings.public_url) if settings.public_url else "",
        namespace=settings.namespace,
        extra_hosts=settings.allowed_hosts,
        extra_ca=settings.extra_ca,
    )
    keyring = Keyring(settings.keys_dir / "keys.json", settings.state_dir / "state.json", clock)
    keyring.load()
    index = Index()
    async with _client() as client:
        watches = follow_objects(client, index, namespaces=True)

        def is_synced() -> bool:
            return all(watch.synced.is_set() for watch in watches)

        grants_face = issuer_app.GrantsFace(
            reviews=CallerReviews(client, clock),
            grants=Grants(index, keyring, issuer_settings, clock),
            handshakes=Handshakes(client, index, keyring, issuer_settings, clock),
            is_synced=is_synced,
        )
        public_tls = ReloadingCertificate(settings.public_tls_dir).server_context() if settings.public_tls_dir else None
        runners = [
            await issuer_app.start(
                issuer_app.PublicFace(issuer_settings, keyring).build_app(), port=settings.public_port, tls=public_tls
            ),
            await issuer_app.start(
                grants_face.build_app(),
                port=settings.grants_port,
                tls=ReloadingCertificate(settings.tls_dir).server_context(),
            ),
            await _health(settings, is_ready=is_synced),
        ]
        await _run_until_stopped([watch.run() for watch in watches] + [keyring.follow()])
        for runner in runners:
            await runner.cleanup()
    return 0


async def run_webhook() -> int:
    """Serve admission."""
    settings = load(WebhookProcessSettings)
    configure(settings.log_level)
    registry = CollectorRegistry()
    index = Index()

    def injection() -> InjectionSettings:
        return InjectionSettings(
            sidecar_image=settings.sidecar_image,
            grants_url=settings.grants_url,
            ca_bundle=read_text(settings.ca_file),
            image_pull_policy=settings.image_pull_policy,
            image_pull_secrets=settings.image_pull_secrets,
            sidecar_uid=settings.sidecar_uid,
            log_level=settings.sidecar_log_level,
        )

    current = _Refreshed(injection)
    async with _client() as client:
        watches = follow_objects(client, index, namespaces=False)

        def is_synced() -> bool:
            return all(watch.synced.is_set() for watch in watches)

        app = admission_server.build_app(
            index=index,
            settings=current.get,
            is_ready=is_synced,
            metrics=AdmissionMetrics(registry),
            clock=SystemClock(),
        )
        tls = ReloadingCertificate(settings.tls_dir).server_context()
        runners = [
            await admission_server.start(app, host="", port=settings.port, tls=tls),
            await _health(settings, is_ready=is_synced, registry=registry),
        ]
        await _run_until_stopped([watch.run() for watch in watches] + [current.follow()])
        for runner in runners:
            await runner.cleanup()
    return 0


class _Refreshed:
    """Injection settings, built again every few seconds: admission itself reads no file."""

    SECONDS = 5.0

    def __init__(self, build: Callable[[], InjectionSettings]) -> None:
        self._build = build
        self._current = build()

    def get(self) -> InjectionSettings:
        return self._current

    async def follow(self) -> None:
        while True:
            await asyncio.sleep(self.SECONDS)
            self._current = await asyncio.to_thread(self._build)


@contextlib.asynccontextmanager
async def _client() -> AsyncIterator[KubernetesClient]:
    client = await KubernetesClient.connect()
    try:
        yield client
    finally:
        await client.close()


async def _health(settings: CommonSettings, *, is_ready: Fact, registry: CollectorRegistry | None = None) -> Any:
    return await health.start(
        port=settings.health_port, is_alive=lambda: True, is_ready=is_ready, registry=registry or CollectorRegistry()
    )


async def _run_until_stopped(parts: list[Coroutine[Any, Any, None]]) -> None:
    """Run the parts until SIGTERM or SIGINT; a part that fails ends the process, so that the kubelet restarts it."""
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    tasks = [asyncio.create_task(part) for part in parts]
    waiter = asyncio.create_task(stopped.wait())
    done, pending = await asyncio.wait([*tasks, waiter], return_when=asyncio.FIRST_COMPLETED)
    for task in pending:
        task.cancel()
    await asyncio.gather(*pending, return_exceptions=True)
    for task in done - {waiter}:
        task.result()
