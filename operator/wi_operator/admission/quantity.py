"""Sums and order of Kubernetes quantities (``500m``, ``64Mi``, ``1e3``; Kubernetes API reference, "Quantity")."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation

_UNITS = {
    "n": Decimal("1e-9"), "u": Decimal("1e-6"), "m": Decimal("1e-3"), "": Decimal(1), "k": Decimal(10**3),
    "M": Decimal(10**6), "G": Decimal(10**9), "T": Decimal(10**12), "P": Decimal(10**15), "E": Decimal(10**18),
    "Ki": Decimal(2**10), "Mi": Decimal(2**20), "Gi": Decimal(2**30), "Ti": Decimal(2**40), "Pi": Decimal(2**50),
    "Ei": Decimal(2**60),
}  # fmt: skip
_DIGITS = "0123456789.+-"


def add(first: str, second: str) -> str:
    """Return the sum of two quantities; raises ``ValueError`` on what is none."""
    total = _read(first) + _read(second)
    for unit in ("Mi", "Ki", "", "m"):
        count = total / _UNITS[unit]
        if count == count.to_integral_value() and (count or unit == ""):
            return f"{int(count)}{unit}"
    return f"{int(total / _UNITS['n'])}n"


def compare(first: str, second: str) -> int:
    """Return -1, 0 or 1: ``first`` is less than, equal to or more than ``second``; raises ``ValueError``."""
    difference = _read(first) - _read(second)
    if not difference.is_finite():
        raise ValueError(f"{first!r} or {second!r} is no quantity")
    return (difference > 0) - (difference < 0)


def _read(text: str) -> Decimal:
    number = str(text)
    unit = number.lstrip(_DIGITS)
    has_exponent = unit[:1] in {"e", "E"} and len(unit) > 1
    try:
        return Decimal(number) if has_exponent else Decimal(number.removesuffix(unit)) * _UNITS[unit]
    except (InvalidOperation, KeyError):
        raise ValueError(f"{text!r} is no quantity") from None
