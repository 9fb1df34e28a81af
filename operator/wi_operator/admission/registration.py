"""Does the API server reach us? Ready means: the webhook is registered, and what is registered trusts our listener."""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
import logging
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from wi_operator.core.log import fields

logger = logging.getLogger(__name__)

LOOPBACK = "127.0.0.1"
HANDSHAKE_SECONDS = 2.0
RETRY_SECONDS = 1.0
RECHECK_SECONDS = 10.0


@dataclass(slots=True)
class Registration:
    """Follows the MutatingWebhookConfiguration and shakes hands with our own listener as the API server would.

    ``server_name`` is the Service's name, which the API server verifies; ``port`` is the listener's on loopback.
    """

    server_name: str
    port: int
    problem: str = "not looked yet"
    """Why the API server could not call us now; empty when it can."""
    expiry: float = 0.0
    """When the certificate ends that our listener showed last, seconds since the epoch; 0 before the first look."""
    _bundles: tuple[str, ...] = ()
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    def put(self, configuration: Mapping[str, Any]) -> None:
        """Take the configuration as the API's JSON."""
        webhooks = configuration.get("webhooks") or []
        self._bundles = tuple((webhook.get("clientConfig") or {}).get("caBundle") or "" for webhook in webhooks)
        self._changed.set()

    def drop(self, _: Mapping[str, Any]) -> None:
        """Forget the configuration: it was deleted."""
        self._bundles = ()
        self._changed.set()

    def is_proven(self) -> bool:
        """Tell whether the last look found nothing wrong."""
        return not self.problem

    async def follow(self) -> None:
        """Look again after every change and every few seconds, until cancelled."""
        while True:
            self._changed.clear()
            self._tell(await self.find_problem())
            delay = RECHECK_SECONDS if self.is_proven() else RETRY_SECONDS
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), delay)

    async def find_problem(self) -> str:
        """Say why the API server could not call us; empty when it can."""
        if not self._bundles:
            return "there is no MutatingWebhookConfiguration of ours"
        for bundle in set(self._bundles):
            try:
                context = _trust(bundle)
            except (ValueError, ssl.SSLError):
                return "the MutatingWebhookConfiguration has no usable caBundle yet"
            if problem := await self._shake_hands(context):
                return problem
        return ""

    async def _shake_hands(self, context: ssl.SSLContext) -> str:
        try:
            async with asyncio.timeout(HANDSHAKE_SECONDS):
                _, writer = await asyncio.open_connection(
                    LOOPBACK, self.port, ssl=context, server_hostname=self.server_name
                )
        except ssl.SSLCertVerificationError as error:
            return f"the registered caBundle does not trust our certificate: {error.verify_message}"
        except (OSError, TimeoutError) as error:
            return f"our own listener does not answer ({type(error).__name__})"
        # Read here, where it is shown: a library that reads certificates takes 8 MiB.
        certificate = writer.get_extra_info("peercert")
        self.expiry = float(ssl.cert_time_to_seconds(certificate["notAfter"]))
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
        return ""

    def _tell(self, problem: str) -> None:
        if problem != self.problem:
            logger.info("registration looked at", extra=fields(is_proven=not problem, problem=problem))
        self.problem = problem


def _trust(bundle: str) -> ssl.SSLContext:
    """Return a client's context for a base64 ``caBundle``; raises ``ValueError`` or ``ssl.SSLError``."""
    try:
        pem = base64.b64decode(bundle, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError) as error:
        raise ValueError("not base64 of text") from error
    if not pem:
        raise ValueError("empty")
    return ssl.create_default_context(cadata=pem)
