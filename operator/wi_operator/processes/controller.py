"""The controller's process."""

from __future__ import annotations

import logging

from wi_operator import health
from wi_operator.core.log import configure, fields
from wi_operator.core.metrics import open_registry
from wi_operator.core.tls import shrink_read_buffers
from wi_operator.federation.discovery import check_issuer_url
from wi_operator.federation.rotation import RotationSettings
from wi_operator.reconcile.authority import AuthoritySettings
from wi_operator.reconcile.handlers import WatchEndedError
from wi_operator.reconcile.leadership import LeadershipLostError
from wi_operator.reconcile.process import Controller
from wi_operator.reconcile.settings import ControllerSettings
from wi_operator.settings import ControllerProcessSettings, load

LEADERSHIP_LOST = 75
"""Exit code of a controller that may not go on; the kubelet starts it anew."""

log = logging.getLogger(__name__)


async def run() -> int:
    """Watch, check and keep the installation, as one of several candidates for the Lease."""
    settings = load(ControllerProcessSettings)
    configure(settings.log_level)
    shrink_read_buffers()
    logging.getLogger("kopf.objects").setLevel(logging.WARNING)  # a line for every event seen says nothing
    registry = open_registry("controller")
    controller = await Controller.connect(render_settings(settings), registry)
    runner = await health.start(
        port=settings.health_port,
        is_alive=controller.is_alive,
        is_ready=controller.is_ready,
        registry=registry,
        process="controller",
    )
    try:
        await controller.run()
    except (LeadershipLostError, WatchEndedError) as error:
        log.error("the controller ends", extra=fields(error=str(error)))
        return LEADERSHIP_LOST
    finally:
        await runner.cleanup()
    return 0


def render_settings(settings: ControllerProcessSettings) -> ControllerSettings:
    """Return what the controller is told; raises ``SettingsError`` for an issuer URL that cannot be one."""
    return ControllerSettings(
        namespace=settings.namespace,
        pod_name=settings.pod_name,
        public_url=check_issuer_url(settings.public_url) if settings.public_url else "",
        grants_url=settings.grants_url,
        token_file=settings.token_file,
        extra_ca_file=settings.extra_ca_file,
        allowed_hosts=settings.allowed_hosts,
        recheck_seconds=settings.recheck_seconds,
        audit_seconds=settings.audit_seconds,
        own_keys=settings.own_keys,
        own_webhook_certificate=settings.own_webhook_certificate,
        rotation=RotationSettings(
            every=settings.rotate_seconds,
            publish_before=settings.publish_before_seconds,
            retire_after=settings.retire_after_seconds,
        ),
        authority=AuthoritySettings(settle=settings.ca_settle_seconds, overlap=settings.ca_overlap_seconds),
    )
