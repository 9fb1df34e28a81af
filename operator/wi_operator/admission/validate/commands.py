"""Containers that the launcher cannot start, and uses of a secret where the kubelet would leave it literal."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from wi_operator.admission.expansion import find_variables
from wi_operator.admission.plan import Plan
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
    for target in plan.launched:
        if not target.container.get("command"):
            yield rows.tell(target.label, rows.COMMAND_MISSING, detail=", ".join(target.variables))


def secrets_outside_env(plan: Plan) -> Iterator[str]:
    """Yield ``$(NAME)`` of a secret in command, args, probes or paths: it would stay literal there."""
    for target in plan.targets:
        injected = set(target.variables)
        for field, text in _expanded_by_kubelet(target.container):
            for variable in find_variables(text):
                if variable.name in injected:
                    yield rows.tell(target.label, rows.SECRET_OUTSIDE_ENVIRONMENT, detail=field, variable=variable.name)


def _expanded_by_kubelet(container: Mapping[str, Any]) -> list[tuple[str, str]]:
    """List field and text of whatever could hold a ``$(NAME)``."""
    texts = {field: container.get(field) or () for field in ("command", "args")}
    for probe in _PROBES:
        if given := container.get(probe):
            texts[f"{probe}.exec.command"] = (given.get("exec") or {}).get("command") or ()
    mounts = container.get("volumeMounts") or ()
    texts["volumeMounts.subPathExpr"] = [mount["subPathExpr"] for mount in mounts if mount.get("subPathExpr")]
    return [(field, text) for field, given in texts.items() for text in given if "$(" in text]
