"""The JSON that Key Vault answers when it does not refuse."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import urlencode

from wi_testkit.keyvault.state import Secret, Vault, Version

RECOVERABLE_DAYS = 90
DAY = 86_400
SINCE_PREVIOUS = "2025-07-01"


def attributes(version: Version) -> dict[str, Any]:
    """Return the attributes of a version; all times are whole seconds."""
    known = {"enabled": version.enabled, "nbf": version.nbf, "exp": version.exp}
    shown = {name: value for name, value in known.items() if value is not None}
    times = {"created": version.created, "updated": version.updated}
    return {**shown, **times, "recoveryLevel": "Recoverable+Purgeable", "recoverableDays": RECOVERABLE_DAYS}


def item(base: str, secret: Secret, version: Version, *, versioned: bool) -> dict[str, Any]:
    """Return a list item: everything but the value."""
    identifier = f"{base}/secrets/{secret.name}" + (f"/{version.version}" if versioned else "")
    optional = {"contentType": version.content_type, "tags": version.tags}
    shown = {name: value for name, value in optional.items() if value is not None}
    return {"id": identifier, "attributes": attributes(version), **shown}


def bundle(base: str, secret: Secret, version: Version, api_version: str = "") -> dict[str, Any]:
    """Return a secret with its value; API versions since 2025 also tell the version before it."""
    known = {"value": version.value, **item(base, secret, version, versioned=True)}
    position = secret.versions.index(version)
    if position and api_version >= SINCE_PREVIOUS and not api_version.startswith("7"):
        known["previousVersion"] = secret.versions[position - 1].version
    return known


def deleted_bundle(base: str, secret: Secret) -> dict[str, Any]:
    """Return a soft-deleted secret."""
    deleted = int(secret.deleted or 0)
    return {
        "recoveryId": f"{base}/deletedsecrets/{secret.name}",
        "deletedDate": deleted,
        "scheduledPurgeDate": deleted + RECOVERABLE_DAYS * DAY,
        **item(base, secret, secret.versions[-1], versioned=True),
    }


def all_secrets(base: str, vault: Vault) -> list[tuple[str, Callable[[], dict[str, Any]]]]:
    """Return marker and item of every live secret, by name."""

    def one(secret: Secret) -> Callable[[], dict[str, Any]]:
        return lambda: item(base, secret, secret.versions[-1], versioned=False)

    return [(key, one(secret)) for key, secret in sorted(vault.secrets.items()) if secret.deleted is None]


def all_deleted(base: str, vault: Vault) -> list[tuple[str, Callable[[], dict[str, Any]]]]:
    """Return marker and item of every soft-deleted secret, by name."""

    def one(secret: Secret) -> Callable[[], dict[str, Any]]:
        return lambda: deleted_bundle(base, secret)

    return [(key, one(secret)) for key, secret in sorted(vault.secrets.items()) if secret.deleted is not None]


def all_versions(base: str, secret: Secret | None) -> list[tuple[str, Callable[[], dict[str, Any]]]]:
    """Return marker and item of every version."""

    def one(kept: Secret, version: Version) -> Callable[[], dict[str, Any]]:
        return lambda: item(base, kept, version, versioned=True)

    if secret is None:
        return []
    return [
        (version.version, one(secret, version)) for version in sorted(secret.versions, key=lambda kept: kept.version)
    ]


def page(
    entries: Sequence[tuple[str, Callable[[], dict[str, Any]]]],
    url: str,
    query: dict[str, str],
    size: int,
    *,
    empty_pages: bool = False,
) -> dict[str, Any]:
    """Return one page. The link to the next has the port, even 443, and carries the request's parameters.

    With ``empty_pages`` each link leads to a page without items first, which the real service is free to send.
    """
    marker, empty = marker_of(query.get("$skiptoken", ""))
    rest = [entry for entry in entries if entry[0] >= marker]
    if empty:
        return {"value": [], "nextLink": link(url, query, skip_token(marker))}
    following = link(url, query, skip_token(rest[size][0], empty=empty_pages)) if len(rest) > size else None
    return {"value": [make() for _, make in rest[:size]], "nextLink": following}


def link(url: str, query: dict[str, str], token: str) -> str:
    """Return the address of a page."""
    parameters = {"api-version": query.get("api-version", ""), "$skiptoken": token}
    if "maxresults" in query:
        parameters["maxresults"] = query["maxresults"]
    return f"{url}?{urlencode(parameters, safe='$')}"


def skip_token(marker: str, *, empty: bool = False) -> str:
    """Write a marker as the opaque token of a link."""
    content: dict[str, Any] = {"NextMarker": marker, **({"Empty": True} if empty else {})}
    return base64.urlsafe_b64encode(json.dumps(content).encode()).decode()


def marker_of(token: str) -> tuple[str, bool]:
    """Read a marker, and whether its page is empty; a token that is none of ours begins at the start."""
    try:
        content = json.loads(base64.urlsafe_b64decode(token)) if token else {"NextMarker": ""}
        return str(content["NextMarker"]), bool(content.get("Empty"))
    except (binascii.Error, ValueError, KeyError, TypeError, AttributeError):
        return "", False
