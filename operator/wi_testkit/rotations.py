"""Rotations of a staged installation: asking for one, and seeing it happen."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable
from typing import Any, TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature

from wi_testkit.stage.errors import StageError
from wi_testkit.world import GROUP, World

SYSTEM = ("-n", "wi-system")
PATIENCE = 240.0
T = TypeVar("T")


def wait_for(find: Callable[[], T], what: str) -> T:
    """Return the first true answer; raises StageError that says ``what`` was awaited."""
    deadline = time.monotonic() + PATIENCE
    while not (found := find()):
        if time.monotonic() > deadline:
            raise StageError(f"{what}: not within {PATIENCE:.0f} s")
        time.sleep(1)
    return found


def timetable(world: World) -> list[dict[str, Any]]:
    """Return the recorded signing keys."""
    found = json.loads(world.kubectl(*SYSTEM, "get", "configmap", "wi-issuer-state", "-o", "json"))
    keys: list[dict[str, Any]] = json.loads(found["data"]["state.json"])["keys"]
    return keys


def annotate(world: World, secret: str, **annotations: str) -> None:
    """Set annotations of the product's group on a Secret of the installation; ``rotate_now`` is ``rotate-now``."""
    pairs = [f"{GROUP}/{name.replace('_', '-')}={value}" for name, value in annotations.items()]
    world.kubectl(*SYSTEM, "annotate", "--overwrite", "secret", secret, *pairs)


def rotate_key(world: World, *, publish_seconds: float = 0) -> str:
    """Ask for a rotation; return the new key's id once it signs, which is ``publish_seconds`` later at the earliest."""
    known = {key["kid"] for key in timetable(world)}
    annotate(world, "wi-issuer-keys", rotate=str(time.time()))
    kid = wait_for(lambda: next((k["kid"] for k in timetable(world) if k["kid"] not in known), ""), "publication")

    def signs() -> bool:
        entry = next(key for key in timetable(world) if key["kid"] == kid)
        after = entry["signAfter"]
        if after and _moment(after) - _moment(entry["publishedAt"]) < publish_seconds:
            raise StageError(f"key {kid} signs too early: {entry}")
        return bool(after) and _moment(after) <= time.time()

    wait_for(signs, f"signing with {kid}")
    return str(kid)


def _moment(text: str) -> float:
    return time.mktime(time.strptime(text, "%Y-%m-%dT%H:%M:%SZ")) - time.timezone


def leaf_signer(world: World) -> tuple[x509.Certificate, list[x509.Certificate]]:
    """Return the certificate in the public bundle that signed the issuer's leaf, and the bundle; raises StageError."""
    data = json.loads(world.kubectl(*SYSTEM, "get", "secret", "wi-issuer-tls", "-o", "json"))["data"]
    bundle = json.loads(world.kubectl(*SYSTEM, "get", "configmap", "wi-ca-bundle", "-o", "json"))["data"]["ca.crt"]
    leaf = x509.load_pem_x509_certificate(base64.b64decode(data["tls.crt"]))
    authorities = x509.load_pem_x509_certificates(bundle.encode())
    for authority in authorities:
        try:
            leaf.verify_directly_issued_by(authority)
        except (InvalidSignature, ValueError):
            continue
        return authority, authorities
    raise StageError("no CA of the bundle signed the leaf")


def rotate_authority(world: World, *, settle_seconds: float = 0) -> None:
    """Rotate the internal CA by an administrator's word, ``settle_seconds`` after the next one is in the bundle."""
    before, _ = leaf_signer(world)
    annotate(world, "wi-internal-ca", rotate=str(time.time()))
    wait_for(lambda: len(leaf_signer(world)[1]) == 2, "the next CA in the bundle")
    time.sleep(settle_seconds)
    if leaf_signer(world)[0] != before:
        raise StageError("the next CA signed unasked")
    annotate(world, "wi-internal-ca", rotate_now=str(time.time()))
    wait_for(lambda: leaf_signer(world)[0] != before, "leaves of the next CA")
