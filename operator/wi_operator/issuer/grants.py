"""A grant: what a pod may present to which cloud. Decided from the caller and the index alone. Pure but for signing."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from wi_operator.core.clock import Clock
from wi_operator.federation.azure import AzureEndpoints
from wi_operator.federation.diagnosis import issuer, links
from wi_operator.federation.hosts import ForbiddenHostError, require_allowed
from wi_operator.federation.keys import SigningKey
from wi_operator.index.objects import Organization
from wi_operator.index.resolve import Link, Refusal, check_service_account, resolve
from wi_operator.index.store import Index
from wi_operator.issuer.assertions import issue_assertion
from wi_operator.issuer.callers import Caller
from wi_operator.issuer.keyring import Keyring
from wi_operator.issuer.problems import ISSUER_URL_MISSING, Problem, RefusedError, unverified
from wi_operator.issuer.settings import IssuerSettings

CREDENTIALS_LIMIT = 64
NAME_LIMIT = 253


def read_request(body: Any) -> list[str]:
    """Return the credential names that a request's JSON asks for; raises ``RefusedError`` 400.

    The body names credentials and nothing else: a namespace, account or organization in it is refused, not ignored.
    """
    wanted = body.get("credentials") if isinstance(body, dict) and set(body) == {"credentials"} else None
    is_list = isinstance(wanted, list) and 0 < len(wanted) <= CREDENTIALS_LIMIT
    if not is_list or not all(isinstance(name, str) and len(name) <= NAME_LIMIT for name in wanted or ()):
        raise RefusedError(
            Problem.of(
                400,
                issuer.MALFORMED_REQUEST,
                detail=f'the body must be {{"credentials": [names]}} with 1 to {CREDENTIALS_LIMIT} names and nothing else',
            )
        )
    return list(dict.fromkeys(wanted or ()))


@dataclass(frozen=True, slots=True)
class GrantAnswer:
    """What was decided; ``etag`` names the facts that it rests on, never the tokens."""

    etag: str
    links: tuple[tuple[str, Link, AzureEndpoints], ...]
    refusals: tuple[tuple[str, Refusal], ...]
    organization: Organization


@dataclass(slots=True)
class Grants:
    """Decides and signs grants."""

    index: Index
    keyring: Keyring
    settings: IssuerSettings
    clock: Clock
    internal_ca: Callable[[], str] = str
    """Returns the bundle of the internal CA, PEM: pods learn a next CA before it signs."""

    def decide(self, caller: Caller, names: Sequence[str]) -> GrantAnswer:
        """Resolve each name in the caller's own namespace; raises ``RefusedError`` 403 for an unknown namespace."""
        organization = self.index.organizations.get(caller.namespace)
        if organization is None:
            raise RefusedError(Problem.of(403, issuer.NAMESPACE_UNKNOWN, namespace=caller.namespace))
        if organization is Organization.UNVERIFIED:
            raise RefusedError(unverified(caller.namespace))
        links: list[tuple[str, Link, AzureEndpoints]] = []
        refusals: list[tuple[str, Refusal]] = []
        for name in names:
            outcome = self._allow(caller, name)
            if isinstance(outcome, Refusal):
                refusals.append((name, outcome))
            else:
                links.append((name, *outcome))
        etag = self._etag(caller, organization, links, refusals)
        return GrantAnswer(etag, tuple(links), tuple(refusals), organization)

    def _allow(self, caller: Caller, name: str) -> tuple[Link, AzureEndpoints] | Refusal:
        link = resolve(self.index, caller.namespace, name)
        if isinstance(link, Refusal):
            return link
        if refusal := check_service_account(link.credential, caller.account):
            return refusal
        endpoints = AzureEndpoints.from_block(link.config.azure, extra_hosts=self.settings.extra_hosts)
        try:
            # Here as well as in the sidecar: an assertion is not even made for a host that must not get it.
            require_allowed(endpoints.authority_host, endpoints.hosts)
            require_allowed(link.credential.vault_url, endpoints.hosts)
        except ForbiddenHostError as error:
            detail = f"SecretProviderCredential '{link.credential.key}': {str(error).rstrip('.')}"
            return Refusal(403, links.FORBIDDEN_HOST.diagnose(detail=detail))
        return link, endpoints

    def _etag(
        self,
        caller: Caller,
        organization: Organization,
        links: Sequence[tuple[str, Link, AzureEndpoints]],
        refusals: Sequence[tuple[str, Refusal]],
    ) -> str:
        facts = [
            self.settings.public_url,
            caller.namespace,
            organization.id,
            self.keyring.epoch,
            hashlib.sha256(self.internal_ca().encode()).hexdigest(),
            [
                (name, link.credential.uid, link.credential.generation, link.config.uid, link.config.generation)
                for name, link, _ in links
            ],
            [(name, refusal.status, refusal.reason) for name, refusal in refusals],
        ]
        return '"' + hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:32] + '"'

    def sign(self, caller: Caller, answer: GrantAnswer) -> dict[str, Any]:
        """Return the grant document; raises ``RefusedError`` 503 without issuer URL or key."""
        if not self.settings.public_url:
            raise RefusedError(ISSUER_URL_MISSING)
        key = self.keyring.require_signing()
        organization = answer.organization.id
        bundles = [self.settings.extra_ca, *(endpoints.ca_bundle for _, _, endpoints in answer.links)]
        return {
            "organization": organization,
            "namespace": caller.namespace,
            "fingerprintKey": base64.b64encode(self.keyring.fingerprint_key_of(organization)).decode(),
            "keyEpoch": self.keyring.epoch,
            "grants": [self._grant(caller, organization, key, *entry) for entry in answer.links],
            "refusals": [_render_refusal(name, refusal) for name, refusal in answer.refusals],
            "issuerCaBundle": self.internal_ca(),
            "caBundle": "\n".join(dict.fromkeys(bundle.strip() for bundle in bundles if bundle.strip())),
        }

    def _grant(
        self, caller: Caller, organization: str, key: SigningKey, name: str, link: Link, endpoints: AzureEndpoints
    ) -> dict[str, Any]:
        claims, assertion = issue_assertion(
            key,
            issuer=self.settings.public_url,
            organization=organization,
            audience=endpoints.audience,
            now=self.clock.now(),
            lifetime=self.settings.grant_seconds,
            purpose="grant",
            namespace=caller.namespace,
            account=caller.account,
            pod=caller.pod,
            pod_uid=caller.pod_uid,
            credential=link.credential.key.name,
            config=link.config.key.name,
        )
        return {
            "credential": name,
            "provider": link.credential.provider,
            "resolved": _identity(link.credential.key.name, link.credential.uid, link.credential.generation),
            "config": {
                "namespace": link.config.key.namespace,
                **_identity(link.config.key.name, link.config.uid, link.config.generation),
            },
            "azure": {
                "tenantId": endpoints.tenant_id,
                "clientId": endpoints.client_id,
                "authorityHost": endpoints.authority_host,
                "vaultUrl": link.credential.vault_url.rstrip("/"),
                "vaultScope": endpoints.vault_scope,
            },
            "assertion": assertion.reveal(),
            "issuedAt": claims.issued_at,
            "expiresAt": claims.expires_at,
            "hosts": list(endpoints.hosts),
        }


def _identity(name: str, uid: str, generation: int) -> dict[str, Any]:
    return {"name": name, "uid": uid, "generation": generation}


def _render_refusal(name: str, refusal: Refusal) -> dict[str, Any]:
    return {
        "credential": name,
        "status": refusal.status,
        "reason": refusal.reason,
        "detail": refusal.diagnosis.cause,
        "remedy": refusal.diagnosis.remedy,
    }
