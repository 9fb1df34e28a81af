"""The webhook's process."""

from __future__ import annotations

import asyncio

from wi_operator.admission import server as admission_server
from wi_operator.admission.metrics import AdmissionMetrics, RegistrationMetrics
from wi_operator.admission.registration import Registration
from wi_operator.admission.settings import Bounds, InjectionSettings
from wi_operator.api import names
from wi_operator.cluster.client import KubernetesClient
from wi_operator.cluster.paths import NODES, webhook_configuration_path
from wi_operator.cluster.watch import Watch
from wi_operator.core.certificate import ReloadingCertificate
from wi_operator.core.clock import SystemClock
from wi_operator.core.log import configure
from wi_operator.core.log_quickly import encode_quickly
from wi_operator.core.metrics import Certificates, open_registry
from wi_operator.index.store import Index
from wi_operator.processes.running import (
    Drain,
    Refreshed,
    all_synced,
    follow_objects,
    follow_pulses,
    open_client,
    run_until_stopped,
    serve_health,
)
from wi_operator.settings import WebhookProcessSettings, load, read_text

PROCESS = "webhook"


async def run() -> int:
    """Serve admission."""
    settings = load(WebhookProcessSettings)
    configure(settings.log_level, encode=encode_quickly)
    registry = open_registry(PROCESS)
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
            log_levels=settings.sidecar_log_levels,
            resources=settings.sidecar_resources,
            guaranteed_cpu=settings.sidecar_guaranteed_cpu,
            resource_bounds={name: Bounds(**bounds) for name, bounds in settings.sidecar_resource_bounds.items()},
            environment=settings.sidecar_environment,
            is_envfile_allowed=settings.envfile_enabled,
        )

    current = Refreshed(injection)
    drain = Drain(settings.drain_seconds)
    async with open_client() as client:
        watches = follow_objects(client, index)
        if settings.envfile_enabled:
            watches.append(Watch(client, NODES, index.put_node, index.drop_node))
        is_synced = all_synced(watches)
        registration = Registration(f"{names.WEBHOOK}.{settings.namespace}.svc", settings.port)
        app = admission_server.build_app(
            index=index,
            settings=current.get,
            is_ready=is_synced,
            metrics=AdmissionMetrics(registry),
            clock=SystemClock(),
        )
        registry.register(RegistrationMetrics(registration.is_proven))
        registry.register(Certificates({PROCESS: lambda: registration.expiry}))
        tls = ReloadingCertificate(settings.tls_dir).server_context()
        runners = [
            await admission_server.start(drain.follow(app), host="", port=settings.port, tls=tls),
            await serve_health(
                settings,
                process=PROCESS,
                is_ready=lambda: is_synced() and registration.is_proven(),
                registry=registry,
            ),
        ]
        followed = [*watches, _follow_registration(client, registration)]
        registry.register(follow_pulses(followed))
        parts = [*(watch.run() for watch in followed), current.follow(), registration.follow()]
        await run_until_stopped(parts, drain)
        await asyncio.gather(*(runner.cleanup() for runner in runners))
    return 0


def _follow_registration(client: KubernetesClient, registration: Registration) -> Watch:
    selector = f"metadata.name={names.WEBHOOK_CONFIGURATION}"
    return Watch(client, webhook_configuration_path("mutating"), registration.put, registration.drop, selector)
