"""The way out through a proxy: ``HTTPS_PROXY`` and ``NO_PROXY``, and the tunnel (RFC 9110 section 9.3.6).

A proxy sees host names and TLS; the tunnel ends at the cloud, whose certificate is checked as without a proxy.
"""

from __future__ import annotations

import asyncio
import base64
import errno
import socket
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

import h11

from wi_operator.agent.sockets import dial
from wi_operator.core.errors import SettingsError
from wi_operator.core.secret import SecretValue
from wi_operator.federation.hosts import Endpoint

HEAD_BYTES = 16 * 1024


class ProxyError(Exception):
    """The proxy itself could not be reached (``answered`` is false), or it refused the tunnel."""

    def __init__(self, proxy: Proxy, detail: str, *, answered: bool) -> None:
        super().__init__(detail)
        self.proxy = proxy
        self.detail = detail
        self.answered = answered


@dataclass(frozen=True, slots=True)
class Proxy:
    """An HTTP proxy; ``authorization`` is the value of ``Proxy-Authorization`` if its URL has a user."""

    host: str
    port: int
    authorization: SecretValue | None = None


@dataclass(frozen=True, slots=True)
class ProxySettings:
    """Which hosts are reached through ``proxy``; entries of ``bypass`` are lower-case."""

    proxy: Proxy | None = None
    bypass: tuple[str, ...] = ()

    def choose(self, endpoint: Endpoint) -> Proxy | None:
        """Return the proxy for ``endpoint``; ``None``: reach it directly."""
        if self.proxy is None or any(_covers(entry, endpoint) for entry in self.bypass):
            return None
        return self.proxy


DIRECT = ProxySettings()


def read_proxy(https_proxy: str, no_proxy: str) -> ProxySettings:
    """Read the two variables; raises ``SettingsError``, which never quotes the URL: it may hold a password."""
    if not https_proxy:
        return DIRECT
    entries = (entry.strip().lower() for entry in no_proxy.split(","))
    return ProxySettings(_parse_proxy(https_proxy), tuple(entry for entry in entries if entry))


def _parse_proxy(url: str) -> Proxy:
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        host, port = parts.hostname or "", parts.port or 80
    except ValueError:
        host, port = "", 0
    if parts.scheme != "http" or not host:
        raise SettingsError("HTTPS_PROXY is not a proxy that can be used: write http://<host>:<port>")
    authorization = None
    if parts.username is not None:
        user = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        authorization = SecretValue("Basic " + base64.b64encode(user.encode()).decode())
    return Proxy(host, port, authorization)


def _covers(entry: str, endpoint: Endpoint) -> bool:
    """Tell whether an entry of NO_PROXY means the endpoint: ``*``, a host with its subdomains, or ``.suffix``."""
    if entry == "*":
        return True
    host, _, port = entry.partition(":")
    if port and port != str(endpoint.port):
        return False
    suffix = host.removeprefix("*").removeprefix(".")
    is_host = host == suffix and endpoint.host == suffix
    return bool(suffix) and (is_host or endpoint.host.endswith("." + suffix))


async def open_tunnel(proxy: Proxy, endpoint: Endpoint) -> socket.socket:
    """Return a socket that leads to ``endpoint``; raises ``ProxyError``."""
    try:
        plain = await dial(proxy.host, proxy.port)
    except OSError as error:
        word = errno.errorcode.get(error.errno or 0, error.strerror or type(error).__name__)
        raise ProxyError(proxy, word, answered=False) from error
    try:
        await _ask_tunnel(plain, proxy, endpoint)
    except BaseException:
        plain.close()
        raise
    return plain


async def _ask_tunnel(plain: socket.socket, proxy: Proxy, endpoint: Endpoint) -> None:
    loop = asyncio.get_running_loop()
    http = h11.Connection(h11.CLIENT, max_incomplete_event_size=HEAD_BYTES)
    target = f"{endpoint.host}:{endpoint.port}"
    headers = [("host", target)]
    if proxy.authorization is not None:
        headers.append(("proxy-authorization", proxy.authorization.reveal()))
    try:
        request = http.send(h11.Request(method="CONNECT", target=target, headers=headers)) or b""
        await loop.sock_sendall(plain, request + (http.send(h11.EndOfMessage()) or b""))
        while (event := http.next_event()) is h11.NEED_DATA or isinstance(event, h11.InformationalResponse):
            if event is h11.NEED_DATA:
                http.receive_data(await loop.sock_recv(plain, HEAD_BYTES))
    except (OSError, h11.RemoteProtocolError) as error:
        raise ProxyError(proxy, f"no answer to CONNECT ({type(error).__name__})", answered=True) from error
    if not isinstance(event, h11.Response) or not 200 <= event.status_code < 300:
        status = f"status {event.status_code}" if isinstance(event, h11.Response) else "no answer to CONNECT"
        raise ProxyError(proxy, status, answered=True)
    if http.trailing_data[0]:
        # The cloud does not speak before we do: whoever does could put words before its first.
        raise ProxyError(proxy, "words of its own after CONNECT", answered=True)
