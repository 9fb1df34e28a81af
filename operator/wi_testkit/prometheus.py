"""Debian's Prometheus for a test: unpacked into the cache, never installed; one process that ends with its test."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wi_testkit.controlplane.packages import unpack_package
from wi_testkit.controlplane.plane import find_ports
from wi_testkit.controlplane.processes import spawn, terminate
from wi_testkit.controlplane.readiness import wait_until

_PACKAGE = "prometheus"
SCRAPE_SECONDS = 1


class QueryError(RuntimeError):
    """Prometheus refused a query."""


def find_program(name: str) -> Path:
    """Return ``prometheus`` or ``promtool``; raises ControlPlaneError."""
    found = shutil.which(name)
    return Path(found) if found else unpack_package(_PACKAGE) / "usr/bin" / name


def run_promtool(*arguments: str, stdin: str = "", folder: Path | None = None) -> tuple[int, str]:
    """Return exit code and everything that promtool says."""
    done = subprocess.run(
        [find_program("promtool"), *arguments], input=stdin, cwd=folder, capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout + done.stderr


@dataclass(frozen=True, slots=True)
class Prometheus:
    """A running server."""

    url: str

    def query(self, expression: str) -> list[dict[str, Any]]:
        """Return the series of an instant query; raises QueryError."""
        found: list[dict[str, Any]] = self._get("query", query=expression)["result"]
        return found

    def rules(self) -> list[dict[str, Any]]:
        """Return the rules as the server evaluates them."""
        return [rule for group in self._get("rules")["groups"] for rule in group["rules"]]

    def targets(self) -> dict[str, str]:
        """Return job → health."""
        return {target["labels"]["job"]: target["health"] for target in self._get("targets")["activeTargets"]}

    def _get(self, what: str, **parameters: str) -> Any:
        url = f"{self.url}/api/v1/{what}?{urllib.parse.urlencode(parameters)}"
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(url, timeout=10) as response:
                return json.load(response)["data"]
        except urllib.error.HTTPError as error:
            with error:
                raise QueryError(_reason(error.read())) from None


@contextmanager
def running_prometheus(targets: Mapping[str, int], rules: Sequence[Path] = ()) -> Iterator[Prometheus]:
    """Yield a server that scrapes ports of loopback, by job, each second, and evaluates the rules."""
    folder = Path(tempfile.mkdtemp(prefix="wi-prometheus-"))
    (port,) = find_ports(1)
    config = folder / "prometheus.json"  # JSON is YAML
    config.write_text(json.dumps(_render(targets, rules)))
    command: list[str | Path] = [
        find_program("prometheus"),
        f"--config.file={config}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    process = spawn("prometheus", command, log=folder / "log", leashed=True)
    server = Prometheus(f"http://127.0.0.1:{port}")
    try:
        wait_until(
            lambda: _has_scraped(server, targets),
            name="Prometheus",
            timeout=30,
            log=folder / "log",
            is_alive=lambda: process.is_alive,
        )
        yield server
    finally:
        terminate(process, grace=5.0)
        shutil.rmtree(folder, ignore_errors=True)


def _render(targets: Mapping[str, int], rules: Sequence[Path]) -> dict[str, Any]:
    jobs = [{"job_name": job, "static_configs": [{"targets": [f"127.0.0.1:{port}"]}]} for job, port in targets.items()]
    interval = f"{SCRAPE_SECONDS}s"
    return {
        "global": {"scrape_interval": interval, "evaluation_interval": interval},
        "rule_files": [str(file) for file in rules],
        "scrape_configs": jobs,
    }


def _has_scraped(server: Prometheus, targets: Mapping[str, int]) -> bool:
    try:
        return server.targets() == dict.fromkeys(targets, "up")
    except (OSError, QueryError):  # nobody listens yet, or it still reads what it stored
        return False


def _reason(body: bytes) -> str:
    try:
        return str(json.loads(body)["error"])
    except (ValueError, LookupError, TypeError):
        return body.decode(errors="replace").strip()
