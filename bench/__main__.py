"""Run all benchmarks, or those named: ``python bench [sidecar|launcher|hook|…|reconcile]...``; ends 1 if one does."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ALL = ("sidecar", "launcher", "hook", "admission", "grants", "reconcile", "start")


def main(names: list[str]) -> int:
    failed = []
    for name in names or ALL:
        if name not in ALL:
            print(f"there is no benchmark {name}; choose from {', '.join(ALL)}", file=sys.stderr)
            return 2
        if subprocess.run([sys.executable, str(Path(__file__).parent / f"{name}.py")]).returncode:
            failed.append(name)
    print(f"beyond a goal: {', '.join(failed)}" if failed else "all goals are kept, within the tolerance")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
