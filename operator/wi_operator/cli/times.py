"""Times as kubectl shows them. Pure."""

from __future__ import annotations

from wi_operator.core.clock import parse_rfc3339

UNITS = (("d", 86400.0), ("h", 3600.0), ("m", 60.0))


def age(seconds: float) -> str:
    """Return ``3d``, ``5h``, ``12m`` or ``40s``; two of a unit are needed to leave the smaller one."""
    for unit, length in UNITS:
        if abs(seconds) >= 2 * length:
            return f"{int(seconds / length)}{unit}"
    return f"{int(seconds)}s"


def since(text: str | None, now: float) -> str:
    """Return the age of an RFC 3339 time, ``-`` without one."""
    try:
        return age(max(0.0, now - parse_rfc3339(text or "")))
    except ValueError:
        return "-"
