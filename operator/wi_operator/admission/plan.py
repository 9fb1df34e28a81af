"""What is to be done with a pod: which containers take secrets, and what an earlier call already did. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from wi_operator.admission.declaration import Declaration, Entry, of_sidecar
from wi_operator.admission.delivery import ENVFILE, Deliveries, parse_deliveries
from wi_operator.admission.extraction import Extraction, extract
from wi_operator.admission.overrides import override
from wi_operator.admission.settings import InjectionSettings
from wi_operator.api import names

DEFAULT_PYTHON = "python3"
INIT_CONTAINERS = "initContainers"
CONTAINERS = "containers"
_OWN = (names.SIDECAR, names.ENV_WRITER)


@dataclass(frozen=True, slots=True)
class Target:
    """A container that takes secrets: ``spec.<group>[position]``.

    ``declared`` are the entries of an earlier call; ``entries`` are all: one that was added since replaces the declared
    one of its name. In the mode ``envfile`` they are references only: the kubelet expands the rest.
    """

    container: Mapping[str, Any]
    group: str
    position: int
    extraction: Extraction
    declared: tuple[Entry, ...]
    entries: tuple[Entry, ...]
    mode: str

    @property
    def is_envfile(self) -> bool:
        """True if the kubelet reads the values from a file."""
        return self.mode == ENVFILE

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
    """The pod as it came and what of it concerns us; ``sidecar`` and ``env_writer`` are positions of an earlier call.

    ``touched`` are the containers whose env holds references or did; ``targets`` are those of them that still take a
    secret: a reference that a later entry of its name overwrites is only removed.
    """

    pod: Mapping[str, Any]
    settings: InjectionSettings
    touched: tuple[Target, ...]
    targets: tuple[Target, ...]
    sidecar: int | None
    declared: Declaration
    deliveries: Deliveries
    env_writer: int | None = None

    @property
    def concerns_us(self) -> bool:
        """True if there is anything to do or to refuse: a reference, or a container with a name of ours."""
        return bool(self.touched) or any(c["name"] in _OWN for _, _, c in containers_of(self.spec))

    @property
    def own(self) -> tuple[int, ...]:
        """Positions of our containers of an earlier call, among the init containers."""
        return tuple(position for position in (self.sidecar, self.env_writer) if position is not None)

    @property
    def envfile_containers(self) -> list[str]:
        """Names of the containers whose values the kubelet reads from a file."""
        return [target.name for target in self.targets if target.is_envfile]

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
    def wants_hook(self) -> bool:
        """Whether kickoffs of a running program are refreshed, too."""
        return self.annotations.get(names.HOOK_ANNOTATION, "true") != "false"

    @property
    def declaration(self) -> Declaration:
        """What the sidecar will be told."""
        return {target.name: target.entries for target in self.targets}


def label_of(container: Mapping[str, Any], group: str) -> str:
    """Name a container in a message."""
    kind = "init container" if group == INIT_CONTAINERS else "container"
    return f"{kind} '{container.get('name', '')}'"


@lru_cache(maxsize=1024)  # every step asks for it; names are of 63 characters at most
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
    init_containers = spec.get(INIT_CONTAINERS) or ()
    sidecar, declared = _earlier(init_containers)
    annotations = pod["metadata"].get("annotations") or {}
    settings = override(settings, annotations)
    deliveries = parse_deliveries(annotations.get(names.DELIVERY_ANNOTATION) or "")
    touched = tuple(
        target
        for group, position, container in containers_of(spec)
        if (target := _target(container, group, position, declared, deliveries)) is not None
    )
    targets = tuple(target for target in touched if target.entries)
    env_writer = _position_of(names.ENV_WRITER, init_containers) if sidecar is not None else None
    return Plan(pod, settings, touched, targets, sidecar, declared, deliveries, env_writer)


def _earlier(init_containers: Sequence[Mapping[str, Any]]) -> tuple[int | None, Declaration]:
    for position, container in enumerate(init_containers):
        if container["name"] == names.SIDECAR and (declared := of_sidecar(container)) is not None:
            return position, declared
    return None, {}


def _position_of(name: str, containers: Sequence[Mapping[str, Any]]) -> int | None:
    return next((position for position, container in enumerate(containers) if container["name"] == name), None)


def _target(
    container: Mapping[str, Any], group: str, position: int, declared: Declaration, deliveries: Deliveries
) -> Target | None:
    name = container["name"]
    if name in _OWN:
        return None
    extraction = extract(container.get("env") or (), has_env_from=bool(container.get("envFrom")))
    earlier = declared.get(name, ())
    if not (extraction.taken or earlier):
        return None
    mode = deliveries.of(name)
    added = [entry for entry in extraction.entries if mode != ENVFILE or not entry.is_template]
    return Target(container, group, position, extraction, earlier, _merge(earlier, added), mode)


def _merge(declared: tuple[Entry, ...], added: Sequence[Entry]) -> tuple[Entry, ...]:
    new = {entry.name for entry in added}
    return (*(entry for entry in declared if entry.name not in new), *added)
