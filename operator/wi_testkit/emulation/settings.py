"""What can be set on a running emulator, by flag or through ``/_admin/settings``; JSON has the names in camelCase."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from wi_testkit.emulation.admin import RuleError


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Settings of every emulator.

    ``clock_offset``: how many seconds the emulator's clock is ahead. ``propagation_seconds``: until when the last of
    ``propagation_nodes`` has seen a change; ``seed`` decides which node a request reaches.
    """

    clock_offset: float = 0.0
    propagation_seconds: float = 0.0
    propagation_nodes: int = 4
    seed: int = 0

    def as_json(self) -> dict[str, Any]:
        """Return the settings under their JSON names."""
        return {camel_case(name): value for name, value in dataclasses.asdict(self).items()}


Kind = TypeVar("Kind", bound=Settings)


def changed(settings: Kind, body: Mapping[str, Any]) -> Kind:
    """Return the settings with some of them changed; raises RuleError for unknown names and wrong types."""
    fields = {camel_case(each.name): each.name for each in dataclasses.fields(settings)}
    defaults = type(settings)()
    for name, value in body.items():
        if name not in fields:
            raise RuleError(f"there is no setting {name!r}; the settings are {', '.join(fields)}")
        if not same_kind(getattr(defaults, fields[name]), value):
            raise RuleError(f"setting {name!r} cannot be {value!r}")
    return dataclasses.replace(settings, **{fields[name]: value for name, value in body.items()})


def same_kind(known: object, value: object) -> bool:
    """Tell whether a value has the type of the one it replaces; a number may be whole."""
    if isinstance(known, bool) or isinstance(value, bool):
        return isinstance(known, bool) and isinstance(value, bool)
    return isinstance(value, int | float) if isinstance(known, float) else isinstance(value, type(known))


def camel_case(name: str) -> str:
    """Write a Python name as JSON does."""
    return re.sub(r"_([a-z])", lambda match: match.group(1).upper(), name)
