"""Starts one process of the product with the clouds' and the services' names leading to loopback.

python -m wi_testkit.local.start --entra PORT --vault PORT [--core N] controller|issuer|webhook|sidecar
"""

from __future__ import annotations

import argparse
import os
import runpy
import socket
import sys
from typing import Any

from wi_testkit.emulation.names import Resolve, redirecting

SERVICE_SUFFIX = ".svc"


def with_services(resolve: Resolve, otherwise: Resolve) -> Resolve:
    """Return a resolver to which a Service of the cluster is the loopback interface, on the port that was asked for."""

    def getaddrinfo(host: Any, port: Any, *rest: Any, **options: Any) -> list[Any]:
        if host is None:  # a listener's "everywhere"
            return resolve(host, port, *rest, **options)
        name = host.decode() if isinstance(host, bytes) else str(host)
        if name.endswith(SERVICE_SUFFIX):
            return resolve("127.0.0.1", port, *rest, **options)
        return otherwise(host, port, *rest, **options)

    return getaddrinfo


def main() -> None:
    """Redirect, then become the process."""
    parser = argparse.ArgumentParser(prog="python -m wi_testkit.local.start", description=__doc__)
    parser.add_argument("--entra", type=int, required=True, metavar="PORT", help="where the Entra emulator listens")
    parser.add_argument("--vault", type=int, required=True, metavar="PORT", help="where the Key Vault emulator listens")
    parser.add_argument("--core", type=int, metavar="N", help="run on this core only")
    parser.add_argument("process", choices=("controller", "issuer", "webhook", "sidecar"))
    given = parser.parse_args()
    if given.core is not None:
        os.sched_setaffinity(0, {given.core})
    plain = socket.getaddrinfo
    resolver: Any = with_services(plain, redirecting(plain, given.entra, given.vault))
    socket.getaddrinfo = resolver
    sys.argv = ["wi-operator", given.process]
    # By name: the test kit imports nothing of the product.
    runpy.run_module("wi_operator.main", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
