"""What all benchmarks share: figures with goals, medians with their spread, and the interpreter they measure."""

from __future__ import annotations

import shutil
import statistics
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TOLERANCE = 1.3
"""A machine's noise: beyond a goal by more than this a benchmark fails."""


class Figures:
    """Prints figures as they come; ``failed`` are those beyond their goal by more than the tolerance."""

    def __init__(self) -> None:
        self.failed: list[str] = []

    def tell(
        self,
        name: str,
        values: Sequence[float],
        unit: str = "",
        *,
        most: float | None = None,
        least: float | None = None,
    ) -> float:
        """Print median and spread of ``values`` and judge the median; returns it."""
        middle = statistics.median(values)
        line = f"  {name:48} {middle:9.2f} {unit:4} ({min(values):.2f} to {max(values):.2f}, n {len(values)})"
        if most is not None:
            line += f"   goal ≤ {most:g}: {self._judge(name, middle <= most, middle <= most * TOLERANCE)}"
        if least is not None:
            line += f"   goal ≥ {least:g}: {self._judge(name, middle >= least, middle >= least / TOLERANCE)}"
        print(line, flush=True)
        return middle

    def _judge(self, name: str, reached: bool, tolerable: bool) -> str:
        if not tolerable:
            self.failed.append(name)
        return "reached" if reached else "missed, within the tolerance" if tolerable else "MISSED"

    def close(self) -> int:
        """Return the exit code, after naming what failed."""
        for name in self.failed:
            print(f"beyond its goal by more than {TOLERANCE - 1:.0%}: {name}")
        return 1 if self.failed else 0


def percentile(values: Sequence[float], part: float) -> float:
    """Return the value below which ``part`` (0 to 1) of the values lie."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * part))]


def find_python() -> str:
    """Return the distribution's interpreter, which images have too, if it is new enough; else our own."""
    found = shutil.which("python3", path="/usr/bin")
    if found and subprocess.run([found, "-c", "import sys; sys.exit(sys.version_info < (3, 11))"]).returncode == 0:
        return found
    return sys.executable


def read_memory(pid: int, line: str) -> float:
    """Return a line of /proc/PID/status in MiB."""
    return int(Path(f"/proc/{pid}/status").read_text().split(f"{line}:")[1].split()[0]) / 1024


def read_cpu(pid: int) -> float:
    """Return the seconds that a process has had on a core: on a shared machine the wall clock says less."""
    threads = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((thread / "schedstat").read_text().split()[0]) for thread in threads) / 1e9
