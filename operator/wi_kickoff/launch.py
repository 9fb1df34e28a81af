"""Start a command with the secrets of its kickoff in the environment.

Run as ``python3 -I -S /run/wi/launch.py [--termination-log PATH] -- COMMAND [ARGUMENT]...``: asks the sidecar over
``kickoff.sock`` beside this file, then replaces itself by the command; no process stays behind. Values reach the
environment only, never the arguments. On failure: the error on standard error and in the termination log, exit code 78;
a command that is not found exits 127, one that cannot run 126.

This file stands alone (it is copied into the container's folder) and imports only modules that are built into the
interpreter: ``json`` or ``re`` would double its run time. Python 3.8 and later. The protocol is ``wire.py``'s.
"""

import _signal  # type: ignore[import-not-found]
import _socket
import posix
import sys
import time

REQUEST = b"wi1 kickoff launcher\n"
HEAD_OK = b"wi1 ok"
HEAD_ERROR = b"wi1 error"
END = b"."
SOCKET_NAME = "kickoff.sock"
TERMINATION_LOG = "/dev/termination-log"
TERMINATION_LIMIT = 4096
EXIT_CODE = 78
NOT_EXECUTABLE = 126
NOT_FOUND = 127
RETRY_SECONDS = 5
REPLY_SECONDS = 20
PAUSE_SECONDS = 0.05
TRUNCATED_LIMIT = 3
ARGUMENT_TOO_LONG = 7  # E2BIG
MAX_STRING = 131072
"""Bytes of one ``NAME=VALUE`` with its NUL that Linux takes (MAX_ARG_STRLEN, 32 pages of 4 KiB)."""
REFERENCE = b"secret://"
CREDENTIAL_BYTES = b"abcdefghijklmnopqrstuvwxyz0123456789.-"
USAGE = "usage: python3 -I -S launch.py [--termination-log PATH] -- COMMAND [ARGUMENT]..."


class LaunchError(Exception):
    """The command cannot be started; ``lines`` say why and what to do, ``code`` is the exit code."""

    def __init__(self, *lines: str, code: int = EXIT_CODE) -> None:
        super().__init__("\n".join(lines))
        self.lines = lines
        self.code = code


class TruncatedError(Exception):
    """The reply ended before its last field."""


def main() -> int:
    """Replace this process by the command; returns the exit code if that fails."""
    end_on_sigterm()
    termination_log = TERMINATION_LOG
    try:
        termination_log, command = parse_arguments(sys.argv[1:])
        environment = read_environment()
        fields = ask(__file__.rpartition("/")[0] or ".")
        apply_fields(environment, fields)
        restore_signals()
        execute(command, environment)
    except LaunchError as error:
        return fail(error.lines, error.code, termination_log)
    except Exception as error:  # noqa: BLE001 - its text might quote a value: only the type is told
        return fail(("InternalError: the launcher failed with " + type(error).__name__,), EXIT_CODE, termination_log)
    return EXIT_CODE


def end_on_sigterm() -> None:
    """Let SIGTERM end the wait: as process 1 the launcher would otherwise ignore it. ``exec`` removes the handler."""
    if _signal.getsignal(_signal.SIGTERM) == _signal.SIG_DFL:
        _signal.signal(_signal.SIGTERM, lambda *_: posix._exit(143))


def restore_signals() -> None:
    """Give back the defaults that the interpreter replaced at its start; ignored signals would survive ``exec``."""
    _signal.signal(_signal.SIGPIPE, _signal.SIG_DFL)
    _signal.signal(_signal.SIGXFSZ, _signal.SIG_DFL)


def parse_arguments(arguments: "list[str]") -> "tuple[str, list[str]]":
    """Return termination log and command."""
    termination_log = TERMINATION_LOG
    if len(arguments) > 1 and arguments[0] == "--termination-log":
        termination_log = arguments[1]
        arguments = arguments[2:]
    if len(arguments) < 2 or arguments[0] != "--":
        raise LaunchError("InvalidArguments: " + USAGE)
    return termination_log, arguments[1:]


