"""Waits for a component to say that it is ready, and tells why when it does not."""

import http.client
import ssl
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from wi_testkit.controlplane.errors import NotReadyError

_POLL_SECONDS = 0.05
_TAIL_LINES = 6


def answers(url: str, authority: Path | None = None) -> bool:
    """Tell whether GET ``url`` answers 200; ``authority`` is the CA bundle of an https one."""
    # Not urllib: it would ask the proxy of the caller's environment for an address on loopback.
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or 0
    try:
        if authority is None:
            connection = http.client.HTTPConnection(host, port, timeout=2)
        else:
            context = ssl.create_default_context(cafile=str(authority))
            connection = http.client.HTTPSConnection(host, port, timeout=2, context=context)
        try:
            connection.request("GET", parts.path)
            return connection.getresponse().status == http.HTTPStatus.OK
        finally:
            connection.close()
    except (OSError, http.client.HTTPException):
        return False


def wait_until(
    is_ready: Callable[[], bool], *, name: str, timeout: float, log: Path, is_alive: Callable[[], bool]
) -> None:
    """Return once ``is_ready()``; raises NotReadyError after ``timeout`` seconds or when ``is_alive()`` ends."""
    deadline = time.monotonic() + timeout
    while not is_ready():
        if not is_alive():
            raise NotReadyError(f"{name} ended before it was ready; {quote_log(log)}")
        if time.monotonic() > deadline:
            raise NotReadyError(f"{name} was not ready within {timeout:.0f} s; {quote_log(log)}")
        time.sleep(_POLL_SECONDS)


def quote_log(log: Path) -> str:
    """Return a phrase that names ``log`` and quotes its last lines."""
    try:
        lines = log.read_text(errors="replace").splitlines()[-_TAIL_LINES:]
    except OSError:
        return f"it left no log at {log}"
    return "\n  ".join([f"the end of {log}:", *lines])
