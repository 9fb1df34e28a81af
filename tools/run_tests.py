"""Run all the checks and tests of the project, stage by stage, each with its time; close with one count of everything.

Fails when a stage fails, when a test was skipped on a machine that can run it, or when fewer than eight end-to-end tests ran.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BIN = ROOT / ".venv" / "bin"
LEAST_E2E = 8
CHECKS = ("lint", "types")
PREPARATIONS = (
    ("programs", ("wi_testkit.controlplane", "build")),
    ("images", ("wi_testkit.stage", "images")),
    ("environments", ("wi_testkit.environments",)),
)
"""What the tests run on, built before them, so that the building shows its progress."""
SUITES = (
    ("unit", ("tests/unit", "tests/architecture")),
    ("contract", ("tests/contract",)),
    ("chart", ("tests/chart",)),
    ("docs", ("tests/docs",)),
    ("matrix", ("tests/matrix", "tests/workers")),
    ("integration", ("tests/integration",)),
    ("observability", ("tests/observability",)),
    ("e2e", ("e2e",)),
)


@dataclass(slots=True)
class Count:
    """How a suite ended."""

    passed: int = 0
    failed: int = 0
    skipped: int = 0


def main() -> int:
    """Return 0 when everything passed."""
    total = Count()
    faults = [check for check in CHECKS if not _stage(check, ["make", "-s", check])]
    for name, arguments in PREPARATIONS:
        if not _stage(name, [str(BIN / "python"), "-m", *arguments]):
            print(f"not passed: {name}\n0 passed, 1 failed", flush=True)
            return 1
    for name, paths in SUITES:
        with tempfile.TemporaryDirectory() as folder:
            report = Path(folder) / "report.xml"
            durations = ["--durations=5"] if name != "unit" else []
            if not _stage(name, [str(BIN / "pytest"), "-q", *durations, f"--junit-xml={report}", *paths]):
                faults.append(name)
            count = _read(report)
        total.passed += count.passed
        total.failed += count.failed
        total.skipped += count.skipped
        if name == "e2e" and count.passed + count.failed < LEAST_E2E:
            faults.append(f"e2e: {count.passed + count.failed} tests ran, at least {LEAST_E2E} are expected")
    if total.skipped:
        faults.append(f"{total.skipped} tests were skipped")
    for fault in faults:
        print(f"not passed: {fault}", flush=True)
    print(f"{total.passed} passed, {total.failed} failed", flush=True)
    return 1 if faults or total.failed else 0


def _stage(name: str, command: list[str]) -> bool:
    print(f"=== {name}", flush=True)
    started = time.monotonic()
    code = subprocess.run(command, cwd=ROOT, env=dict(os.environ), check=False).returncode
    print(f"=== {name}: {'ok' if code == 0 else f'failed ({code})'} in {time.monotonic() - started:.0f} s", flush=True)
    return code == 0


def _read(report: Path) -> Count:
    if not report.exists():
        return Count(failed=1)
    count = Count()
    for suite in ET.parse(report).getroot().iter("testsuite"):  # noqa: S314 - written by our own pytest a moment ago
        broken = int(suite.get("failures", 0)) + int(suite.get("errors", 0))
        skipped = int(suite.get("skipped", 0))
        count.failed += broken
        count.skipped += skipped
        count.passed += int(suite.get("tests", 0)) - broken - skipped
    return count


if __name__ == "__main__":
    sys.exit(main())