def read_environment() -> "dict[bytes, bytes]":
    """Return the environment as the container was started with it."""
    environment = dict(posix.environ)
    # In the C locale the interpreter sets LC_CTYPE for itself (PEP 538); the application must not inherit that.
    if b"LC_CTYPE" in environment:
        restore_locale(environment)
    return environment


def restore_locale(environment: "dict[bytes, bytes]") -> None:
    """Set or remove ``LC_CTYPE`` as it was; leave it where that cannot be known."""
    try:
        with open("/proc/self/environ", "rb", 0) as file:
            entries = file.read().split(b"\0")
    except OSError:
        return
    del environment[b"LC_CTYPE"]
    for entry in entries:
        if entry.startswith(b"LC_CTYPE="):
            environment[b"LC_CTYPE"] = entry[9:]


def ask(folder: str) -> "list[bytes]":
    """Return the fields of the sidecar's reply, trying again while it starts or restarts."""
    path = folder + "/" + SOCKET_NAME
    deadline = time.monotonic() + RETRY_SECONDS
    truncated = 0
    while True:
        try:
            return split_reply(exchange(path))
        except TruncatedError:
            truncated += 1
            problem = "it broke off its reply"
            if truncated < TRUNCATED_LIMIT:
                deadline = time.monotonic() + RETRY_SECONDS
        except OSError as error:
            problem = error.strerror or "no reply in time"
        if time.monotonic() >= deadline:
            raise LaunchError(
                "SidecarUnreachable: the workload identity sidecar did not answer on " + path + ": " + problem + ".",
                "What to do: look at the sidecar with `kubectl logs <pod> -c wi-sidecar --previous` and without.",
            )
        time.sleep(PAUSE_SECONDS)


def exchange(path: str) -> bytes:
    """Send the request and return everything that is answered."""
    connection = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    try:
        connection.settimeout(REPLY_SECONDS)
        connection.connect(path)
        connection.sendall(REQUEST)
        chunks = []
        chunk = connection.recv(65536)
        while chunk:
            chunks.append(chunk)
            chunk = connection.recv(65536)
        return b"".join(chunks)
    finally:
        connection.close()


def split_reply(data: bytes) -> "list[bytes]":
    """Return the tagged fields of a good reply; raises ``LaunchError`` with the sidecar's words for an error."""
    fields = data.split(b"\0")
    if fields[-2:] != [END, b""]:
        raise TruncatedError
    if fields[0] == HEAD_ERROR:
        raise LaunchError(*[text(field[2:]) for field in fields[1:-2] if field[:2] == b"m "])
    if fields[0] != HEAD_OK:
        raise LaunchError(
            "SidecarUnreachable: launcher and sidecar speak different protocols.",
            "What to do: start the pod anew, so that both come from one version of the operator.",
        )
    return fields[1:-2]


def apply_fields(environment: "dict[bytes, bytes]", fields: "list[bytes]") -> None:
    """Set values and expand templates in their order, pass log lines on, and refuse references left in place."""
    own = set()
    for field in fields:
        tag, content = field[:2], field[2:]
        if tag == b"l ":
            say(text(content))
            continue
        name, _, value = content.partition(b"=")
        own.add(name)
        if tag == b"t ":
            if is_reference(value):
                own.discard(name)
            value = expand(value, environment)
        environment[name] = value
    refuse_literals(sorted(name for name in environment if name not in own and is_reference(environment[name])))


def expand(template: bytes, environment: "dict[bytes, bytes]") -> bytes:
    """Expand ``$(NAME)`` as Kubernetes does: ``$$`` is ``$``, an unknown name stays as written."""
    out = []
    rest = template
    while True:
        before, dollar, rest = rest.partition(b"$")
        out.append(before)
        if not dollar:
            return b"".join(out)
        name, closing, after = rest[1:].partition(b")")
        if rest[:1] == b"(" and closing:
            out.append(environment.get(name, b"$(" + name + b")"))
            rest = after
        elif rest[:1] == b"$":
            out.append(b"$")
            rest = rest[1:]
        else:
            out.append(b"$")


