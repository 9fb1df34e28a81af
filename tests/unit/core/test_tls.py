"""Buffers of TLS connections."""

import asyncio.sslproto

from wi_operator.core.tls import READ_BUFFER, shrink_read_buffers


def test_read_buffers_become_small(monkeypatch):
    monkeypatch.setattr(asyncio.sslproto.SSLProtocol, "max_size", 256 * 1024)
    shrink_read_buffers()
    assert asyncio.sslproto.SSLProtocol.max_size == READ_BUFFER == 16 * 1024
