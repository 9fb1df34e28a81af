"""The issuer's process."""

from __future__ import annotations

import asyncio

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
from wi_operator.processes.running import (
    Drain,
    all_synced,
    follow_objects,
    open_client,
    run_until_stopped,
    serve_health,
)
from wi_operator.settings import IssuerProcessSettings, load


async def run() -> int:
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
    drain = Drain(settings.drain_seconds)
    async with open_client() as client:
        watches = follow_objects(client, index, namespaces=True)
        is_synced = all_synced(watches)
        grants_face = issuer_app.GrantsFace(
            reviews=CallerReviews(client, clock),
            grants=Grants(index, keyring, issuer_settings, clock),
            handshakes=Handshakes(client, index, keyring, issuer_settings, clock),
            is_synced=is_synced,
        )
        public_tls = ReloadingCertificate(settings.public_tls_dir).server_context() if settings.public_tls_dir else None
        runners = [
            await issuer_app.start(
                drain.follow(issuer_app.PublicFace(issuer_settings, keyring).build_app()),
                port=settings.public_port,
                tls=public_tls,
            ),
            await issuer_app.start(
                drain.follow(grants_face.build_app()),
                port=settings.grants_port,
                tls=ReloadingCertificate(settings.tls_dir).server_context(),
            ),
            await serve_health(settings, is_ready=is_synced),
        ]
        await run_until_stopped([watch.run() for watch in watches] + [keyring.follow()], drain)
        await asyncio.gather(*(runner.cleanup() for runner in runners))
    return 0
