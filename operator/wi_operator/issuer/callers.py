"""Who is calling: the token review's answer, judged; cached for seconds, never past the token's end."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from wi_operator.cluster import paths
from wi_operator.cluster.client import KubernetesClient
from wi_operator.cluster.errors import ApiError
from wi_operator.core.clock import Clock
from wi_operator.core.secret import SecretValue
from wi_operator.issuer.problems import KUBERNETES_UNAVAILABLE, TOKEN_REJECTED, RefusedError

CACHE_SECONDS = 60.0
CACHE_ENTRIES = 10_000
ACCOUNT_PREFIX = "system:serviceaccount:"
POD_NAME = "authentication.kubernetes.io/pod-name"
POD_UID = "authentication.kubernetes.io/pod-uid"


@dataclass(frozen=True, slots=True)
class Caller:
    """A pod, proven by its bound token; nothing here comes from the request's body."""

    namespace: str
    account: str
    pod: str
    pod_uid: str


def judge_review(status: Mapping[str, Any], audience: str) -> Caller:
    """Return the caller that a TokenReview's ``status`` proves; raises ``RefusedError`` 401 for anything less.

    A token that is not bound to a pod is refused: it would outlive what it was made for.
    """
    user = status.get("user") or {}
    username = str(user.get("username", ""))
    extra = user.get("extra") or {}
    pod, pod_uid = _only(extra.get(POD_NAME)), _only(extra.get(POD_UID))
    namespace, _, account = username.removeprefix(ACCOUNT_PREFIX).partition(":")
    is_proven = (
        status.get("authenticated") is True
        and audience in (status.get("audiences") or [])
        and username.startswith(ACCOUNT_PREFIX)
        and all((namespace, account, pod, pod_uid))
    )
    if not is_proven:
        raise RefusedError(TOKEN_REJECTED)
    return Caller(namespace, account, pod, pod_uid)


def _only(values: Any) -> str:
    return str(values[0]) if isinstance(values, list) and len(values) == 1 else ""


def unverified_expiry(token: str) -> float:
    """Return ``exp`` of a token that a review has accepted, 0 if unreadable; bounds the cache, proves nothing."""
    try:
        payload = token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        return float(claims["exp"])
    except (IndexError, KeyError, TypeError, ValueError, binascii.Error):
        return 0.0


@dataclass(slots=True)
class CallerReviews:
    """Asks the API server who holds a token; remembers by hash of token and audience."""

    client: KubernetesClient
    clock: Clock
    _known: dict[bytes, tuple[float, Caller]] = field(default_factory=dict)

    async def review(self, token: SecretValue, audience: str) -> Caller:
        """Return the caller; raises ``RefusedError`` 401, or 503 while the API server does not answer."""
        key = hashlib.sha256(f"{audience}\0{token.reveal()}".encode()).digest()
        now = self.clock.now()
        if (known := self._known.get(key)) and known[0] > now:
            return known[1]
        self._known.pop(key, None)
        caller = judge_review(await self._ask(token, audience), audience)
        if len(self._known) >= CACHE_ENTRIES:
            self._known.clear()
        self._known[key] = (min(now + CACHE_SECONDS, unverified_expiry(token.reveal())), caller)
        return caller

    async def _ask(self, token: SecretValue, audience: str) -> Mapping[str, Any]:
        body = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenReview",
            "spec": {"token": token.reveal(), "audiences": [audience]},
        }
        try:
            answer = await self.client.create(paths.TOKEN_REVIEWS, body)
        except ApiError as error:
            raise RefusedError(KUBERNETES_UNAVAILABLE) from error
        status: Mapping[str, Any] = answer.get("status") or {}
        return status
