"""Is what the public URL shows what the issuer signs with? Discovery byte by byte, the JWKS key by key. Pure.

Source: OpenID Connect Discovery 1.0 section 4, RFC 7517 section 5. Clouds follow no redirect and send no login.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from wi_operator.federation.diagnosis import publication as rows
from wi_operator.federation.diagnosis.base import Diagnosis
from wi_operator.federation.diagnosis.bodies import json_object, one_line
from wi_operator.federation.discovery import DISCOVERY_PATH

OK = 200


@dataclass(frozen=True, slots=True)
class Documents:
    """Both public documents as bytes: those that the issuer serves, or those that the public URL showed."""

    discovery: bytes
    jwks: bytes


@dataclass(frozen=True, slots=True)
class Page:
    """One fetched document; ``url`` is where it was fetched from."""

    url: str
    status: int
    body: bytes
    location: str = ""


def discovery_url(issuer: str) -> str:
    """Return where the discovery document of ``issuer`` stands."""
    return f"{issuer}{DISCOVERY_PATH}"


def jwks_url(documents: Documents) -> str:
    """Return the ``jwks_uri`` of our own discovery document: no other address is fetched."""
    return str(json_object(documents.discovery).get("jwks_uri", ""))


def compare(ours: Documents, discovery: Page, jwks: Page) -> Diagnosis | str:
    """Return what is wrong with the public copy, or the sentence that says what was proven."""
    refused = _refused(discovery) or _refused(jwks)
    if refused is not None:
        return refused
    difference = _difference(ours.discovery, discovery)
    if difference:
        return rows.DIFFERS.diagnose(url=discovery.url, detail=difference)
    wrong_keys = _key_difference(ours.jwks, jwks)
    if wrong_keys:
        return rows.KEYS_DIFFER.diagnose(url=jwks.url, detail=wrong_keys)
    return _proof(ours, discovery, jwks)


def _refused(page: Page) -> Diagnosis | None:
    if page.status == OK:
        return None
    answer = f"{page.status}, a redirect to {one_line(page.location)[:120]}" if page.location else str(page.status)
    return rows.REFUSED.diagnose(url=page.url, status=answer)


def _difference(ours: bytes, page: Page) -> str:
    shown = json_object(page.body)
    if not shown:
        return "it is not a JSON object"
    wanted = json_object(ours)
    for name, value in wanted.items():
        if shown.get(name) != value:
            return f"'{name}' is {_quote(shown.get(name))} there, and {_quote(value)} in the issuer"
    # Entra refuses documents with members that it reads and that are empty.
    more = sorted(set(shown) - set(wanted))
    return f"it has the members {', '.join(more)} beside ours" if more else ""


def _key_difference(ours: bytes, page: Page) -> str:
    wanted, shown = _keys(ours), _keys(page.body)
    if not shown:
        return "it is not a set of keys"
    for kid, key in wanted.items():
        if kid not in shown:
            return f"it lacks key {kid}"
        if any(shown[kid].get(member) != key[member] for member in ("kty", "n", "e")):
            return f"under {kid} it has another key"
    more = sorted(set(shown) - set(wanted))
    return f"it still has key {one_line(more[0])[:64]}, which the issuer does not publish" if more else ""


def _proof(ours: Documents, discovery: Page, jwks: Page) -> str:
    kids = ", ".join(_keys(ours.jwks))
    form = "" if discovery.body == ours.discovery else " (the discovery document in another form of the same JSON)"
    return (
        f"Fetched from inside the cluster: {discovery.url} and {jwks.url} equal what the issuer signs with{form}; "
        f"published: {kids}."
    )


def _keys(body: bytes) -> dict[str, Mapping[str, Any]]:
    listed = json_object(body).get("keys")
    keys = [key for key in listed if isinstance(key, dict)] if isinstance(listed, list) else []
    return {str(key.get("kid", "")): key for key in keys}


def _quote(value: object) -> str:
    return f"'{one_line(str(value))[:120]}'" if value is not None else "missing"
