"""HTTP as values: what an exchanger or a vault wants sent, and what came back. Standard library only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from wi_operator.federation.hosts import Endpoint


@dataclass(frozen=True, slots=True, repr=False)
class HttpRequest:
    """A request to be sent to ``endpoint`` over TLS; never printed: headers and body hold tokens."""

    method: str
    endpoint: Endpoint
    target: str
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""


@dataclass(frozen=True, slots=True, repr=False)
class HttpResponse:
    """An answer, whole; header names are lower-case; never printed: the body may hold a token or a value."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def retry_after(self) -> float | None:
        """Seconds of ``Retry-After``; ``None`` without one, or when it is a date (RFC 9110 section 10.2.3)."""
        text = self.headers.get("retry-after", "").strip()
        return float(text) if text.isascii() and text.isdigit() and len(text) < 7 else None
