"""The issuer's process."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from wi_operator.api import names
from wi_operator.cluster.client import KubernetesClient
from wi_operator.cluster.paths import NAMESPACES, configmaps_path
from wi_operator.cluster.watch import Watch
from wi_operator.core.certificate import ReloadingCertificate
from wi_operator.core.clock import Clock, SystemClock
from wi_operator.core.log import configure
from wi_operator.core.metrics import Certificates, open_registry
from wi_operator.core.secret import SecretValue
from wi_operator.federation.certificates import expiry_time
from wi_operator.federation.discovery import check_issuer_url
from wi_operator.index.store import Index
from wi_operator.issuer.app import GrantsFace, PublicFace, start
from wi_operator.issuer.callers import CallerReviews
from wi_operator.issuer.grants import Grants
from wi_operator.issuer.handshakes import Handshakes
from wi_operator.issuer.keyring import Keyring, MountedKeys, OwnKeys
from wi_operator.issuer.metrics import RequestMetrics, StateMetrics
from wi_operator.issuer.organizations import Organizations
from wi_operator.issuer.settings import IssuerSettings
from wi_operator.processes.running import (
    Drain,
    Fact,
    Refreshed,
    all_synced,
    follow_objects,
    follow_pulses,
    open_client,
    run_until_stopped,
    serve_health,
)
from wi_operator.settings import IssuerProcessSettings, load, read_text

PROCESS = "issuer"


async def run() -> int:
    """Serve public documents and grants."""
    settings = load(IssuerProcessSettings)
    configure(settings.log_level)
    clock, index, registry = SystemClock(), Index(), open_registry(PROCESS)
    drain, metrics = Drain(settings.drain_seconds), RequestMetrics(registry)
    mounted, keyring = open_keyring(settings, clock)
    internal_ca = Refreshed(lambda: read_text(settings.ca_file))
    async with open_client() as client:
        organizations = Organizations(client, index)
        objects = follow_objects(client, index)
        objects.append(Watch(client, NAMESPACES, organizations.put_namespace, organizations.drop_namespace))
        is_synced = _all_known(objects, organizations)
        # Readiness does not wait for the record of the keys: what is mounted serves too.
        watches = objects if mounted is None else [*objects, _follow_record(client, mounted, settings.namespace)]
        reviews = CallerReviews(client, clock, settings.review_cache_seconds, settings.review_rate)
        registry.register(StateMetrics(keyring, organizations, reviews, clock))
        registry.register(follow_pulses(watches))
        registry.register(_certificates(settings))
        own = describe(settings)
        grants_face = GrantsFace(
            reviews=reviews,
            grants=Grants(index, keyring, own, clock, internal_ca.get),
            handshakes=Handshakes(client, index, keyring, own, clock),
            is_synced=is_synced,
            metrics=metrics,
        )
        public_tls = ReloadingCertificate(settings.public_tls_dir).server_context() if settings.public_tls_dir else None
        grants_tls = ReloadingCertificate(settings.tls_dir).server_context()
        public = drain.follow(PublicFace(own, keyring, clock, metrics).build_app())
        runners = [
            await start(public, port=settings.public_port, tls=public_tls),
            await start(drain.follow(grants_face.build_app()), port=settings.grants_port, tls=grants_tls),
            await serve_health(settings, process=PROCESS, is_ready=is_synced, registry=registry),
        ]
        parts = [watch.run() for watch in watches] + [keyring.follow(), internal_ca.follow(), organizations.follow()]
        await run_until_stopped(parts, drain)
        await asyncio.gather(*(runner.cleanup() for runner in runners))
    return 0


def _certificates(settings: IssuerProcessSettings) -> Certificates:
    files = {"issuer-grants": settings.tls_dir, "issuer-public": settings.public_tls_dir}
    return Certificates({name: _expiry_of(folder) for name, folder in files.items() if folder is not None})


def _expiry_of(folder: Path) -> Callable[[], float]:
    """Return what reads the end of the mounted ``tls.crt``, 0 while there is none."""

    def read() -> float:
        try:
            return expiry_time((folder / "tls.crt").read_text())
        except OSError:
            return 0.0

    return read


def describe(settings: IssuerProcessSettings) -> IssuerSettings:
    """Return what the issuer itself is told; raises ``SettingsError`` for a malformed URL."""
    return IssuerSettings(
        public_url=check_issuer_url(settings.public_url) if settings.public_url else "",
        namespace=settings.namespace,
        extra_hosts=settings.allowed_hosts,
        extra_ca=settings.extra_ca,
        grant_seconds=settings.grant_seconds,
        handshake_seconds=settings.handshake_seconds,
        discovery_max_age=settings.discovery_max_age_seconds,
        jwks_max_age=settings.jwks_max_age_seconds,
        pod_rate=settings.pod_rate,
        organization_rate=settings.organization_rate,
        public_rate=settings.public_rate,
    )


def open_keyring(settings: IssuerProcessSettings, clock: Clock) -> tuple[MountedKeys | None, Keyring]:
    """Return the loaded keyring, and its mounted source unless the keys are an administrator's own."""
    own = _own_keys(settings)
    mounted = None if own else MountedKeys(settings.keys_dir, settings.state_dir)
    keyring = Keyring(mounted or OwnKeys(own or (lambda: SecretValue("")), clock), clock)
    keyring.load()
    return mounted, keyring


def _own_keys(settings: IssuerProcessSettings) -> Callable[[], SecretValue] | None:
    """Return where an administrator's own keys come from, ``None`` when the controller makes them."""
    file, given = settings.private_key_file, settings.private_key
    if file is not None:
        return lambda: SecretValue(read_text(file))
    return (lambda: SecretValue(given.get_secret_value())) if given is not None else None


def _all_known(watches: list[Watch], organizations: Organizations) -> Fact:
    synced = all_synced(watches)
    return lambda: synced() and organizations.looked.is_set()


def _follow_record(client: KubernetesClient, mounted: MountedKeys, namespace: str) -> Watch:
    """Return the watch of the keys' record."""
    one = f"metadata.name={names.STATE_CONFIGMAP}"
    return Watch(client, configmaps_path(namespace), mounted.put_state, mounted.drop_state, field_selector=one)
