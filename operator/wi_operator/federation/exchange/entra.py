"""The token endpoint of Microsoft Entra: a client assertion becomes an access token. No I/O.

Source: Microsoft Learn, "OAuth 2.0 client credentials flow", third case (federated credential); RFC 7523 section 2.2.
"""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

from wi_operator.core.secret import SecretValue
from wi_operator.federation.diagnosis import entra
from wi_operator.federation.diagnosis.base import DiagnosedError
from wi_operator.federation.diagnosis.bodies import json_object
from wi_operator.federation.exchange.base import HttpRequest, HttpResponse
from wi_operator.federation.hosts import Endpoint

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
OK = 200


@dataclass(frozen=True, slots=True)
class TokenTarget:
    """For whom and for what a token is wanted; ``scope`` ends with ``/.default``."""

    authority: Endpoint
    tenant_id: str
    client_id: str
    scope: str


@dataclass(frozen=True, slots=True)
class AccessToken:
    """A token of the cloud and how many seconds it lives from its answer on."""

    value: SecretValue
    expires_in: float


def build_token_request(target: TokenTarget, assertion: SecretValue) -> HttpRequest:
    """Return the request that presents ``assertion``."""
    form = {
        "grant_type": "client_credentials",
        "client_id": target.client_id,
        "scope": target.scope,
        "client_assertion_type": ASSERTION_TYPE,
        "client_assertion": assertion.reveal(),
    }
    return HttpRequest(
        method="POST",
        endpoint=target.authority,
        target=f"/{quote(target.tenant_id, safe='')}/oauth2/v2.0/token",
        headers=(("content-type", "application/x-www-form-urlencoded"), ("accept", "application/json")),
        body=urlencode(form).encode(),
    )


def read_token_answer(response: HttpResponse, **facts: str) -> AccessToken:
    """Return the token; raises ``DiagnosedError`` with a row filled from ``facts`` (see ``diagnosis.entra``)."""
    if response.status != OK:
        raise DiagnosedError(entra.diagnose(response.status, response.body, retry_after=response.retry_after, **facts))
    answer = json_object(response.body)
    token, lifetime = answer.get("access_token"), _seconds(answer.get("expires_in"))
    if not isinstance(token, str) or not _is_header_safe(token) or lifetime is None:
        raise DiagnosedError(entra.UNREADABLE.diagnose(status=str(response.status), **facts))
    return AccessToken(SecretValue(token), lifetime)


def unverified_claims(assertion: SecretValue) -> dict[str, str]:
    """Return ``issuer``, ``subject`` and ``audience`` of our own assertion, for messages only: nothing is verified."""
    parts = assertion.reveal().split(".")
    if len(parts) != 3:
        return {}
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (ValueError, binascii.Error, RecursionError):
        return {}
    names = {"issuer": "iss", "subject": "sub", "audience": "aud"}
    if not isinstance(claims, dict):
        return {}
    return {fact: claims[claim] for fact, claim in names.items() if isinstance(claims.get(claim), str)}


def _seconds(value: Any) -> float | None:
    # Older endpoints send the number as text.
    try:
        seconds = float(value)
    except (TypeError, ValueError):
        return None
    return seconds if 0 < seconds < 10**7 else None


def _is_header_safe(token: str) -> bool:
    # The token goes into a header: a line end in it would add headers of its own.
    return bool(token) and token.isascii() and token.isprintable() and " " not in token
