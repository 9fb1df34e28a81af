"""Puts the launcher before a container's command; ``args`` stay as they are."""

from __future__ import annotations

from wi_kickoff import wire
from wi_operator.admission.expansion import escape
from wi_operator.admission.patch import Patch
from wi_operator.admission.plan import Plan, Target
from wi_operator.api import names

LAUNCHER = f"{names.RUN_DIR}/{wire.LAUNCHER_NAME}"


def launch_commands(plan: Plan, patch: Patch) -> None:
    """Wrap the command of each target once."""
    for target in plan.launched:
        prefix = _prefix(target, plan)
        command = target.container["command"]
        if target.declared and command[: len(prefix)] == prefix:
            continue
        patch.replace("spec", target.group, target.position, "command", value=[*prefix, *command])


def _prefix(target: Target, plan: Plan) -> list[str]:
    path = target.container.get("terminationMessagePath") or wire.TERMINATION_LOG
    # The kubelet expands $(NAME) in a command, but not in terminationMessagePath.
    log = [] if path == wire.TERMINATION_LOG else ["--termination-log", escape(path)]
    # -I: no PYTHON* variables and no current folder; -S: no site-packages. The image cannot get code in before us.
    hook = [] if plan.wants_hook else ["--no-hook"]
    return [plan.python, "-I", "-S", LAUNCHER, *log, *hook, "--"]
