"""The discovery document. Pure.

Source: OpenID Connect Discovery 1.0 section 3. Only these five members: Entra refuses documents with empty endpoints, AWS those
without the last three.
"""

from __future__ import annotations

from wi_operator.core.errors import SettingsError
from wi_operator.federation.hosts import ForbiddenHostError, parse_endpoint

DISCOVERY_PATH = "/.well-known/openid-configuration"
JWKS_PATH = "/oauth2/jwks"


def check_issuer_url(url: str) -> str:
    """Return ``url`` as it is used in ``iss``; raises ``SettingsError`` unless it is https without query or trailing slash.

    The cloud compares the issuer byte for byte, so nothing is corrected silently.
    """
    origin, slash, path = url.removeprefix("https://").partition("/")
    try:
        parse_endpoint(f"https://{origin}")
    except ForbiddenHostError as error:
        raise SettingsError(f"issuer.url {url!r}: {error}") from error
    if not url.startswith("https://") or (slash and (not path or path.endswith("/"))) or any(c in path for c in "?# "):
        raise SettingsError(
            f"issuer.url {url!r} must be https://<host>[/path] without a trailing slash, query or fragment"
        )
    return url


def issuer_path(url: str) -> str:
    """Return the path of an issuer URL, ``""`` for none."""
    _, slash, path = url.removeprefix("https://").partition("/")
    return slash + path


def render_discovery(issuer: str) -> dict[str, object]:
    """Return the discovery document of ``issuer`` (an https URL without a trailing slash)."""
    return {
        "issuer": issuer,
        "jwks_uri": f"{issuer}{JWKS_PATH}",
        "response_types_supported": ["id_token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256"],
    }
