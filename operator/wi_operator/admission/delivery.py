"""How each container gets its secrets: mode ``exec`` (the launcher) or ``envfile`` (the kubelet reads a file). Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

EXEC = "exec"
ENVFILE = "envfile"
MODES = (EXEC, ENVFILE)


@dataclass(frozen=True, slots=True)
class Deliveries:
    """What annotation ``identity.crewai.com/delivery`` says; ``problem`` is what is wrong with it, empty if nothing."""

    default: str = EXEC
    named: Mapping[str, str] = field(default_factory=dict)
    problem: str = ""

    def of(self, container: str) -> str:
        """Return the mode of a container."""
        return self.named.get(container, self.default)


def parse_deliveries(text: str) -> Deliveries:
    """Read ``envfile``, ``exec`` or a list such as ``web=envfile,worker=exec``; empty text is ``exec``."""
    if not text or text in MODES:
        return Deliveries(text or EXEC)
    named: dict[str, str] = {}
    for part in text.split(","):
        container, equals, mode = part.strip().partition("=")
        if not equals or not container or mode not in MODES:
            return Deliveries(problem=f"{part.strip()!r} is not a mode or CONTAINER=MODE")
        if container in named:
            return Deliveries(problem=f"container {container!r} is named twice")
        named[container] = mode
    return Deliveries(EXEC, named)
