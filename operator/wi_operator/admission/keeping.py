"""Which results are kept for the next pod of a template: small ones, so that nobody can fill the memory. Pure."""

from __future__ import annotations

from collections.abc import Collection

KEPT_ENTRIES = 64
KEPT_LENGTH = 4096
"""Characters, of all names and texts together."""


def is_small(written: Collection[tuple[str, str]]) -> bool:
    """Tell whether what follows from these names and texts may be kept."""
    return len(written) <= KEPT_ENTRIES and sum([len(name) + len(text) for name, text in written]) <= KEPT_LENGTH
