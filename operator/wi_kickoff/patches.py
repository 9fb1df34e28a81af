"""Wraps CrewAI's kickoff methods when their modules are imported; nothing in CrewAI itself is changed on disk.

Methods: CrewAI 1.14.5 to 1.15.30 were read and run. ``*_for_each``, ``train`` and ``test`` come back to ``kickoff`` for each
run, which makes every run a kickoff of its own; what runs inside a kickoff belongs to it.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import sys
from collections.abc import Awaitable, Callable, Iterable
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from wi_kickoff import launch, rebinding
from wi_kickoff.errors import refuse
from wi_kickoff.refresh import refresher, tell
from wi_kickoff.runs import Run, active
from wi_kickoff.values import announced_names

OLDEST = (1, 14, 5)
NEWEST = (1, 15, 30)
"""The versions between which the hook was run against every entry point."""
FLOW = ("kickoff", "kickoff_async", "akickoff", "resume", "resume_async")
AGENT = ("kickoff", "kickoff_async", "akickoff")
METHODS: dict[str, dict[str, tuple[str, ...]]] = {
    "crewai.crew": {"Crew": ("kickoff", "kickoff_async", "akickoff", "replay", "from_checkpoint")},
    "crewai.flow.flow": {"Flow": (*FLOW, "from_checkpoint")},
    "crewai.flow.runtime": {"Flow": (*FLOW, "from_checkpoint")},
    "crewai.agent": {"Agent": AGENT},
    "crewai.agent.core": {"Agent": AGENT},
    "crewai.agents.agent_builder.base_agent": {"BaseAgent": ("from_checkpoint",)},
    "crewai.lite_agent": {"LiteAgent": AGENT},
}
A2A = "crewai.a2a.utils.task"
INTERNAL = ("crewai.agents.", "crewai.experimental.", "crewai.memory.")
"""Modules of flows that CrewAI runs for itself (its executor is one)."""

Method = Callable[..., Any]


def watch(spec: ModuleSpec) -> ModuleSpec:
    """Return ``spec`` with a loader that wraps the module's methods after it ran."""
    loader = spec.loader
    run = getattr(loader, "exec_module", None)
    if loader is None or run is None:
        return spec

    def exec_module(module: ModuleType) -> None:
        if module.__name__ == "crewai":
            refresher.prefetch()
        run(module)
        patch(module)

    # On the instance: the loader's class serves every other module, too.
    loader.exec_module = exec_module  # type: ignore[method-assign]
    return spec


def patch_loaded(names: Iterable[str]) -> None:
    """Wrap what was imported before the hook."""
    refresher.prefetch()
    for name in names:
        if name in sys.modules:
            patch(sys.modules[name])


def patch(module: ModuleType) -> None:
    """Wrap the kickoff methods that are defined in this module."""
    name = module.__name__
    if name == "crewai":
        _tell_unknown_version()
    elif name == A2A and hasattr(module, "_execute_impl"):
        vars(module)["_execute_impl"] = _wrap_async(vars(module)["_execute_impl"])
    for class_name, methods in METHODS.get(name, {}).items():
        owner = getattr(module, class_name, None)
        for method in methods if isinstance(owner, type) else ():
            _patch_method(owner, method)


def _patch_method(owner: Any, name: str) -> None:
    original = vars(owner).get(name)
    if original is None or getattr(original, "__wi_kickoff__", False):
        return  # inherited, or wrapped by an earlier import
    if isinstance(original, classmethod):
        wrapped: Any = classmethod(_wrap_restore(original.__func__))
    elif inspect.iscoroutinefunction(original):
        wrapped = _wrap_async(original)
    else:
        wrapped = _wrap_sync(original)
    setattr(owner, name, wrapped)


def _wrap_sync(original: Method) -> Method:
    @functools.wraps(original)
    def kickoff(self: Any, *args: Any, **kwargs: Any) -> Any:
        if _is_internal(self) or _passes(self) or _answers_with_coroutine(self):
            return original(self, *args, **kwargs)
        _require_version()
        with Run("hook"):
            _rebind(self)
            return original(self, *args, **kwargs)

    kickoff.__wi_kickoff__ = True  # type: ignore[attr-defined]
    return kickoff


def _wrap_async(original: Callable[..., Awaitable[Any]]) -> Method:
    @functools.wraps(original)
    async def kickoff(self: Any, *args: Any, **kwargs: Any) -> Any:
        if _is_internal(self) or _passes(self):
            return await original(self, *args, **kwargs)
        _require_version()
        async with Run("hook"):
            _rebind(self)
            return await original(self, *args, **kwargs)

    kickoff.__wi_kickoff__ = True  # type: ignore[attr-defined]
    return kickoff


def _wrap_restore(original: Method) -> Method:
    @functools.wraps(original)
    def from_checkpoint(cls: Any, *args: Any, **kwargs: Any) -> Any:
        restored = original(cls, *args, **kwargs)
        tell(rebinding.adopt_restored(restored, refresher.history))
        return restored

    from_checkpoint.__wi_kickoff__ = True  # type: ignore[attr-defined]
    return from_checkpoint


def _is_internal(item: Any) -> bool:
    kind = type(item)
    return bool(getattr(kind, "is_crewai_internal", False)) or kind.__module__.startswith(INTERNAL)


def _passes(item: Any) -> bool:
    """Tell whether the call only returns a stream: the run comes later, through this method again, without streaming."""
    return active() is None and bool(getattr(item, "stream", False))


def _answers_with_coroutine(item: Any) -> bool:
    """Tell whether an agent's ``kickoff`` returns a coroutine of ``kickoff_async``, as it does inside an event loop."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return _is_agent(item)


def _is_agent(item: Any) -> bool:
    agent = getattr(sys.modules.get("crewai.agent.core"), "Agent", None)
    return isinstance(agent, type) and isinstance(item, agent)


def _rebind(item: Any) -> None:
    tell(rebinding.rebind(item, refresher.history))


def _version() -> tuple[int, ...]:
    """Return CrewAI's version as numbers; empty when it cannot be told."""
    text = str(getattr(sys.modules.get("crewai"), "__version__", ""))
    numbers = []
    for part in text.split(".")[:3]:
        digits = part[: len(part) - len(part.lstrip("0123456789"))]
        if not digits:
            break
        numbers.append(int(digits))
    return tuple(numbers)


def _show(version: tuple[int, ...]) -> str:
    return ".".join(str(number) for number in version)


def _require_version() -> None:
    found = _version()
    if found and found < OLDEST:
        raise refuse(
            announced_names(),
            f"CrewAITooOld: CrewAI {_show(found)} is installed; the runtime hook needs {_show(OLDEST)} or newer.",
            "install a newer CrewAI, or set the annotation identity.crewai.com/hook to \"false\" and restart the pod for "
            "every rotation.",
        )  # fmt: skip


def _tell_unknown_version() -> None:
    found = _version()
    if found > NEWEST:
        launch.say(
            f"Workload identity warning: CrewAI {_show(found)} is newer than the versions this hook was tested with "
            f"({_show(OLDEST)} to {_show(NEWEST)}); kickoffs are refreshed where its methods are known"
        )
    elif not found:
        launch.say("Workload identity warning: CrewAI's version cannot be told; kickoffs are refreshed where known")
