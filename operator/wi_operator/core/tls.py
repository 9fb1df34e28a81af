"""What all our TLS connections share, whoever makes them. Standard library only."""

from __future__ import annotations

import asyncio.sslproto

READ_BUFFER = 16 * 1024
"""Bytes: one TLS record. asyncio's default of 256 KiB per connection is most of a process's growth under load."""


def shrink_read_buffers() -> None:
    """Make asyncio's TLS read buffers small, for connections made from now on; does nothing where that private name has gone."""
    if hasattr(asyncio.sslproto.SSLProtocol, "max_size"):
        asyncio.sslproto.SSLProtocol.max_size = READ_BUFFER
