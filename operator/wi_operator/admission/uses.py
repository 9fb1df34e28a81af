"""What the references of a container ask for: which credential, and a name that a vault may have or not. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from wi_operator.admission.declaration import Entry
from wi_operator.api.reference import MalformedReferenceError, Reference, azure_secret_name, parse


class Use(NamedTuple):
    """``variable`` reads from ``credential`` (empty: the default one).

    ``impossible`` says why no Key Vault has such a secret; empty if one may.
    """

    variable: str
    credential: str
    impossible: str


def find_uses(entries: Iterable[Entry]) -> Iterator[Use]:
    """Yield the use of each reference that can be read."""
    for name, text, is_template in entries:
        if is_template:
            continue
        try:
            reference = parse(text)
        except MalformedReferenceError:
            continue  # told as such elsewhere
        yield Use(name, reference.credential, _impossible(reference))


def _impossible(reference: Reference) -> str:
    try:
        azure_secret_name(reference)
    except MalformedReferenceError as error:
        return error.problem
    return ""
