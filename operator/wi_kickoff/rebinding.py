"""Gives objects that keep a secret the current one: CrewAI's LLMs copy their key and SDK client when they are built.

An LLM or tool is changed where one of its texts *is* an earlier value of a secret variable, known by digest; a key that
somebody wrote down himself never matches and is never touched. What holds an earlier value elsewhere is only told.
"""

from __future__ import annotations

import gc
import os
import sys
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

from wi_kickoff.history import History

NODES = 20_000
"""Objects that one walk looks at, nearest first; what lies beyond is reached by the sweep after a rotation."""
FOREIGN_DEPTH = 3
"""How deep the walk looks into objects that are not CrewAI's, for warnings."""
NESTING = 2
"""How deep lists and dictionaries inside an LLM or a tool are rebound."""
WARNINGS = 5
_CONTAINERS = (list, tuple, set, frozenset, dict)
_PLAIN = (str, bytes, int, float, complex, type, type(None), ModuleType)
CLIENTS = {"_client": None, "_async_client": None, "_async_client_initialized": False}
SKIPPED = ("crewai.events", "crewai.state", "crewai.telemetry", "crewai.utilities")
FIELDS = {
    "aws_access_key_id": "AWS_ACCESS_KEY_ID",
    "aws_secret_access_key": "AWS_SECRET_ACCESS_KEY",
    "aws_session_token": "AWS_SESSION_TOKEN",
}
"""Fields of an LLM that hold a secret beside ``api_key`` → the variable that CrewAI reads for it."""
KEYS = {
    "gemini": ("GOOGLE_API_KEY", "GEMINI_API_KEY"),
    "google": ("GOOGLE_API_KEY", "GEMINI_API_KEY"),
    "azure_openai": ("AZURE_API_KEY",),
    "hosted_vllm": ("VLLM_API_KEY",),
    "ollama_chat": ("OLLAMA_API_KEY",),
}
"""Provider of an LLM → variables that CrewAI reads for it, the first one set wins; others: ``<PROVIDER>_API_KEY``."""


@dataclass(frozen=True, slots=True)
class _Place:
    """An object on the way: how it is called in a warning, and how far from CrewAI's own objects it is."""

    item: Any
    path: str
    foreign: int = 0


@dataclass(frozen=True, slots=True)
class _Member:
    """A value that an object holds: ``holder[key]``, called ``label`` in a warning."""

    holder: Any
    key: Any
    label: str
    value: Any


@dataclass(slots=True)
class _Bases:
    """CrewAI's base classes, as far as they are loaded, and what is known of types already."""

    llm: type | None
    tool: type | None
    _kinds: dict[type, str] = field(default_factory=dict)

    @classmethod
    def loaded(cls) -> _Bases:
        return cls(_loaded("crewai.llms.base_llm", "BaseLLM"), _loaded("crewai.tools.base_tool", "BaseTool"))

    def kind(self, type_: type) -> str:
        """Return ``llm``, ``tool``, ``ours`` (CrewAI's or derived), ``skipped`` or ``foreign``."""
        known = self._kinds.get(type_)
        if known is None:
            known = self._kinds[type_] = self._judge(type_)
        return known

    def _judge(self, type_: type) -> str:
        mro = type_.__mro__
        if self.llm in mro:
            return "llm"
        if self.tool in mro:
            return "tool"
        modules = [str(getattr(each, "__module__", "")) for each in mro]
        if any(module.startswith(SKIPPED) for module in modules):
            return "skipped"
        return "ours" if any(module.split(".")[0] in ("crewai", "crewai_tools") for module in modules) else "foreign"


def _loaded(module: str, name: str) -> type | None:
    found = getattr(sys.modules.get(module), name, None)
    return found if isinstance(found, type) else None


def sweep(history: History) -> list[str]:
    """Rebind every LLM and tool of the process; returns warnings. For after a rotation: it looks at all objects."""
    bases = _Bases.loaded()
    if bases.llm is None and bases.tool is None:
        return []
    binder = _Binder(history, bases)
    for item in gc.get_objects():
        # By type only: isinstance would ask proxies, which may do anything.
        if bases.kind(type(item)) in ("llm", "tool"):
            binder.rebind(_Place(item, _call(item)))
    return binder.warnings


def rebind(root: Any, history: History) -> list[str]:
    """Rebind what is reachable from the object that is kicked off; returns warnings."""
    binder = _Binder(history, _Bases.loaded())
    binder.walk(root)
    return binder.warnings


def adopt_restored(root: Any, history: History) -> list[str]:
    """Give LLMs of a checkpoint current keys, also where another process wrote it: their provider names the variable."""
    bases = _Bases.loaded()
    binder = _Binder(history, bases)
    for place in binder.places(root):
        if bases.kind(type(place.item)) == "llm":
            binder.replace_unknown_keys(place)
    binder.walk(root)
    return binder.warnings


