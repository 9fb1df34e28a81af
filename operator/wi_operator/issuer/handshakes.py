"""Assertions for the controller's check: its own door, five minutes of life, one config at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from wi_operator.api import reasons
from wi_operator.cluster import paths
from wi_operator.cluster.client import KubernetesClient
from wi_operator.cluster.errors import ApiError, NotFoundError
from wi_operator.core.clock import Clock
from wi_operator.federation.azure import AzureEndpoints
from wi_operator.federation.diagnosis import issuer, links
from wi_operator.index.objects import AZURE, Config, Organization
from wi_operator.index.store import Index
from wi_operator.issuer.assertions import issue_assertion
from wi_operator.issuer.callers import Caller
from wi_operator.issuer.documents import discovery_body, jwks_body
from wi_operator.issuer.keyring import Keyring
from wi_operator.issuer.problems import (
    ISSUER_URL_MISSING,
    KUBERNETES_UNAVAILABLE,
    Problem,
    RefusedError,
    unverified,
)
from wi_operator.issuer.settings import IssuerSettings


@dataclass(frozen=True, slots=True)
class HandshakeRequest:
    """The config that the controller judged, as it saw it."""

    namespace: str
    name: str
    uid: str
    generation: int


def read_request(body: Any) -> HandshakeRequest:
    """Read the request's JSON; raises ``RefusedError`` 400 on anything but the four members."""
    types = {"namespace": str, "name": str, "uid": str, "generation": int}
    if not isinstance(body, dict) or set(body) != set(types) or any(type(body[k]) is not t for k, t in types.items()):
        raise RefusedError(
            Problem.of(
                400,
                issuer.MALFORMED_REQUEST,
                detail="the body must hold namespace, name, uid and generation of a WorkloadIdentityConfig and nothing else",
            )
        )
    return HandshakeRequest(**body)


@dataclass(slots=True)
class Handshakes:
    """Mints for the controller and nobody else."""

    client: KubernetesClient
    index: Index
    keyring: Keyring
    settings: IssuerSettings
    clock: Clock

    async def mint(self, caller: Caller, request: HandshakeRequest) -> dict[str, Any]:
        """Return the assertion's document; raises ``RefusedError`` 403, 404, 409 or 503."""
        if (caller.namespace, caller.account) != self.settings.controller_account:
            raise RefusedError(Problem.of(403, issuer.NOT_THE_CONTROLLER))
        if not self.settings.public_url:
            raise RefusedError(ISSUER_URL_MISSING)
        config = await self._read(request)
        organization = self.index.organizations.get(request.namespace)
        key = self.keyring.require_signing()
        if organization is Organization.UNVERIFIED:
            raise RefusedError(unverified(request.namespace))
        if organization is None or config.provider != AZURE:
            asking = f"WorkloadIdentityConfig '{config.key}'"
            raise RefusedError(Problem.of(409, links.NOT_SUPPORTED_YET, object=asking, what=config.provider))
        claims, assertion = issue_assertion(
            key,
            issuer=self.settings.public_url,
            organization=organization.id,
            audience=AzureEndpoints.from_block(config.azure).audience,
            now=self.clock.now(),
            lifetime=self.settings.handshake_seconds,
            purpose="handshake",
            namespace=request.namespace,
            config=request.name,
        )
        return {
            "assertion": assertion.reveal(),
            "expiresAt": claims.expires_at,
            "issuer": claims.issuer,
            "subject": claims.subject,
            "audience": claims.audience,
            "organization": organization.id,
            "disputed": self.index.disputed.get(request.namespace, ""),
            # The controller compares the public copies with these; they are public themselves.
            "discovery": discovery_body(self.settings.public_url).decode(),
            "jwks": jwks_body(self.keyring.published()).decode(),
        }

    async def _read(self, request: HandshakeRequest) -> Config:
        """Read the config ourselves: what the controller claims of it is compared, never used."""
        try:
            item = await self.client.get(paths.config_path(request.namespace, request.name))
        except NotFoundError as error:
            raise RefusedError(
                Problem(
                    404,
                    reasons.CONFIG_NOT_FOUND,
                    f"There is no WorkloadIdentityConfig '{request.namespace}/{request.name}'.",
                    "It was deleted meanwhile; nothing is to be done.",
                )
            ) from error
        except ApiError as error:
            raise RefusedError(KUBERNETES_UNAVAILABLE) from error
        config = Config.from_object(item)
        if (config.uid, config.generation) != (request.uid, request.generation):
            raise RefusedError(
                Problem(
                    409,
                    "StaleGeneration",
                    f"WorkloadIdentityConfig '{config.key}' has changed since the request was made.",
                    "The controller judges it anew by itself.",
                )
            )
        return config
