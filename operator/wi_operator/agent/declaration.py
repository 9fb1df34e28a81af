"""What the pod declared: the variables of each container, in the order of its env (``WI_DECLARATION``)."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from wi_operator.api.reference import MalformedReferenceError, Reference, is_variable_name, parse
from wi_operator.core.errors import SettingsError

VERSION = 1
NAME = "WI_DECLARATION"

_CONTAINER = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


@dataclass(frozen=True, slots=True)
class Variable:
    """A variable that is a secret."""

    name: str
    reference: Reference


@dataclass(frozen=True, slots=True)
class Template:
    """A variable whose text refers to a secret one by ``$(NAME)``; the launcher expands it."""

    name: str
    template: str


Entry = Variable | Template
Declaration = Mapping[str, tuple[Entry, ...]]
"""Container name → entries."""


def parse_declaration(text: str) -> Declaration:
    """Read the declaration; raises ``SettingsError`` naming what is wrong and where."""
    try:
        document = json.loads(text)
        if document["version"] != VERSION:
            raise SettingsError(
                f"{NAME} has version {document['version']!r}, this sidecar knows {VERSION}: restart the pod"
            )
        containers = document["containers"]
        return {_container(name): _entries(name, body["entries"]) for name, body in containers.items()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise SettingsError(f"{NAME} is not a declaration ({type(error).__name__}): restart the pod") from error


def _container(name: str) -> str:
    # The name becomes a folder below the run directory.
    if not _CONTAINER.fullmatch(name):
        raise SettingsError(f"{NAME}: {name!r} is not a container's name")
    return name


def _entries(container: str, entries: Any) -> tuple[Entry, ...]:
    return tuple(_entry(f"{container}, entry {index}", entry) for index, entry in enumerate(entries))


def _entry(place: str, entry: Any) -> Entry:
    name = entry["name"]
    if "template" in entry:
        if "=" in name or "\0" in name or not name:
            raise SettingsError(f"{NAME}: {place}: {name!r} is not a variable's name")
        return Template(name, _text(entry["template"]))
    if not is_variable_name(name):
        raise SettingsError(f"{NAME}: {place}: {name!r} is not a variable's name")
    try:
        return Variable(name, parse(_text(entry["reference"])))
    except MalformedReferenceError as error:
        raise SettingsError(f"{NAME}: {place}, {name}: {error}") from error


def _text(value: Any) -> str:
    if not isinstance(value, str) or "\0" in value:
        raise TypeError
    value.encode()  # a lone surrogate could not be sent to the container
    return value