class _Binder:
    def __init__(self, history: History, bases: _Bases) -> None:
        self._history = history
        self._bases = bases
        self._told: dict[str, None] = {}

    @property
    def warnings(self) -> list[str]:
        told = list(self._told)
        rest = len(told) - WARNINGS
        return told[:WARNINGS] + ([f"{rest} more objects hold earlier values"] if rest > 0 else [])

    def walk(self, root: Any) -> None:
        for place in self.places(root):
            if self._bases.kind(type(place.item)) in ("llm", "tool"):
                self.rebind(place)
            elif not self._history.is_empty:
                self._look(place)

    def places(self, root: Any) -> Iterator[_Place]:
        """Yield what is reachable, nearest first; strings stand with their holders."""
        queue = deque([_Place(root, _call(root))])
        seen = {id(root)}
        while queue and len(seen) < NODES:
            place = queue.popleft()
            yield place
            for child in self._children(place):
                if id(child.item) not in seen:
                    seen.add(id(child.item))
                    queue.append(child)

    def _children(self, place: _Place) -> Iterator[_Place]:
        is_container = _is(place.item, *_CONTAINERS)
        is_foreign = not is_container and self._bases.kind(type(place.item)) == "foreign"
        depth = place.foreign + is_foreign
        if depth > FOREIGN_DEPTH:
            return
        for member in _members(place.item):
            kind = self._bases.kind(type(member.value))
            if kind != "skipped" and not _is(member.value, *_PLAIN):
                yield _Place(member.value, place.path + member.label, depth if kind == "foreign" else 0)

    def rebind(self, place: _Place) -> None:
        """Replace earlier values in an LLM or a tool; an LLM then builds its clients anew."""
        replaced = self._replace(place.item, place.path, depth=0)
        if self._bases.kind(type(place.item)) == "llm" and (replaced or self._waits_for_key(place.item)):
            _forget_clients(place.item)

    def replace_unknown_keys(self, place: _Place) -> None:
        """Replace keys of a restored LLM that this process never saw, where the variable of the field is a secret."""
        for member in _members(place.item):
            field_name, key = member.key, member.value
            if field_name not in ("api_key", *FIELDS) or not _is(key, str) or self._history.is_known(key):
                continue
            name = next((n for n in _variables(place.item, field_name) if self._history.is_given(n)), None)
            if name is None:
                self._tell(
                    f"{place.path}.{field_name} came from a checkpoint and is used as it is: no secret variable of "
                    "this container belongs to it"
                )
            else:
                member.holder[field_name] = os.environ[name]
                _forget_clients(place.item)

    def _waits_for_key(self, llm: Any) -> bool:
        fields = {member.key: member.value for member in _members(llm)}
        if any(fields.get(name) for name in ("api_key", *FIELDS)):
            return False
        names = [name for each in ("api_key", *FIELDS) if each in fields for name in _variables(llm, each)]
        return any(self._history.is_given(name) for name in names)

    def _replace(self, holder: Any, path: str, *, depth: int) -> bool:
        replaced = False
        for member in _members(holder):
            value, where = member.value, path + member.label
            if _is(value, str):
                current = self._current(value, where, holder, member.key)
                if current is not None and _is(member.holder, dict, list):
                    member.holder[member.key] = current
                    replaced = True
            elif depth < NESTING and (_is(value, list, dict) or hasattr(type(value), "get_secret_value")):
                replaced = self._replace(value, where, depth=depth + 1) or replaced
        return replaced

    def _current(self, text: str, path: str, holder: Any, key: Any) -> str | None:
        """Return what ``text`` must become; None if it is no earlier value, or of several variables that now differ."""
        names = self._history.stale_names(text)
        values = {os.environ[name] for name in names if name in os.environ}
        if len(values) > 1:
            values = {os.environ[name] for name in _variables(holder, key) if name in names}
        if len(values) == 1:
            return values.pop()
        if names:
            self._tell(
                f"{path} holds what was a value of {' and '.join(names)}; it is not known which one it should be now"
            )
        return None

    def _look(self, place: _Place) -> None:
        for member in _members(place.item):
            names = self._history.stale_names(member.value) if _is(member.value, str) else ()
            if names:
                self._tell(
                    f"{place.path}{member.label} still holds an earlier value of {' and '.join(names)}: build it for each "
                    "kickoff, or read the variable where it is used"
                )

    def _tell(self, warning: str) -> None:
        self._told.setdefault(warning)


def _call(item: Any) -> str:
    name = next((part["name"] for part in _parts(item) if "name" in part), None)
    return f"{type(item).__name__} '{name}'" if _is(name, str) and name else type(item).__name__


def _is(item: Any, *types: type) -> bool:
    # isinstance would ask the object itself, and a proxy may answer with anything.
    return issubclass(type(item), types)


def _members(item: Any) -> list[_Member]:
    """Return what an object holds, without running its code; a copy, because it may change meanwhile."""
    if _is(item, dict):
        return [_Member(item, k, f"[{k!r}]" if _is(k, str) else "[…]", v) for k, v in list(dict.items(item))]
    if _is(item, list, tuple):
        return [_Member(item, index, f"[{index}]", value) for index, value in enumerate(item)]
    if _is(item, set, frozenset):
        return [_Member(item, None, "{…}", value) for value in tuple(item)]
    return [_Member(part, k, f".{k}", v) for part in _parts(item) for k, v in list(part.items())]


def _parts(item: Any) -> list[dict[str, Any]]:
    """Return an object's dictionaries: attributes, and pydantic's private and extra ones."""
    parts = []
    for name in ("__dict__", "__pydantic_private__", "__pydantic_extra__"):
        try:
            part = object.__getattribute__(item, name)
        except AttributeError:
            continue
        if _is(part, dict):
            parts.append(part)
    return parts


def _forget_clients(llm: Any) -> None:
    # Into the dictionaries: validators and frozen models have no say in a rotation.
    for part in _parts(llm):
        for name, empty in CLIENTS.items():
            if name in part:
                part[name] = empty


def _variables(llm: Any, field_name: Any) -> tuple[str, ...]:
    """Return the variables that CrewAI may have read for a field."""
    if field_name in FIELDS:
        return (FIELDS[field_name],)
    provider = getattr(llm, "provider", None) if field_name == "api_key" else None
    if not _is(provider, str) or not provider:
        return ()
    return KEYS.get(provider.lower()) or (f"{provider.upper().replace('-', '_')}_API_KEY",)
