"""TLS contexts: whom the sidecar believes. Verification is always on."""

from __future__ import annotations

import os
import ssl


def internal_context(ca_bundle: str) -> ssl.SSLContext:
    """Return a context that trusts the cluster's internal CA only; raises ``ValueError`` for a bundle without one."""
    context = _context()
    _add(context, ca_bundle)
    return context


def cloud_context(extra_ca: str) -> ssl.SSLContext:
    """Return a context that trusts the public roots of the image and ``extra_ca``; ``ValueError`` as above."""
    context = _context()
    _add_public_roots(context)
    if extra_ca.strip():
        _add(context, extra_ca)
    return context


def _context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # checks host name and certificate
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def _add_public_roots(context: ssl.SSLContext) -> None:
    """Trust the system's folder of roots, of which OpenSSL reads only those that it meets.

    Reading all of them costs each pod 25 ms of its first kickoff and a megabyte. Where there is no such folder, or the
    environment names a file, the system's default is read.
    """
    paths = ssl.get_default_verify_paths()
    is_chosen = paths.cafile not in (None, paths.openssl_cafile)
    if paths.capath and not is_chosen and any(name.endswith(".0") for name in os.listdir(paths.capath)):
        context.load_verify_locations(capath=paths.capath)
    else:
        context.load_default_certs()


def _add(context: ssl.SSLContext, pem: str) -> None:
    try:
        context.load_verify_locations(cadata=pem)
    except ssl.SSLError as error:
        raise ValueError("the CA bundle holds no usable certificate") from error
