"""The container ``wi-env`` of the mode ``envfile``: one kickoff for each container, one file each for the kubelet, then it ends.

It fails like the launcher does: the error on standard error and in the termination message, exit code 78; no file of a
container is left behind then.
"""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from wi_kickoff import wire
from wi_operator.agent import env_grammar
from wi_operator.agent.env_grammar import EnvFileError
from wi_operator.api.names import ENV_DIR, RUN_DIR
from wi_operator.federation.diagnosis import kickoff as rows
from wi_operator.federation.diagnosis.base import Diagnosis

PAUSE_SECONDS = 0.05
FILE_MODE = 0o400


class KickoffError(Exception):
    """There are no values; ``lines`` say why and what to do, never a value."""

    def __init__(self, *lines: str) -> None:
        super().__init__("\n".join(lines))
        self.lines = lines


@dataclass(frozen=True, slots=True)
class Places:
    """Whose files are written, and where sockets and files stand."""

    containers: Sequence[str]
    run_dir: str = RUN_DIR
    env_dir: str = ENV_DIR
    termination_log: str = wire.TERMINATION_LOG

    @classmethod
    def read(cls, environ: Mapping[str, str]) -> Places:
        """Read ``WI_CONTAINERS``, ``WI_RUN_DIR`` and ``WI_ENV_DIR``, which the webhook sets."""
        containers = [name for name in environ.get("WI_CONTAINERS", "").split(",") if name]
        return cls(containers, environ.get("WI_RUN_DIR") or RUN_DIR, environ.get("WI_ENV_DIR") or ENV_DIR)

    def socket(self, container: str) -> str:
        """Where the sidecar answers for ``container``."""
        return os.path.join(self.run_dir, container, wire.SOCKET_NAME)

    def file(self, container: str) -> str:
        """The file that the kubelet reads for ``container``."""
        return os.path.join(self.env_dir, f"{container}.env")


def main(environ: Mapping[str, str]) -> int:
    """Write every file; returns 0, or 78 when there is no value or one that a file cannot carry."""
    return write_files(Places.read(environ))


def write_files(places: Places) -> int:
    """Ask for all containers before the verdict: the message then names everything that failed."""
    lines: list[str] = []
    for container in places.containers:
        try:
            _write(places.file(container), ask(places.socket(container)))
        except KickoffError as error:
            lines += [f"container '{container}': {line}" for line in error.lines]
        except (EnvFileError, OSError) as error:
            diagnosis = rows.ENVFILE_NOT_WRITTEN.diagnose(detail=_safe_text(error))
            lines.append(f"container '{container}': {_tell(diagnosis)}")
    if not lines:
        return 0
    for container in places.containers:
        _remove(places.file(container))
        _remove(_draft_of(places.file(container)))  # a file that was refused holds values too
    return _fail(lines, places.termination_log)


def ask(path: str) -> dict[str, str]:
    """Make one kickoff over the sidecar's socket; returns name → value. Raises ``KickoffError``."""
    deadline = time.monotonic() + wire.RETRY_SECONDS
    while True:
        pause, lines = PAUSE_SECONDS, [_tell(rows.SIDECAR_UNREACHABLE.diagnose())]
        try:
            reply = wire.decode_reply(_exchange(path))
        except (OSError, wire.TruncatedReplyError):
            reply = None
        except wire.WireError as error:
            raise KickoffError(_tell(rows.INTERNAL_ERROR.diagnose(detail=type(error).__name__))) from error
        if reply is not None:
            if reply.ok:
                return _read(reply)
            lines = [field.text for field in reply.fields if field.tag == wire.MESSAGE]
            later = [float(field.text) for field in reply.fields if field.tag == wire.RETRY]
            if not later:
                raise KickoffError(*lines)
            pause = later[0]
        if time.monotonic() + pause > deadline:
            raise KickoffError(*lines)
        time.sleep(pause)


def _exchange(path: str) -> bytes:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(wire.REPLY_SECONDS)
        connection.connect(path)
        connection.sendall(wire.encode_request("envfile"))
        chunks = []
        while chunk := connection.recv(65536):
            chunks.append(chunk)
        return b"".join(chunks)


def _read(reply: wire.Reply) -> dict[str, str]:
    values: dict[str, str] = {}
    for field in reply.fields:
        if field.tag == wire.LOG_LINE:
            _say(field.text)
        elif field.tag == wire.VALUE:
            name, _, values[name] = field.text.partition("=")
    return values


def _write(path: str, values: Mapping[str, str]) -> None:
    """Write the file whole or not at all, and read it again with the kubelet's eyes."""
    problems = {name: problem for name, value in values.items() if (problem := env_grammar.find_problem(value))}
    if problems:
        told = (rows.VALUE_NOT_IN_FILE.diagnose(detail=problem) for problem in problems.values())
        raise KickoffError(*(f"{name}: {_tell(each)}" for name, each in zip(problems, told, strict=True)))
    draft = _draft_of(path)
    _remove(draft)  # of an earlier try of this container, which may not be written to
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, FILE_MODE)
    with os.fdopen(descriptor, "wb") as file:
        file.write(env_grammar.render(values).encode())
    env_grammar.check_file(draft, values)
    os.replace(draft, path)


def _draft_of(path: str) -> str:
    return f"{path}.draft"


def _remove(path: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def _tell(diagnosis: Diagnosis) -> str:
    return f"{diagnosis.reason}: {diagnosis.message}"


def _safe_text(error: Exception) -> str:
    return (
        str(error) if isinstance(error, EnvFileError) else str(getattr(error, "strerror", "")) or type(error).__name__
    )


def _fail(lines: Sequence[str], termination_log: str) -> int:
    message = "\n".join(lines)
    _say(message)
    encoded = message.encode("utf-8", "replace")
    if len(encoded) > wire.TERMINATION_LIMIT:
        encoded = encoded[: wire.TERMINATION_LIMIT - 3].decode("utf-8", "ignore").encode() + b"..."
    with contextlib.suppress(OSError):
        # Never created: the kubelet mounts it.
        descriptor = os.open(termination_log, os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC)
        os.write(descriptor, encoded)
        os.close(descriptor)
    return wire.EXIT_CODE
