"""Ordered, named checks.

An emulator is only worth its strictness. Every rule is therefore one function, named for the violation it finds, and
the mutation run proves for each of them that leaving it out changes exactly the answers that depend on it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

Subject = TypeVar("Subject")
Refusal = TypeVar("Refusal")


class UnknownCheckError(ValueError):
    """A check was to be left out which does not exist; a silent typo would pass for a proof."""

    def __init__(self, name: str, known: Iterable[str]) -> None:
        super().__init__(f"no check is called {name!r}; the checks are: {', '.join(known)}")


@dataclass(frozen=True)
class Checklist(Generic[Subject, Refusal]):
    """Checks in the order in which they are asked; the first one that objects decides the answer."""

    checks: tuple[Callable[[Subject], Refusal | None], ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Return the names of the checks, in order."""
        return tuple(check.__name__ for check in self.checks)

    def without(self, names: Sequence[str]) -> Checklist[Subject, Refusal]:
        """Return the list with some checks left out. For tests of the tests only."""
        return Checklist(tuple(check for check in self.checks if check.__name__ not in names))

    def first_refusal(self, subject: Subject) -> Refusal | None:
        """Return the objection of the first check that has one."""
        for check in self.checks:
            refusal = check(subject)
            if refusal is not None:
                return refusal
        return None


def require_known(names: Iterable[str], known: Sequence[str]) -> None:
    """Refuse names that no check has."""
    for name in names:
        if name not in known:
            raise UnknownCheckError(name, known)
