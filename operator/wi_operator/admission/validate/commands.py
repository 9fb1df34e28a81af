"""Containers that the launcher cannot start, and uses of a secret where the kubelet would leave it literal."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from wi_operator.admission.expansion import find_variables
from wi_operator.admission.plan import Plan, Target
from wi_operator.api import names
from wi_operator.federation.diagnosis import admission as rows

_PROGRAM = re.compile(r"[A-Za-z0-9_./+-]+")
_PROBES = ("livenessProbe", "readinessProbe", "startupProbe")


def unusable_python(plan: Plan) -> Iterator[str]:
    """Yield an interpreter annotation that is no program; it becomes the first word of a command."""
    if not _PROGRAM.fullmatch(plan.python):
        yield rows.tell(f"annotation {names.PYTHON_ANNOTATION}", rows.INVALID_INTERPRETER, detail=repr(plan.python))


def unclear_hook(plan: Plan) -> Iterator[str]:
    """Yield a hook annotation that is neither of its two words: a typo must not leave the hook on unnoticed."""
    value = plan.annotations.get(names.HOOK_ANNOTATION, "true")
    if value not in ("true", "false"):
        yield f'annotation {names.HOOK_ANNOTATION}: {value!r} is neither "true" nor "false"'


def missing_commands(plan: Plan) -> Iterator[str]:
    """Yield targets without a command: what an image starts is never guessed."""
    for target in plan.targets:
        if not target.is_envfile and not target.container.get("command"):
            yield rows.tell(target.label, rows.COMMAND_MISSING, detail=", ".join(target.variables))


def secrets_outside_env(plan: Plan) -> Iterator[str]:
    """Yield ``$(NAME)`` of a secret in command, args, probes or paths: it would stay literal there."""
    for target in plan.targets:
        injected = set(target.variables)
        for field, text in _expanded_by_kubelet(target):
            for variable in find_variables(text) if "$(" in text else ():
                if variable.name in injected:
                    yield rows.tell(target.label, rows.SECRET_OUTSIDE_ENVIRONMENT, detail=field, variable=variable.name)


def _expanded_by_kubelet(target: Target) -> Iterator[tuple[str, str]]:
    container: Any = target.container
    for field in ("command", "args"):
        yield from ((field, text) for text in container.get(field) or ())
    for probe in _PROBES:
        command = ((container.get(probe) or {}).get("exec") or {}).get("command") or ()
        yield from ((f"{probe}.exec.command", text) for text in command)
    for mount in container.get("volumeMounts") or ():
        yield "volumeMounts.subPathExpr", mount.get("subPathExpr") or ""
