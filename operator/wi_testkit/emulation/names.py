"""The clouds' real names, leading to the emulators: inside one process, without a DNS server and a privileged port."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

ENTRA_NAMES = frozenset({"login.microsoftonline.com", "login.windows.net"})
VAULT_SUFFIX = ".vault.azure.net"

Resolve = Callable[..., list[Any]]


def redirecting(resolve: Resolve, entra_port: int, vault_port: int) -> Resolve:
    """Return a resolver that answers the clouds' names with the emulators' addresses, ports included.

    Resolving is the one place that sees name and port together, so no privileged port is needed.
    """

    def getaddrinfo(host: Any, port: Any, *rest: Any, **options: Any) -> list[Any]:
        name = host.decode() if isinstance(host, bytes) else str(host)
        if port in (443, "443") and name in ENTRA_NAMES:
            return resolve("127.0.0.1", entra_port, *rest, **options)
        if port in (443, "443") and name.endswith(VAULT_SUFFIX):
            return resolve("127.0.0.1", vault_port, *rest, **options)
        if name not in ("localhost", "127.0.0.1", "::1"):
            raise socket.gaierror(socket.EAI_NONAME, f"{name}:{port} is no part of this test")
        return resolve(host, port, *rest, **options)

    return getaddrinfo
