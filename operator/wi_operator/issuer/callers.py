"""Who is calling: the token review's answer, judged; cached for seconds, never past the token's end."""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import json
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from wi_operator.cluster import paths
from wi_operator.cluster.client import KubernetesClient
from wi_operator.cluster.errors import ApiError
from wi_operator.core.clock import Clock
from wi_operator.core.secret import SecretValue
from wi_operator.issuer.limits import Limit
from wi_operator.issuer.problems import KUBERNETES_UNAVAILABLE, TOKEN_REJECTED, RefusedError, too_many

CACHE_SECONDS = 45.0
"""The API server remembers an accepted token for ten seconds itself: a revocation reaches kickoffs within a minute."""
REJECTED_SECONDS = 2.0
"""So long a refused token is refused again without asking: a flood of one must not become a flood of reviews."""
CACHE_ENTRIES = 10_000
REVIEWS_AT_ONCE = 32
REVIEW_RATE = 100.0
OUTCOMES = ("accepted", "rejected", "unavailable")
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


def unverified_claims(token: str) -> Mapping[str, Any]:
    """Return what a token says of itself, empty if unreadable: enough to refuse it or to bound a cache, proves nothing."""
    try:
        _, payload, _ = token.split(".")
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    except (ValueError, binascii.Error, RecursionError):
        return {}
    return claims if isinstance(claims, dict) else {}


def unverified_expiry(claims: Mapping[str, Any]) -> float:
    """Return ``exp``, 0 if there is none."""
    expiry = claims.get("exp")
    return float(expiry) if isinstance(expiry, int | float) else 0.0


def is_hopeless(claims: Mapping[str, Any], audience: str) -> bool:
    """Tell whether no API server could accept the token for ``audience``: not worth a review."""
    meant = claims.get("aud")
    return audience not in (meant if isinstance(meant, list) else [meant])


@dataclass(slots=True)
class CallerReviews:
    """Asks the API server who holds a token; remembers by hash of token and audience.

    One question for all that ask at once with the same token; so many in a second and no more.
    """

    client: KubernetesClient
    clock: Clock
    cache_seconds: float = CACHE_SECONDS
    rate: float = REVIEW_RATE
    outcomes: dict[str, int] = field(default_factory=lambda: dict.fromkeys(OUTCOMES, 0), init=False)
    """Reviews asked for so far, by outcome."""
    _known: OrderedDict[bytes, tuple[float, Caller | None]] = field(default_factory=OrderedDict, init=False)
    _asking: dict[bytes, asyncio.Task[Caller]] = field(default_factory=dict, init=False)
    _limit: Limit = field(init=False)
    _slots: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(REVIEWS_AT_ONCE), init=False)

    def __post_init__(self) -> None:
        self._limit = Limit(self.rate, self.clock)

    @property
    def asked(self) -> int:
        """Reviews answered or not, so far."""
        return sum(self.outcomes.values())

    async def review(self, token: SecretValue, audience: str) -> Caller:
        """Return the caller; raises ``RefusedError`` 401, 429, or 503 while the API server does not answer."""
        key = hashlib.sha256(f"{audience}\0{token.reveal()}".encode()).digest()
        if (known := self._known.get(key)) and known[0] > self.clock.now():
            if known[1] is None:
                raise RefusedError(TOKEN_REJECTED)
            return known[1]
        task = self._asking.get(key)
        if task is None:
            task = self._asking[key] = asyncio.create_task(self._learn(key, token, audience))
            task.add_done_callback(lambda done: self._forget(key, done))
        # One that hangs up must not take the answer from the others.
        return await asyncio.shield(task)

    def _forget(self, key: bytes, done: asyncio.Task[Caller]) -> None:
        self._asking.pop(key, None)
        if not done.cancelled():
            done.exception()  # nobody may be left to see it

    async def _learn(self, key: bytes, token: SecretValue, audience: str) -> Caller:
        claims = unverified_claims(token.reveal())
        if is_hopeless(claims, audience):
            raise RefusedError(TOKEN_REJECTED)
        if wait := self._limit.take():
            raise RefusedError(too_many("token reviews", wait))
        asked_at = self.clock.now()
        async with self._slots:
            status = await self._ask(token, audience)
        try:
            caller = judge_review(status, audience)
        except RefusedError:
            self.outcomes["rejected"] += 1
            self._remember(key, asked_at + REJECTED_SECONDS, None)
            raise
        self.outcomes["accepted"] += 1
        self._remember(key, min(asked_at + self.cache_seconds, unverified_expiry(claims)), caller)
        return caller

    def _remember(self, key: bytes, until: float, caller: Caller | None) -> None:
        self._known.pop(key, None)
        self._known[key] = until, caller
        if len(self._known) > CACHE_ENTRIES:
            self._known.popitem(last=False)

    async def _ask(self, token: SecretValue, audience: str) -> Mapping[str, Any]:
        body = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenReview",
            "spec": {"token": token.reveal(), "audiences": [audience]},
        }
        try:
            answer = await self.client.create(paths.TOKEN_REVIEWS, body)
        except ApiError as error:
            self.outcomes["unavailable"] += 1
            raise RefusedError(KUBERNETES_UNAVAILABLE) from error
        status: Mapping[str, Any] = answer.get("status") or {}
        return status
