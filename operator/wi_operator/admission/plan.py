"""What is to be done with a pod: which containers take secrets, and what an earlier call already did. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from wi_operator.admission.declaration import Declaration, Entry, of_sidecar
from wi_operator.admission.delivery import ENVFILE, Deliveries, parse_deliveries
from wi_operator.admission.extraction import Extraction, extract
from wi_operator.admission.overrides import override
from wi_operator.admission.qos import is_guaranteed, keep_guaranteed
from wi_operator.admission.settings import InjectionSettings
from wi_operator.admission.uses import Use, find_uses
from wi_operator.api import names

DEFAULT_PYTHON = "python3"
INIT_CONTAINERS = "initContainers"
CONTAINERS = "containers"
_OWN = (names.SIDECAR, names.ENV_WRITER)

Located = tuple[str, int, Mapping[str, Any]]
"""A container and where it stands: ``spec.<group>[position]``."""


class Target(NamedTuple):
    """A container that takes secrets: ``spec.<group>[position]``; ``is_envfile`` if the kubelet reads them from a file.

    ``declared`` are the entries of an earlier call; ``entries`` are all: one that was added since replaces the declared
    one of its name. In the mode ``envfile`` they are references only: the kubelet expands the rest. ``uses`` is what the
    entries ask for.
    """

    name: str
    container: Mapping[str, Any]
    group: str
    position: int
    extraction: Extraction
    declared: tuple[Entry, ...]
    entries: tuple[Entry, ...]
    uses: tuple[Use, ...]
    is_envfile: bool

    @property
    def label(self) -> str:
        """How messages call it."""
        return label_of(self.container, self.group)

    @property
    def variables(self) -> list[str]:
        """Names that the kickoff will set."""
        return [entry.name for entry in self.entries]


class Plan(NamedTuple):
    """A pod's spec and annotations as they came, and what of it concerns us.

    ``containers`` are all in the order in which they start: group, position, container. ``touched`` are those whose env
    holds references or did; ``targets`` are those of them that still take a secret (a reference that a later entry of its
    name overwrites is only removed); ``launched`` get it from the launcher, ``envfile_containers`` from a file.
    ``sidecar`` and ``env_writer`` are positions of an earlier call's containers, ``own`` both of them; ``declared`` is what
    that call told the sidecar, ``declaration`` what it will be told.
    """

    spec: Mapping[str, Any]
    annotations: Mapping[str, str]
    settings: InjectionSettings
    containers: list[Located]
    touched: list[Target]
    targets: list[Target]
    launched: list[Target]
    envfile_containers: list[str]
    sidecar: int | None
    env_writer: int | None
    own: list[int]
    declared: Declaration
    declaration: Declaration
    deliveries: Deliveries

    @property
    def concerns_us(self) -> bool:
        """True if there is anything to do or to refuse: a reference, or a container with a name of ours."""
        return bool(self.touched) or any(container["name"] in _OWN for _, _, container in self.containers)

    @property
    def python(self) -> str:
        """The interpreter in the image."""
        return self.annotations.get(names.PYTHON_ANNOTATION) or DEFAULT_PYTHON

    @property
    def wants_hook(self) -> bool:
        """Whether kickoffs of a running program are refreshed, too."""
        return self.annotations.get(names.HOOK_ANNOTATION, "true") != "false"


def label_of(container: Mapping[str, Any], group: str) -> str:
    """Name a container in a message."""
    kind = "init container" if group == INIT_CONTAINERS else "container"
    return f"{kind} '{container.get('name', '')}'"


@lru_cache(maxsize=1024)  # every step asks for it; names are of 63 characters at most
def run_volume(container_name: str) -> str:
    """Name of the volume with a container's socket and launcher: a valid DNS label for every container name."""
    return names.RUN_VOLUME_PREFIX + hashlib.sha256(container_name.encode()).hexdigest()[:10]


def make_plan(pod: Mapping[str, Any], settings: InjectionSettings) -> Plan:
    """Read a pod; nothing is judged yet. The plan's settings are the chart's with the pod's own choices."""
    spec = pod["spec"]
    annotations = pod["metadata"].get("annotations") or {}
    init_containers = spec.get(INIT_CONTAINERS) or ()
    sidecar, declared = _earlier(init_containers)
    env_writer = _position_of(names.ENV_WRITER, init_containers) if sidecar is not None else None
    deliveries = parse_deliveries(annotations.get(names.DELIVERY_ANNOTATION) or "")
    containers = [
        (group, position, container)
        for group in (INIT_CONTAINERS, CONTAINERS)
        for position, container in enumerate(spec.get(group) or ())
    ]
    touched = [target for located in containers if (target := _target(located, declared, deliveries))]
    targets = [target for target in touched if target.entries]
    return Plan(
        spec=spec,
        annotations=annotations,
        settings=_settings_for(spec, annotations, containers, settings),
        containers=containers,
        touched=touched,
        targets=targets,
        launched=[target for target in targets if not target.is_envfile],
        envfile_containers=[target.name for target in targets if target.is_envfile],
        sidecar=sidecar,
        env_writer=env_writer,
        own=[position for position in (sidecar, env_writer) if position is not None],
        declared=declared,
        declaration={target.name: target.entries for target in targets},
        deliveries=deliveries,
    )


def _settings_for(
    spec: Mapping[str, Any], annotations: Mapping[str, str], containers: Sequence[Located], settings: InjectionSettings
) -> InjectionSettings:
    chosen = override(settings, annotations)
    # Resources of the pod as a whole decide its class, where it has some.
    is_kept = not spec.get("resources") and is_guaranteed(
        container for _, _, container in containers if container["name"] not in _OWN
    )
    return keep_guaranteed(chosen) if is_kept else chosen


def _earlier(init_containers: Sequence[Mapping[str, Any]]) -> tuple[int | None, Declaration]:
    for position, container in enumerate(init_containers):
        if container["name"] == names.SIDECAR and (declared := of_sidecar(container)) is not None:
            return position, declared
    return None, {}


def _position_of(name: str, containers: Sequence[Mapping[str, Any]]) -> int | None:
    return next((position for position, container in enumerate(containers) if container["name"] == name), None)


def _target(located: Located, declared: Declaration, deliveries: Deliveries) -> Target | None:
    group, position, container = located
    name = container["name"]
    if name in _OWN:
        return None
    extraction = extract(container.get("env") or (), has_env_from=bool(container.get("envFrom")))
    earlier = declared.get(name, ())
    if not (extraction.taken or earlier):
        return None
    is_envfile = deliveries.of(name) == ENVFILE
    added = [entry for entry in extraction.entries if not (is_envfile and entry.is_template)]
    entries = _merge(earlier, added)
    uses = tuple(find_uses(entries)) if earlier else extraction.uses
    return Target(name, container, group, position, extraction, earlier, entries, uses, is_envfile)


def _merge(declared: tuple[Entry, ...], added: Sequence[Entry]) -> tuple[Entry, ...]:
    if not declared:
        return tuple(added)
    new = {entry.name for entry in added}
    return (*(entry for entry in declared if entry.name not in new), *added)
