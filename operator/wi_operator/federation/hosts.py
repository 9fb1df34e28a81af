"""Which hosts may receive a token: an allow-list, compared after normalisation.

Standard library only: sidecar, controller and the models share it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

from wi_operator.core.errors import WorkloadIdentityError

HTTPS_PORT = 443


class ForbiddenHostError(WorkloadIdentityError):
    """A URL that must not receive a token; the text names the URL's fault or the missing allow-list entry."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A normalised https origin."""

    host: str
    port: int

    @property
    def netloc(self) -> str:
        """``host`` or ``host:port`` when the port is not 443."""
        return self.host if self.port == HTTPS_PORT else f"{self.host}:{self.port}"

    @property
    def origin(self) -> str:
        """``https://`` and the netloc, without a trailing slash."""
        return f"https://{self.netloc}"


def normalize_host(host: str) -> str:
    """Lower-case, without one trailing dot, in IDNA's ASCII form; raises ``ForbiddenHostError`` if there is none."""
    bare = host.removesuffix(".")
    try:
        # The idna codec maps look-alikes (full-width letters, ideographic dots) to what DNS would be asked for.
        return bare.encode("idna").decode("ascii").lower()
    except UnicodeError as error:
        raise ForbiddenHostError(f"{host!r} is not a host name") from error


def parse_endpoint(url: str) -> Endpoint:
    """Read ``https://host[:port][/]``; raises ``ForbiddenHostError`` on userinfo, path, query, fragment or blanks."""
    if any(character.isspace() or not character.isprintable() or character == "\\" for character in url):
        raise ForbiddenHostError(f"{url!r} holds a blank, a control character or a backslash")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise ForbiddenHostError(f"{url!r} is not a URL") from error
    if parts.scheme.lower() != "https" or not parts.hostname:
        raise ForbiddenHostError(f"{url!r} must be https://<host>")
    if "@" in parts.netloc:
        raise ForbiddenHostError("a URL with user information is refused: the part before @ is not the host")
    if parts.path not in {"", "/"} or parts.query or parts.fragment or url.rstrip("/").endswith(("?", "#")):
        raise ForbiddenHostError(f"{url!r} must end after the host")
    return Endpoint(normalize_host(parts.hostname), HTTPS_PORT if port is None else port)


def is_allowed(endpoint: Endpoint, allowed: Iterable[str]) -> bool:
    """Tell whether an entry of ``allowed`` covers the endpoint.

    An entry is ``host``, ``*.suffix`` (exactly one label more) or either with ``:port``; without one it means 443.
    """
    return any(_covers(entry, endpoint) for entry in allowed)


def _covers(entry: str, endpoint: Endpoint) -> bool:
    host, _, port = entry.partition(":")
    if endpoint.port != (int(port) if port else HTTPS_PORT):
        return False
    pattern = host.lower().removesuffix(".")
    if not pattern.startswith("*."):
        return endpoint.host == pattern
    label, _, rest = endpoint.host.partition(".")
    return bool(label) and rest == pattern[2:]


def require_allowed(url: str, allowed: Iterable[str]) -> Endpoint:
    """Return the endpoint of ``url``; raises ``ForbiddenHostError`` unless the allow-list covers it."""
    endpoint = parse_endpoint(url)
    entries = tuple(allowed)
    if not is_allowed(endpoint, entries):
        listed = ", ".join(entries) or "nothing"
        raise ForbiddenHostError(f"{endpoint.netloc} is not on the allow-list ({listed}); no token is sent to it")
    return endpoint
