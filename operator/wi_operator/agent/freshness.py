"""How fresh a value is: the age of its version, and how long a rotation took to reach this pod."""

from __future__ import annotations

from collections.abc import Mapping

from wi_operator.vaults.base import VaultSecret

VaultVersion = tuple[float, str]
"""When a version was created, and its id."""


class Versions:
    """The newest version of each secret that this pod saw; a version is no secret."""

    def __init__(self) -> None:
        self._newest: dict[str, VaultVersion] = {}

    def note(self, seen: Mapping[str, VaultSecret]) -> set[str]:
        """Return the places whose version is new to a pod that had seen an older one: this is its first kickoff.

        A pod's very first reading is none: the secret may have been that old for months.
        """
        rotated = set()
        for place, secret in seen.items():
            fresh = (secret.created or 0.0, secret.version)
            before = self._newest.setdefault(place, fresh)
            if fresh[1] != before[1] and fresh[0] >= before[0]:
                self._newest[place] = fresh
                rotated.add(place)
        return rotated


def tell_age(secret: VaultSecret, now: float, *, is_rotated: bool) -> dict[str, int]:
    """Return the fields of the log line, in seconds; empty where the vault does not tell when a version was created."""
    if secret.created is None:
        return {}
    age = max(0, round(now - secret.created))
    return {"age": age, "rotation_lag": age} if is_rotated else {"age": age}
