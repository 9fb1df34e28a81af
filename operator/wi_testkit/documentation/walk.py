"""Makes one script of the blocks of a page that are run in a cluster, in their order."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from wi_testkit.documentation.cloud import Verdict
from wi_testkit.documentation.fences import Fence

_SET_SECRET = ("az", "keyvault", "secret", "set")
_FAKE_AZ = """#!/bin/bash
# Sets a secret of the emulated vault to a random value; the text of the real command is judged elsewhere.
while [ $# -gt 0 ]; do
  case $1 in
    --vault-name) vault=$2 ;;
    --name) name=$2 ;;
  esac
  shift
done
printf '{"value": "%s-not-a-real-secret"}' "$(cat /proc/sys/kernel/random/uuid)" |
  kubectl exec --stdin --namespace wi-emulators deployment/keyvault -- \\
    python3 -m wi_testkit.stage.inside PUT "vaults/$vault/secrets/$name" >/dev/null
"""


_PLUGIN = """#!/bin/bash
exec {python} -m wi_operator.cli.main "$@"
"""


def is_for_cluster(fence: Fence) -> bool:
    """Tell whether the block is marked ``run cluster``."""
    return fence.mark == "run" and fence.argument.split()[:1] == ["cluster"]


def count_commands(fences: Iterable[Fence], verdicts: Mapping[str, Verdict]) -> int:
    """Return how many commands of ``fences`` are run, an applied manifest being one."""
    return sum(len(verdicts[each.place].commands) if each.is_command else 1 for each in fences if is_for_cluster(each))


def write_script(fences: Sequence[Fence], verdicts: Mapping[str, Verdict], changes: Mapping[str, str]) -> str:
    """Return the page as one bash script; ``changes`` are texts of the page and what stands for them in a test.

    Of the blocks for the cloud only the setting of a secret happens, at an emulator.
    """
    parts = []
    for fence in fences:
        if is_for_cluster(fence):
            parts.append(f"echo '== {fence.place}'")
            parts.append(fence.text if fence.is_command else _apply(fence))
        elif fence.mark == "cloud":
            words = [each for each in verdicts[fence.place].commands if each[:4] == _SET_SECRET]
            parts += [shlex.join(each) for each in words]
    script = "\n".join(parts)
    for text, other in changes.items():
        script = script.replace(text, other)
    return script


def _apply(fence: Fence) -> str:
    name = shlex.quote([*fence.argument.split(), "applied.yaml"][1])
    return f"cat > {name} <<'END-OF-BLOCK'\n{fence.text}END-OF-BLOCK\nkubectl apply --filename {name}"


def write_programs(folder: Path) -> None:
    """Write into ``folder``: ``az``, which sets secrets of the emulated vaults, and ``kubectl-wi`` of this tree."""
    for name, text in (("az", _FAKE_AZ), ("kubectl-wi", _PLUGIN.format(python=sys.executable))):
        program = folder / name
        program.write_text(text)
        program.chmod(0o755)
