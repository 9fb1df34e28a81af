"""The internal CA: made once, rotated so that no running pod meets a certificate that it cannot check.

1. An annotation (or two thirds of its life) makes the *next* CA; the public bundle holds both from then on.
2. The next one signs as soon as every running injected pod carries the hash of a bundle with it, or an administrator
   overrides that. Pods that have asked for a grant meanwhile know it too, until their sidecar restarts.
3. The previous one leaves the bundle later (a day by default), when every listener has its new certificate.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field

from wi_operator.api import names
from wi_operator.cluster.client import KubernetesClient
from wi_operator.cluster.errors import ConflictError, NotFoundError
from wi_operator.cluster.paths import PODS, secrets_path
from wi_operator.core.clock import Clock, format_rfc3339, parse_rfc3339
from wi_operator.core.log import fields
from wi_operator.federation import certificates
from wi_operator.federation.certificates import CertificateError, Pair
from wi_operator.reconcile.objects import system_object

OBSERVED_ROTATE = f"{names.GROUP}/observed-rotate"
OBSERVED_NOW = f"{names.GROUP}/observed-rotate-now"
SINCE = f"{names.GROUP}/since"
"""When the CA's present phase began, RFC 3339."""
RUNNING = "status.phase!=Succeeded,status.phase!=Failed"

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class AuthoritySettings:
    """Seconds. ``settle``: a webhook puts the old bundle into pods until the kubelet has brought it the new one.

    ``overlap``: for so long the previous CA stays in the bundle after its successor signs.
    """

    settle: float = 180.0
    overlap: float = 86400.0


@dataclass(frozen=True, slots=True)
class Authorities:
    """The Secret as read: the CA that signs, the next one, and the certificate of the previous one."""

    active: Pair
    version: str
    next: Pair | None = None
    previous: str = ""
    annotations: Mapping[str, str] = field(default_factory=dict)

    @property
    def bundle(self) -> str:
        """The public certificates that everybody must trust, PEM."""
        parts = [self.active.certificate, self.next.certificate if self.next else "", self.previous]
        return "\n".join(part.strip() for part in parts if part.strip()) + "\n"

    def is_asked(self, annotation: str, observed: str) -> bool:
        """Tell whether an annotation has a value that was not followed yet."""
        wanted = self.annotations.get(annotation, "")
        return bool(wanted) and wanted != self.annotations.get(observed, "")

    def age(self, now: float) -> float:
        """Return the seconds since the present phase began."""
        try:
            return now - parse_rfc3339(self.annotations.get(SINCE, ""))
        except ValueError:
            return float("inf")


