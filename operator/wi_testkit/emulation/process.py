"""Running an emulator as a process of its own."""

from __future__ import annotations

import contextlib
import secrets
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from wi_testkit.emulation.listener import ANNOUNCEMENT
from wi_testkit.pki import CertificateAuthority

SOURCE_ROOT = Path(__file__).resolve().parents[2]
STOP_SECONDS = 5.0
START_SECONDS = 30.0


class EmulatorStartError(RuntimeError):
    """The process ended, or said nothing, instead of announcing its address."""


@dataclass(frozen=True)
class Running:
    """A started process: where it listens, how to administer it and which CA file verifies it."""

    url: str
    admin_token: str
    ca_file: Path
    pid: int


@contextlib.contextmanager
def running(
    module: str,
    ca: CertificateAuthority,
    names: Sequence[str],
    arguments: Sequence[str] = (),
    listen: str = "127.0.0.1:0",
) -> Iterator[Running]:
    """Start ``python -m module`` with a certificate for the names, wait until it listens, and stop it at the end."""
    with tempfile.TemporaryDirectory(prefix="wi-emulator-") as folder:
        files = Path(folder)
        leaf = ca.issue(["localhost", "127.0.0.1", *names])
        cert, key, ca_file = leaf.write(files / "tls"), files / "tls" / "tls.key", ca.write(files / "ca.crt")
        token = secrets.token_urlsafe(24)
        token_file = files / "admin-token"
        token_file.write_text(token)
        command = [sys.executable, "-m", module, "--listen", listen, "--tls-cert", str(cert), "--tls-key", str(key)]
        command += ["--ca", str(ca_file), "--admin-token-file", str(token_file), *arguments]
        with started(command) as (process, url):
            yield Running(url, token, ca_file, process.pid)


@contextlib.contextmanager
def started(command: Sequence[str]) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Start the command and yield it with the address it announces; end it afterwards."""
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True, env={"PYTHONPATH": str(SOURCE_ROOT)}
    )
    try:
        yield process, announced_url(process, command)
    finally:
        stop(process)


def announced_url(process: subprocess.Popen[str], command: Sequence[str]) -> str:
    """Wait for the address in the first line of output."""
    # A process that hangs before it listens must not hang the tests with it.
    watchdog = threading.Timer(START_SECONDS, process.kill)
    watchdog.start()
    try:
        line = process.stdout.readline() if process.stdout else ""
    finally:
        watchdog.cancel()
    if not line.startswith(ANNOUNCEMENT):
        raise EmulatorStartError(
            f"{' '.join(command)} said {line!r}, not where it listens; its standard error says why"
        )
    return line.removeprefix(ANNOUNCEMENT).strip()


def stop(process: subprocess.Popen[str]) -> None:
    """End exactly this process, gently first."""
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdout:
        process.stdout.close()
