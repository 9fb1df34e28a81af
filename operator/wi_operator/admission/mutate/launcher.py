"""Puts the launcher before a container's program."""

from __future__ import annotations

from wi_kickoff import wire
from wi_operator.admission.expansion import escape
from wi_operator.admission.patch import Patch
from wi_operator.admission.plan import Plan, Target
from wi_operator.admission.starters import owns_message, place_launcher
from wi_operator.api import names

LAUNCHER = f"{names.RUN_DIR}/{wire.LAUNCHER_NAME}"


def launch_commands(plan: Plan, patch: Patch) -> None:
    """Wrap the program of each target once."""
    for target in plan.launched:
        launch = place_launcher(target.container, _prefix(target, plan))
        if not (target.declared and launch.is_there):
            patch.replace("spec", target.group, target.position, launch.field, value=launch.words)


def _prefix(target: Target, plan: Plan) -> list[str]:
    path = target.container.get("terminationMessagePath") or wire.TERMINATION_LOG
    is_ours = path != wire.TERMINATION_LOG and owns_message(target.container)
    # The kubelet expands $(NAME) in a command, but not in terminationMessagePath.
    log = ["--termination-log", escape(path)] if is_ours else []
    # -I: no PYTHON* variables and no current folder; -S: no site-packages. The image cannot get code in before us.
    hook = [] if plan.wants_hook else ["--no-hook"]
    return [plan.python, "-I", "-S", LAUNCHER, *log, *hook, "--"]