@dataclass(slots=True)
class InternalAuthority:
    """Keeps Secret ``wi-internal-ca``; run by the leader only."""

    client: KubernetesClient
    namespace: str
    clock: Clock
    settings: AuthoritySettings = field(default_factory=AuthoritySettings)
    _told: int = field(default=-1, init=False)

    async def ensure(self) -> Authorities:
        """Make the CA if there is none, and take the next step of a rotation; raises ``ApiError``, ``CertificateError``."""
        found = await self._read() or await self._create()
        return await self._advance(found)

    async def _create(self) -> Authorities:
        pair = await asyncio.to_thread(certificates.generate_authority, self.clock.now())
        secret = system_object("Secret", names.CA_SECRET, self.namespace)
        secret |= {"type": "kubernetes.io/tls", "data": _render(pair)}
        try:
            created = await self.client.create(secrets_path(self.namespace), secret)
        except ConflictError:
            # Another replica was faster: its CA is the one.
            found = await self._read()
            if found is None:
                raise
            return found
        log.info("internal CA created", extra=fields(secret=names.CA_SECRET))
        return Authorities(pair, created["metadata"]["resourceVersion"])

    async def _advance(self, found: Authorities) -> Authorities:
        now = self.clock.now()
        if found.next is not None:
            return await self._promote(found) if await self._may_promote(found) else found
        if found.previous:
            is_over = found.age(now) >= self.settings.overlap
            return await self._write(found, Authorities(found.active, found.version)) if is_over else found
        is_asked = found.is_asked(names.ROTATE_ANNOTATION, OBSERVED_ROTATE)
        if not is_asked and now < certificates.renewal_time(found.active.certificate):
            return found
        following = await asyncio.to_thread(certificates.generate_authority, now)
        log.info("next internal CA created", extra=fields(secret=names.CA_SECRET))
        return await self._write(found, Authorities(found.active, found.version, next=following))

    async def _may_promote(self, found: Authorities) -> bool:
        if found.is_asked(names.ROTATE_NOW_ANNOTATION, OBSERVED_NOW):
            lacking = await self._count_lacking(found.bundle)
            log.warning("next internal CA signs by an administrator's word", extra=fields(pods_without_it=lacking))
            return True
        if found.age(self.clock.now()) < self.settings.settle:
            return False
        lacking = await self._count_lacking(found.bundle)
        if lacking and lacking != self._told:
            log.warning(
                "the next internal CA waits for pods that do not know it", extra=fields(pods_without_it=lacking)
            )
        self._told = lacking
        return not lacking

    async def _count_lacking(self, bundle: str) -> int:
        """Count running injected pods whose sidecar starts with another bundle; reads their metadata only."""
        selectors = {"labelSelector": f"{names.INJECT_LABEL}=true", "fieldSelector": RUNNING}
        pods, _ = await self.client.list(PODS, metadata_only=True, selectors=selectors)
        known = hash_of(bundle)
        hashes = ((pod["metadata"].get("annotations") or {}).get(names.CA_ANNOTATION) for pod in pods)
        # A pod without the annotation was not injected: it has no sidecar.
        return sum(1 for each in hashes if each and each != known)

    async def _promote(self, found: Authorities) -> Authorities:
        if found.next is None:
            return found
        log.info("next internal CA signs from now on", extra=fields(secret=names.CA_SECRET))
        return await self._write(found, Authorities(found.next, found.version, previous=found.active.certificate))

    async def _write(self, found: Authorities, wanted: Authorities) -> Authorities:
        notes = {**found.annotations, SINCE: format_rfc3339(self.clock.now())}
        for annotation, observed in (
            (names.ROTATE_ANNOTATION, OBSERVED_ROTATE),
            (names.ROTATE_NOW_ANNOTATION, OBSERVED_NOW),
        ):
            if annotation in notes:
                notes[observed] = notes[annotation]
        secret = system_object("Secret", names.CA_SECRET, self.namespace)
        secret["metadata"] |= {"resourceVersion": found.version, "annotations": notes}
        data = _render(wanted.active)
        if wanted.next is not None:
            data |= {"next.crt": _encode(wanted.next.certificate), "next.key": _encode(wanted.next.key)}
        if wanted.previous:
            data["previous.crt"] = _encode(wanted.previous)
        secret |= {"type": "kubernetes.io/tls", "data": data}
        written = await self.client.replace(secrets_path(self.namespace, names.CA_SECRET), secret)
        version = written["metadata"]["resourceVersion"]
        return Authorities(wanted.active, version, wanted.next, wanted.previous, notes)

    async def _read(self) -> Authorities | None:
        try:
            secret = await self.client.get(secrets_path(self.namespace, names.CA_SECRET))
        except NotFoundError:
            return None
        data: Mapping[str, str] = secret.get("data") or {}
        following = read_pair(data, names.CA_SECRET, "next") if "next.crt" in data else None
        metadata = secret["metadata"]
        return Authorities(
            read_pair(data, names.CA_SECRET),
            metadata["resourceVersion"],
            following,
            decode(data, "previous.crt", names.CA_SECRET),
            metadata.get("annotations") or {},
        )


def hash_of(bundle: str) -> str:
    """Return what the webhook writes into the annotation of a pod that got ``bundle``."""
    return hashlib.sha256(bundle.encode()).hexdigest()


def read_pair(data: Mapping[str, str], secret: str, stem: str = "tls") -> Pair:
    """Read a certificate and its key from a Secret's data; raises ``CertificateError``."""
    return Pair(decode(data, f"{stem}.crt", secret), decode(data, f"{stem}.key", secret))


def decode(data: Mapping[str, str], entry: str, secret: str) -> str:
    """Return an entry's text, ``""`` without it; raises ``CertificateError``."""
    try:
        return base64.b64decode(data.get(entry, ""), validate=True).decode()
    except ValueError:
        raise CertificateError(f"{entry} of Secret {secret} is not text") from None


def _render(pair: Pair) -> dict[str, str]:
    return {"tls.crt": _encode(pair.certificate), "tls.key": _encode(pair.key)}


def _encode(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
