"""What the Entra emulator knows and decides, without HTTP."""

from __future__ import annotations

import dataclasses
import ssl
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from wi_testkit.emulation.checks import require_known
from wi_testkit.emulation.faults import Faults
from wi_testkit.emulation.jose import parse
from wi_testkit.emulation.journal import Journal
from wi_testkit.emulation.propagation import Nodes
from wi_testkit.emulation.settings import Settings, changed
from wi_testkit.entra.checks import AFTER_FETCH, BEFORE_FETCH, NAMES, Exchange
from wi_testkit.entra.codes import known_code
from wi_testkit.entra.errors import EntraError
from wi_testkit.entra.issuers import Issuers
from wi_testkit.entra.state import Application, Directory, FederatedCredential
from wi_testkit.entra.tokens import LIFETIME, SigningKey, access_claims, new_signing_key


@dataclass(frozen=True, kw_only=True)
class EntraSettings(Settings):
    """Settings of Entra.

    ``legacy_text``: answer as up to 2023. ``jwks_cache_seconds``: keep an issuer's keys so long (0: fetch each time);
    ``jwks_cache_of_issuer`` has other values for some issuers. ``leeway``: clock difference accepted in exp and nbf.
    ``token_seconds``: lifetime of access tokens.
    """

    legacy_text: bool = False
    jwks_cache_seconds: float = 0.0
    jwks_cache_of_issuer: dict[str, float] = field(default_factory=dict)
    leeway: float = 0.0
    token_seconds: int = LIFETIME


@dataclass
class EntraService:
    """Everything that the emulator knows, and the judging of one exchange."""

    trust: ssl.SSLContext
    directory: Directory = field(default_factory=Directory)
    journal: Journal = field(default_factory=Journal)
    faults: Faults = field(default_factory=lambda: Faults(known_code))
    key: SigningKey = field(default_factory=new_signing_key)
    without: Sequence[str] = ()
    settings: EntraSettings = field(default_factory=EntraSettings)
    clock: Callable[[], float] = time.time
    moment: Callable[[], float] = time.monotonic

    def __post_init__(self) -> None:
        require_known(self.without, NAMES)
        self.issuers = Issuers(self.trust, self.moment)
        self._nodes = Nodes(self.settings)
        self._former_keys: list[SigningKey] = []
        self._before = BEFORE_FETCH.without(self.without)
        self._after = AFTER_FETCH.without(self.without)

    def adjust(self, changes: dict[str, Any]) -> None:
        """Change settings."""
        self.settings = changed(self.settings, changes)
        self._nodes = Nodes(self.settings)
        if any(name.startswith("jwksCache") for name in changes):
            self.issuers.forget()

    def now(self) -> float:
        """Return the emulator's time."""
        return self.clock() + self.settings.clock_offset

    def rotate_key(self) -> str:
        """Make a new signing key and return its id."""
        self._former_keys.append(self.key)
        self.key = new_signing_key()
        return self.key.kid

    def jwks(self) -> dict[str, Any]:
        """Return the key set, newest key first."""
        return {"keys": [key.jwk for key in (self.key, *reversed(self._former_keys))]}

    def add_credential(self, application: Application, credential: FederatedCredential) -> None:
        """Add or replace a credential; nodes see it one after the other."""
        application.trust(credential)
        self._record(application)

    def remove_credential(self, application: Application, name: str) -> None:
        """Remove a credential; nodes see it one after the other."""
        application.distrust(name)
        self._record(application)

    def _record(self, application: Application) -> None:
        seconds = self._nodes.seconds(application.propagation_seconds)
        application.history.record(self.moment(), seconds, tuple(application.credentials.values()))

    def seen_credentials(self, application: Application | None) -> tuple[FederatedCredential, ...]:
        """Return the credentials that the node of this request has seen."""
        if application is None:
            return ()
        return application.history.at(self.moment(), self._nodes.lateness(application.propagation_seconds))

    def exchange(self, tenant_name: str, form: dict[str, str]) -> Exchange:
        """Gather what is known before anything is fetched."""
        tenant = self.directory.tenant(tenant_name)
        application = tenant.application(form.get("client_id", "")) if tenant else None
        return Exchange(
            tenant_name=tenant_name,
            form=form,
            now=self.now(),
            leeway=self.settings.leeway,
            tenant=tenant,
            application=application,
            assertion=parse(form.get("client_assertion", "")),
            credentials=self.seen_credentials(application),
            legacy=self.settings.legacy_text,
        )

    async def judge(self, exchange: Exchange) -> EntraError | None:
        """Ask all checks, fetching the issuer's keys only for an assertion that a credential trusts."""
        refusal = self._before.first_refusal(exchange)
        if refusal is not None:
            return refusal
        issuer, settings = exchange.assertion.text("iss"), self.settings
        lifetime = settings.jwks_cache_of_issuer.get(issuer, settings.jwks_cache_seconds)
        keys = await self.issuers.keys(issuer, lifetime)
        return self._after.first_refusal(dataclasses.replace(exchange, issuer_keys=keys))

    def success(self, exchange: Exchange) -> dict[str, Any]:
        """Return the token response."""
        if exchange.tenant is None or exchange.application is None:
            raise web.HTTPInternalServerError(text="no check refused, yet there is nobody to issue a token to\n")
        lifetime = self.settings.token_seconds
        claims = access_claims(exchange.tenant, exchange.application, exchange.resource, exchange.now, lifetime)
        return {
            "token_type": "Bearer",
            "expires_in": lifetime,
            "ext_expires_in": lifetime,
            "access_token": self.key.sign(claims),
        }
