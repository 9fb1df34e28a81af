"""What the launcher does when its straight way ends: ask again, explain, and end with the right code.

Lies beside ``launch.py`` in the container's folder and is loaded by it when it is needed; imports only what it imports.
The runtime hook uses it, too: to ask, and to explain.
"""

import posix
import time

MYPY = False
if MYPY or __name__ != "trouble":  # in the package, for the runtime hook
    from wi_kickoff import launch
else:
    import launch

HEAD_ERROR = b"wi1 error"
MESSAGE = b"m "
RETRY = b"r "
TERMINATION_LIMIT = 4096
NOT_EXECUTABLE = 126
NOT_FOUND = 127
RETRY_SECONDS = 5
PAUSE_SECONDS = 0.05
TRUNCATED_LIMIT = 3
ARGUMENT_TOO_LONG = 7  # E2BIG
MAX_STRING = 131072
"""Bytes of one ``NAME=VALUE`` with its NUL that Linux takes (MAX_ARG_STRLEN, 32 pages of 4 KiB)."""
CREDENTIAL_BYTES = b"abcdefghijklmnopqrstuvwxyz0123456789.-"
USAGE = "usage: python3 -I -S launch.py [--termination-log PATH] [--no-hook] -- COMMAND [ARGUMENT]..."


class LaunchError(Exception):
    """The command cannot be started; ``lines`` say why and what to do, ``code`` is the exit code."""

    def __init__(self, *lines: str, code: int = launch.EXIT_CODE) -> None:
        super().__init__("\n".join(lines))
        self.lines = lines
        self.code = code


class TruncatedError(Exception):
    """The reply ended before its last field."""


class BusyError(Exception):
    """The sidecar's queue is full; ``seconds`` is when to ask again, ``refusal`` what to tell if that is too late."""

    def __init__(self, seconds: float, refusal: LaunchError) -> None:
        super().__init__(seconds)
        self.seconds = seconds
        self.refusal = refusal


def ask_again(reply: "bytes | None", path: str = launch.PATH, request: bytes = launch.REQUEST) -> "list[bytes]":
    """Return a whole good reply, asking again while the sidecar starts, restarts or is busy; raises ``LaunchError``.

    ``reply`` is what the first question brought, ``None`` if nobody was there.
    """
    deadline = time.monotonic() + RETRY_SECONDS
    truncated = 0
    while True:
        pause, refusal = PAUSE_SECONDS, None
        try:
            return read_reply(launch.exchange(path, request) if reply is None else reply)
        except TruncatedError:
            truncated += 1
            problem = "it broke off its reply"
            if truncated < TRUNCATED_LIMIT:
                deadline = time.monotonic() + RETRY_SECONDS
        except BusyError as error:
            pause, refusal, problem = error.seconds, error.refusal, ""
        except OSError as error:
            problem = error.strerror or "no reply in time"
        reply = None
        if time.monotonic() + pause > deadline:
            raise refusal or unreachable(path, problem)
        time.sleep(pause)


def unreachable(path: str, problem: str) -> LaunchError:
    """Return the error of a sidecar that does not answer."""
    return LaunchError(
        "SidecarUnreachable: the workload identity sidecar did not answer on " + path + ": " + problem + ".",
        "What to do: look at the sidecar with `kubectl logs <pod> -c wi-sidecar --previous` and without.",
    )


def read_reply(data: bytes) -> "list[bytes]":
    """Return the fields of a good reply, head and end included; raises ``LaunchError`` with the sidecar's words."""
    fields = data.split(b"\0")
    if fields[-2:] != [launch.END, b""]:
        raise TruncatedError
    if fields[0] == HEAD_ERROR:
        refusal = LaunchError(*[launch.text(field[2:]) for field in fields if field[:2] == MESSAGE])
        for field in fields:
            if field[:2] == RETRY:
                raise BusyError(float(field[2:]), refusal)
        raise refusal
    if fields[0] != launch.HEAD_OK:
        raise LaunchError(
            "SidecarUnreachable: launcher and sidecar speak different protocols.",
            "What to do: start the pod anew, so that both come from one version of the operator.",
        )
    return fields


def is_reference(value: bytes) -> bool:
    """Tell whether a value has the form ``secret://[credential]/<secret>...``."""
    credential, slash, secret = value[len(launch.REFERENCE) :].partition(b"/")
    return value.startswith(launch.REFERENCE) and bool(slash and secret) and not credential.strip(CREDENTIAL_BYTES)


def refuse_references(environment: "dict[bytes, bytes]", names: "list[bytes]") -> None:
    """Raise for variables that still hold a reference: the webhook sees only values written in the pod itself."""
    found = sorted(name for name in names if is_reference(environment[name]))
    if found:
        listed = ", ".join(launch.text(name) for name in found)
        raise LaunchError(
            "LiteralReference: " + listed + " still holds a secret:// reference, and no value.",
            "What to do: it came from a ConfigMap, a Secret or envFrom; write the reference into `env` of the "
            "container, as `name` and `value`.",
        )


def refuse_arguments() -> None:
    """Raise for a command line that is not the webhook's."""
    raise LaunchError("InvalidArguments: " + USAGE)


def refuse_command(name: str, environment: "dict[bytes, bytes]", problem: "OSError | None") -> None:
    """Raise for a command that did not start; ``problem`` is ``None`` if there is no such file."""
    if problem is None:
        raise LaunchError("CommandNotFound: " + name + ": not found in this image.", code=NOT_FOUND)
    if problem.errno == ARGUMENT_TOO_LONG:
        raise LaunchError(*too_large(environment))
    raise LaunchError("CommandNotExecutable: " + name + ": " + str(problem.strerror) + ".", code=NOT_EXECUTABLE)


def too_large(environment: "dict[bytes, bytes]") -> "tuple[str, str]":
    """Say what is over the kernel's limit: one variable, or all together."""
    names = [name for name in environment if len(name) + len(environment[name]) + 2 > MAX_STRING]
    total = sum(len(name) + len(environment[name]) + 2 for name in environment)
    what = ", ".join(launch.text(name) for name in sorted(names)) or "the environment of " + str(total) + " bytes"
    return (
        "ValueNotRepresentable: " + what + " is larger than the kernel allows (128 KiB for one variable, and a limit "
        "for all together with the arguments).",
        "What to do: keep large material in a file or an object store, and only its key in the vault.",
    )


def fail(error: Exception, termination_log: str) -> int:
    """Tell the error on standard error and in the termination log, and return the exit code."""
    if not isinstance(error, LaunchError):
        # Its text might quote a value: only the type is told.
        error = LaunchError("InternalError: the launcher failed with " + type(error).__name__)
    message = "\n".join(error.lines)
    launch.say(message)
    try:
        # Never created: the kubelet mounts it, and elsewhere a stray file would stay.
        target = posix.open(termination_log, posix.O_WRONLY | posix.O_TRUNC | posix.O_CLOEXEC)
        posix.write(target, shorten(message.encode("utf-8", "replace")))
        posix.close(target)
    except OSError:
        return error.code
    return error.code


def shorten(message: bytes) -> bytes:
    """Cut a message to what the kubelet keeps, never inside a character."""
    if len(message) <= TERMINATION_LIMIT:
        return message
    return message[: TERMINATION_LIMIT - 3].decode("utf-8", "ignore").encode() + b"..."
