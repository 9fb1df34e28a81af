"""The processes of the matrix, two at a time, and the table of what they found."""

import json
import os
import re
import shutil
import subprocess
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from wi_testkit.environments import CREWAI, ensure_environment
from wi_testkit.kickoff.sidecar import ScriptedSidecar

PROGRAM = Path(__file__).with_name("program.py")
PROVIDERS = ("openai", "anthropic", "azure", "gemini", "openai-compatible", "litellm")
SETTINGS = {
    "CREWAI_DISABLE_TELEMETRY": "true", "OTEL_SDK_DISABLED": "true", "CREWAI_TRACING_ENABLED": "false",
    "CREWAI_TESTING": "true", "LITELLM_LOCAL_MODEL_COST_MAP": "True",
}  # fmt: skip
"""Nothing leaves this machine."""
SECONDS = 600


@dataclass
class Outcome:
    """What one process found: cell → (verdict, what was seen); ``upstream`` has the errors of the same cells without us."""

    cells: dict
    log: str
    seconds: float
    upstream: dict = field(default_factory=dict)

    def verdict(self, cell):
        """Return ``right``, ``not applicable`` or ``wrong``."""
        kind, seen = self.cells[cell]
        if kind == "error" and same_error(seen, self.upstream.get(cell, ("", ""))):
            return "not applicable"
        return "right" if kind == "right" else "wrong"


def same_error(ours, upstream):
    """Compare two errors by type and first line; ids and counts differ from run to run."""
    kind, text = upstream
    return kind == "error" and _stable(text) == _stable(ours)


def _stable(text):
    return re.sub(r"[0-9a-f-]{36}|\d+", "#", text.splitlines()[0])


def run_program(version, provider, cells=(), *, bare=False):
    """Run ``program.py`` in a folder and a storage of its own."""
    with tempfile.TemporaryDirectory(prefix="wi-", dir="/tmp") as place:
        sidecar = ScriptedSidecar(Path(place) / "run")
        sidecar.install()
        storage = Path(place) / "storage"
        storage.mkdir()
        environment = SETTINGS | {
            "PATH": os.environ["PATH"], "HOME": place, "CREWAI_STORAGE_DIR": str(storage), "WI_BARE": str(int(bare)),
            "PYTHONPATH": "" if bare else str(sidecar.hook),
        }  # fmt: skip
        report = Path(place) / "report.json"
        began = time.monotonic()
        done = subprocess.run(
            [ensure_environment(version), PROGRAM, provider, sidecar.folder, report, *cells],
            env=environment, cwd=storage, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=SECONDS,
        )  # fmt: skip
        told = done.stdout + done.stderr
        assert done.returncode == 0, told[-3000:]
        return Outcome(json.loads(report.read_text()), told, time.monotonic() - began)


def find_outcome(version, provider):
    outcome = run_program(version, provider)
    failed = [cell for cell, (kind, _) in outcome.cells.items() if kind == "error"]
    if failed:
        outcome.upstream = run_program(version, provider, failed, bare=True).cells
    return outcome


class Matrix:
    """The processes of the selected tests; all are started at once, two run at a time."""

    def __init__(self, keys):
        self._pool = ThreadPoolExecutor(2)
        self._running = {key: self._pool.submit(find_outcome, *key) for key in keys}

    def outcome(self, version, provider):
        return self._running[version, provider].result()

    def outcomes(self):
        return {key: running.result() for key, running in self._running.items()}


@pytest.fixture(scope="session")
def matrix(pytestconfig, request):
    assert shutil.disk_usage("/tmp").free > 1 << 30
    for version in CREWAI:
        ensure_environment(version)
    pytestconfig.stash[STASH] = Matrix(selected(request.session.items))
    return pytestconfig.stash[STASH]


STASH = pytest.StashKey()


def selected(items):
    wanted = [item for item in items if "matrix" in item.fixturenames]
    keys = [(item.callspec.params["version"], item.callspec.params["provider"])
            for item in wanted if hasattr(item, "callspec")]  # fmt: skip
    needs_all = any(not hasattr(item, "callspec") for item in wanted)
    return [(version, provider) for version in CREWAI for provider in PROVIDERS] if needs_all else keys


def pytest_terminal_summary(terminalreporter, config):
    matrix = config.stash.get(STASH, None)
    if matrix is None:
        return
    try:
        outcomes = matrix.outcomes()
    except Exception as error:
        terminalreporter.write_line(f"matrix: a process failed: {type(error).__name__}")
        return
    verdicts = [outcome.verdict(cell) for outcome in outcomes.values() for cell in outcome.cells]
    counts = ", ".join(f"{verdicts.count(each)} {each}" for each in ("right", "not applicable", "wrong"))
    seconds = sum(outcome.seconds for outcome in outcomes.values())
    terminalreporter.write_line(
        f"matrix: {len(verdicts)} cells, two kickoffs each: {counts}; {seconds:.0f} s of {len(outcomes)} processes"
    )
