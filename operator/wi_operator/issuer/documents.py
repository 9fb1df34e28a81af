"""The bytes of the two public documents: one place, so that what is served, exported and compared is the same."""

from __future__ import annotations

import json
from collections.abc import Iterable

from wi_operator.federation.discovery import render_discovery
from wi_operator.federation.jwks import render_jwks
from wi_operator.federation.keys import SigningKey


def discovery_body(issuer: str) -> bytes:
    """Return the discovery document of ``issuer`` (an https URL without a trailing slash)."""
    return _compact(render_discovery(issuer))


def jwks_body(keys: Iterable[SigningKey]) -> bytes:
    """Return the JWK set of ``keys``."""
    return _compact(render_jwks(keys))


def _compact(document: object) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode()
