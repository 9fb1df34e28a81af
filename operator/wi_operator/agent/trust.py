"""TLS contexts: whom the sidecar believes. Verification is always on."""

from __future__ import annotations

import asyncio.sslproto
import ssl

READ_BUFFER = 16 * 1024
"""Bytes: one TLS record. asyncio's default of 256 KiB per connection is most of a sidecar's growth under load."""


def shrink_read_buffers() -> None:
    """Make asyncio's TLS read buffers small; does nothing where that private name has gone."""
    if hasattr(asyncio.sslproto.SSLProtocol, "max_size"):
        asyncio.sslproto.SSLProtocol.max_size = READ_BUFFER


def internal_context(ca_bundle: str) -> ssl.SSLContext:
    """Return a context that trusts the cluster's internal CA only; raises ``ValueError`` for a bundle without one."""
    context = _context()
    _add(context, ca_bundle)
    return context


def cloud_context(extra_ca: str) -> ssl.SSLContext:
    """Return a context that trusts the public roots of the image and ``extra_ca``; ``ValueError`` as above."""
    context = _context()
    context.load_default_certs()
    if extra_ca.strip():
        _add(context, extra_ca)
    return context


def _context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # checks host name and certificate
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def _add(context: ssl.SSLContext, pem: str) -> None:
    try:
        context.load_verify_locations(cadata=pem)
    except ssl.SSLError as error:
        raise ValueError("the CA bundle holds no usable certificate") from error
