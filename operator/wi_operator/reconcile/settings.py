"""What the controller is told; filled by ``wi_operator.settings``."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from wi_operator.api import names
from wi_operator.federation.rotation import RotationSettings
from wi_operator.reconcile.authority import AuthoritySettings


@dataclass(frozen=True, slots=True)
class ControllerSettings:
    """Settings of the controller process; times in seconds.

    ``public_url`` may be empty (no issuer URL yet); ``extra_ca_file`` is PEM for the clouds' hosts, ``issuer_ca_file`` replaces
    the internal CA on the way to the issuer (outside a cluster). ``own_keys``: an administrator keeps the signing keys;
    ``own_webhook_certificate``: others keep the webhook's certificate and its caBundle.
    """

    namespace: str
    pod_name: str
    public_url: str
    grants_url: str
    token_file: Path
    extra_ca_file: Path | None = None
    issuer_ca_file: Path | None = None
    allowed_hosts: tuple[str, ...] = ()
    recheck_seconds: float = 600.0
    audit_seconds: float = 120.0
    concurrency: int = 32
    own_keys: bool = False
    own_webhook_certificate: bool = False
    rotation: RotationSettings = field(default_factory=RotationSettings)
    authority: AuthoritySettings = field(default_factory=AuthoritySettings)
    lease_name: str = names.CONTROLLER
    lease_seconds: float = 12.0
    renew_seconds: float = 8.0
    retry_seconds: float = 2.0
