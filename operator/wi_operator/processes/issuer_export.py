"""``wi-operator issuer-export DIR``: the two public documents as files, for static hosting; ``-`` writes a tar archive."""

from __future__ import annotations

import sys

from wi_operator.core.clock import SystemClock
from wi_operator.core.errors import SettingsError
from wi_operator.issuer.documents import discovery_body, jwks_body, write_archive, write_files
from wi_operator.processes.issuer import describe, open_keyring
from wi_operator.settings import IssuerProcessSettings, load

STANDARD_OUTPUT = "-"


def export(target: str) -> int:
    """Write the documents below ``target``, which stands for the issuer URL; raises ``SettingsError``."""
    settings = load(IssuerProcessSettings)
    url = describe(settings).public_url
    if not url:
        raise SettingsError("there is no issuer URL: set WI_PUBLIC_URL (the chart's value issuer.url)")
    _, keyring = open_keyring(settings, SystemClock())
    keys = keyring.published()
    if not keys:
        raise SettingsError(f"there is no published key in {settings.keys_dir} and {settings.state_dir}")
    discovery, jwks = discovery_body(url), jwks_body(keys)
    if target == STANDARD_OUTPUT:
        write_archive(discovery, jwks, sys.stdout.buffer, SystemClock().now())
    else:
        write_files(discovery, jwks, target)
    return 0
