"""What is to be done with a pod: which containers take secrets, and what an earlier call already did. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from wi_operator.admission.declaration import Declaration, Entry, of_sidecar
from wi_operator.admission.extraction import Extraction, extract
from wi_operator.admission.overrides import override
from wi_operator.admission.settings import InjectionSettings
from wi_operator.api import names

DEFAULT_PYTHON = "python3"
INIT_CONTAINERS = "initContainers"
CONTAINERS = "containers"


@dataclass(frozen=True, slots=True)
class Target:
    """A container that takes secrets: ``spec.<group>[position]``.

    ``declared`` are the entries of an earlier call; ``entries`` are all: one that was added since replaces the declared
    one of its name.
    """

    container: Mapping[str, Any]
    group: str
    position: int
    extraction: Extraction
    declared: tuple[Entry, ...]
    entries: tuple[Entry, ...]

    @property
    def name(self) -> str:
        """The container's name."""
        return str(self.container["name"])

    @property
    def label(self) -> str:
        """How messages call it."""
        return label_of(self.container, self.group)

    @property
    def variables(self) -> tuple[str, ...]:
        """Names that the kickoff will set."""
        return tuple(entry.name for entry in self.entries)


@dataclass(frozen=True, slots=True)
class Plan:
    """The pod as it came and what of it concerns us; ``sidecar`` is the position of ours from an earlier call.

    ``touched`` are the containers whose env holds references or did; ``targets`` are those of them that still take a
    secret: a reference that a later entry of its name overwrites is only removed.
    """

    pod: Mapping[str, Any]
    settings: InjectionSettings
    touched: tuple[Target, ...]
    targets: tuple[Target, ...]
    sidecar: int | None
    declared: Declaration

    @property
    def concerns_us(self) -> bool:
        """True if there is anything to do or to refuse: a reference, or a container with the sidecar's name."""
        return bool(self.touched) or any(c["name"] == names.SIDECAR for _, _, c in containers_of(self.spec))

    @property
    def spec(self) -> Mapping[str, Any]:
        """The pod's spec."""
        spec: Mapping[str, Any] = self.pod["spec"]
        return spec

    @property
    def annotations(self) -> Mapping[str, str]:
        """The pod's annotations."""
        return self.pod["metadata"].get("annotations") or {}

    @property
    def python(self) -> str:
        """The interpreter in the image."""
        return self.annotations.get(names.PYTHON_ANNOTATION) or DEFAULT_PYTHON

    @property
    def declaration(self) -> Declaration:
        """What the sidecar will be told."""
        return {target.name: target.entries for target in self.targets}


def label_of(container: Mapping[str, Any], group: str) -> str:
    """Name a container in a message."""
    kind = "init container" if group == INIT_CONTAINERS else "container"
    return f"{kind} '{container.get('name', '')}'"


def run_volume(container_name: str) -> str:
    """Name of the volume with a container's socket and launcher: a valid DNS label for every container name."""
    return names.RUN_VOLUME_PREFIX + hashlib.sha256(container_name.encode()).hexdigest()[:10]


def containers_of(spec: Mapping[str, Any]) -> Iterator[tuple[str, int, Mapping[str, Any]]]:
    """All containers in the order in which they start: group, position, container."""
    for group in (INIT_CONTAINERS, CONTAINERS):
        for position, container in enumerate(spec.get(group) or ()):
            yield group, position, container


def make_plan(pod: Mapping[str, Any], settings: InjectionSettings) -> Plan:
    """Read a pod; nothing is judged yet. The plan's settings are the chart's with the pod's own choices."""
    spec = pod["spec"]
    settings = override(settings, pod["metadata"].get("annotations") or {})
    sidecar, declared = _earlier(spec.get(INIT_CONTAINERS) or ())
    touched = tuple(
        target
        for group, position, container in containers_of(spec)
        if (target := _target(container, group, position, declared)) is not None
    )
    targets = tuple(target for target in touched if target.entries)
    return Plan(pod, settings, touched, targets, sidecar, declared)


def _earlier(init_containers: Sequence[Mapping[str, Any]]) -> tuple[int | None, Declaration]:
    for position, container in enumerate(init_containers):
        if container["name"] == names.SIDECAR and (declared := of_sidecar(container)) is not None:
            return position, declared
    return None, {}


def _target(container: Mapping[str, Any], group: str, position: int, declared: Declaration) -> Target | None:
    name = container["name"]
    if name == names.SIDECAR:
        return None
    extraction = extract(container.get("env") or (), has_env_from=bool(container.get("envFrom")))
    earlier = declared.get(name, ())
    if not (extraction.taken or earlier):
        return None
    return Target(container, group, position, extraction, earlier, _merge(earlier, extraction.entries))


def _merge(declared: tuple[Entry, ...], added: Sequence[Entry]) -> tuple[Entry, ...]:
    new = {entry.name for entry in added}
    return (*(entry for entry in declared if entry.name not in new), *added)
