"""What a scripted fault does, for tests: each function returns that part of a fault's JSON."""

from __future__ import annotations

from typing import Any

Act = dict[str, Any]

GATEWAY = "<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n<center><h1>{title}</h1></center>\r\n</body>\r\n</html>\r\n"
LOGIN_PAGE = "<!DOCTYPE html><html><head><title>Sign in to the network</title></head><body><form></form></body></html>"
TITLES = {500: "Internal Server Error", 502: "Bad Gateway", 503: "Service Unavailable", 504: "Gateway Time-out"}


def code(code: int | str, *, variant: int = 0, **more: Any) -> Act:
    """Refuse with an AADSTS number, or with one of Key Vault's codes; ``status`` and ``headers`` may be given too."""
    return {"code": code, "variant": variant, **more}


def answer(status: int, body: Any = None, headers: dict[str, str] | None = None) -> Act:
    """Answer exactly this; text or JSON."""
    return {"status": status, "body": "" if body is None else body, "headers": headers or {}}


def throttled(retry_after: int | str | None = None) -> Act:
    """Answer 429 as Entra does: plain text, with or without ``Retry-After``."""
    return answer(429, "Too Many Requests", {} if retry_after is None else {"Retry-After": str(retry_after)})


def unavailable(status: int = 503, retry_after: int | None = None) -> Act:
    """Answer a gateway's HTML page."""
    page = GATEWAY.format(title=f"{status} {TITLES.get(status, 'Error')}")
    headers = {"Content-Type": "text/html"} | ({} if retry_after is None else {"Retry-After": str(retry_after)})
    return answer(status, page, headers)


def html() -> Act:
    """Answer 200 with a web page, as a captive portal does."""
    return answer(200, LOGIN_PAGE, {"Content-Type": "text/html; charset=utf-8"})


def mislabelled(content_type: str = "text/html") -> Act:
    """Answer naturally, but under another content type."""
    return {"headers": {"Content-Type": content_type}}


def redirect(location: str, status: int = 307) -> Act:
    """Send the client elsewhere; 307 keeps method and body, assertion included."""
    return answer(status, "", {"Location": location})


def slow(seconds: float) -> Act:
    """Answer naturally, but late."""
    return {"delay": seconds}


def hang() -> Act:
    """Never answer."""
    return {"transport": "hang"}


def reset(*, after_headers: bool = False) -> Act:
    """Reset the connection, at once or in the middle of the body."""
    return {"transport": "resetBody" if after_headers else "reset"}


def truncated() -> Act:
    """End the connection in the middle of the body."""
    return {"transport": "truncate"}


def garbage() -> Act:
    """Answer what is no HTTP."""
    return {"transport": "garbage"}


def oversized(size: int = 8 * 1024 * 1024) -> Act:
    """Answer naturally, behind so many bytes of white space."""
    return {"transport": "oversize", "bytes": size}


def drip(interval: float = 0.2) -> Act:
    """Answer naturally, but one byte at a time."""
    return {"transport": "drip", "interval": interval}