def is_reference(value: bytes) -> bool:
    """Tell whether a value has the form ``secret://[credential]/<secret>...``."""
    credential, slash, secret = value[len(REFERENCE) :].partition(b"/")
    return value.startswith(REFERENCE) and bool(slash and secret) and not credential.strip(CREDENTIAL_BYTES)


def refuse_literals(names: "list[bytes]") -> None:
    """Raise for variables that still hold a reference: the webhook sees only values written in the pod itself."""
    if names:
        listed = ", ".join(text(name) for name in names)
        raise LaunchError(
            "LiteralReference: " + listed + " still holds a secret:// reference, and no value.",
            "What to do: it came from a ConfigMap, a Secret or envFrom; write the reference into `env` of the "
            "container, as `name` and `value`.",
        )


def execute(command: "list[str]", environment: "dict[bytes, bytes]") -> None:
    """Replace this process as ``execvpe`` does; raises ``LaunchError``."""
    problem = None
    for candidate in candidates(command[0], environment):
        try:
            posix.execve(candidate, command, environment)
        except (FileNotFoundError, NotADirectoryError):  # noqa: PERF203 - one try per folder of PATH, as execvpe
            continue
        except OSError as error:
            problem = problem or error
    if problem is None:
        raise LaunchError("CommandNotFound: " + command[0] + ": not found in this image.", code=NOT_FOUND)
    if problem.errno == ARGUMENT_TOO_LONG:
        raise LaunchError(*too_large(environment))
    raise LaunchError("CommandNotExecutable: " + command[0] + ": " + str(problem.strerror) + ".", code=NOT_EXECUTABLE)


def candidates(name: str, environment: "dict[bytes, bytes]") -> "list[bytes]":
    """Return the paths to try, in order."""
    file = name.encode(sys.getfilesystemencoding(), "surrogateescape")
    if b"/" in file:
        return [file]
    folders = environment.get(b"PATH", b"/bin:/usr/bin").split(b":")
    return [folder.rstrip(b"/") + b"/" + file if folder else file for folder in folders]


def too_large(environment: "dict[bytes, bytes]") -> "tuple[str, str]":
    """Say what is over the kernel's limit: one variable, or all together."""
    names = [name for name in environment if len(name) + len(environment[name]) + 2 > MAX_STRING]
    total = sum(len(name) + len(environment[name]) + 2 for name in environment)
    what = ", ".join(text(name) for name in sorted(names)) or "the environment of " + str(total) + " bytes"
    return (
        "ValueNotRepresentable: " + what + " is larger than the kernel allows (128 KiB for one variable, and a limit "
        "for all together with the arguments).",
        "What to do: keep large material in a file or an object store, and only its key in the vault.",
    )


def text(field: bytes) -> str:
    """Return bytes as printable text on one line."""
    return "".join(c if c.isprintable() else " " for c in field.decode("utf-8", "replace"))


def say(line: str) -> None:
    """Write a line to standard error; nobody listening is no reason to fail."""
    try:
        posix.write(2, line.encode("utf-8", "replace") + b"\n")
    except OSError:
        return


def fail(lines: "tuple[str, ...]", code: int, termination_log: str) -> int:
    """Tell the error on standard error and in the termination log, and return the exit code."""
    message = "\n".join(lines)
    say(message)
    try:
        # Never created: the kubelet mounts it, and elsewhere a stray file would stay.
        target = posix.open(termination_log, posix.O_WRONLY | posix.O_TRUNC | posix.O_CLOEXEC)
        posix.write(target, shorten(message.encode("utf-8", "replace")))
        posix.close(target)
    except OSError:
        return code
    return code


def shorten(message: bytes) -> bytes:
    """Cut a message to what the kubelet keeps, never inside a character."""
    if len(message) <= TERMINATION_LIMIT:
        return message
    return message[: TERMINATION_LIMIT - 3].decode("utf-8", "ignore").encode() + b"..."


if __name__ == "__main__":
    sys.exit(main())
