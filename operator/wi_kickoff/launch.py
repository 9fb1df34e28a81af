"""Start a command with the secrets of its kickoff in the environment.

Run as ``python3 -I -S /run/wi/launch.py [--termination-log PATH] [--no-hook] -- COMMAND [ARGUMENT]...``: asks the sidecar
over ``kickoff.sock`` beside this file, then replaces itself by the command; no process stays behind. Values reach the
environment only, never the arguments. The folder ``hook`` beside this file goes before the image's own ``PYTHONPATH``.
On failure: the error on standard error and in the termination log, exit code 78; a command that is not found exits 127,
one that cannot run 126.

This file is compiled anew at every start of a container, which costs more than all that it does: it has the straight way
only, and ``trouble.py`` beside it has the rest. Both are copied into the container's folder and import only modules that
are built into the interpreter: ``json`` or ``re`` would double the run time. Python 3.8 and later. The protocol is
``wire.py``'s.
"""

import _signal  # type: ignore[import-not-found]
import _socket
import posix
import sys

MYPY = False
if MYPY:
    from types import ModuleType

FOLDER = __file__.rpartition("/")[0] or "."
REQUEST = b"wi1 kickoff launcher\n"
HEAD_OK = b"wi1 ok"
END = b"."
PATH = FOLDER + "/kickoff.sock"
HOOK = FOLDER + "/hook"
TERMINATION_LOG = "/dev/termination-log"
EXIT_CODE = 78
REPLY_SECONDS = 65
REFERENCE = b"secret://"


def main(arguments: "list[str]") -> int:
    """Replace this process by the command; returns the exit code if that fails."""
    # As process 1 we would ignore SIGTERM without a handler; exec removes it.
    if _signal.getsignal(_signal.SIGTERM) == _signal.SIG_DFL:
        _signal.signal(_signal.SIGTERM, lambda *_: posix._exit(143))
    log = TERMINATION_LOG
    try:
        if len(arguments) > 1 and arguments[0] == "--termination-log":
            log, arguments = arguments[1], arguments[2:]
        no_hook = arguments[:1] == ["--no-hook"]
        arguments = arguments[no_hook:]
        if len(arguments) < 2 or arguments[0] != "--":
            trouble().refuse_arguments()
        environment = read_environment()
        fields = ask()
        left = apply_fields(environment, fields)
        if left:
            trouble().refuse_references(environment, left)
        if not no_hook:
            deliver_hook(environment, fields)
        # The interpreter ignores these two from its start on, and what is ignored would survive exec.
        _signal.signal(_signal.SIGPIPE, _signal.SIG_DFL)
        _signal.signal(_signal.SIGXFSZ, _signal.SIG_DFL)
        execute(arguments[1:], environment)
    except Exception as error:  # noqa: BLE001 - its text might quote a value: trouble tells only what is known to be safe
        return int(trouble().fail(error, log))
    return EXIT_CODE


def trouble() -> "ModuleType":
    """Return the module for everything that is not the straight way."""
    sys.dont_write_bytecode = True
    sys.modules["launch"] = sys.modules[__name__]
    sys.path.append(FOLDER)
    return __import__("trouble")


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


def ask() -> "list[bytes]":
    """Return the tagged fields of the sidecar's reply."""
    try:
        data = exchange()
    except OSError:
        data = None
    fields = data.split(b"\0") if data else []
    if fields[:1] != [HEAD_OK] or fields[-2:] != [END, b""]:
        fields = trouble().ask_again(data)
    return fields[1:-2]


def exchange(path: str = PATH, request: bytes = REQUEST) -> bytes:
    """Send the request and return everything that is answered; raises ``OSError``."""
    connection = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    try:
        connection.settimeout(REPLY_SECONDS)
        connection.connect(path)
        connection.sendall(request)
        chunks = [connection.recv(65536)]
        while chunks[-1]:
            chunks.append(connection.recv(65536))
        return b"".join(chunks)
    finally:
        connection.close()


def apply_fields(environment: "dict[bytes, bytes]", fields: "list[bytes]") -> "list[bytes]":
    """Set values and expand templates in their order, pass log lines on; returns the names of references left in place."""
    own = set()
    for field in fields:
        tag, content = field[:2], field[2:]
        if tag == b"l ":
            say(text(content))
            continue
        name, _, value = content.partition(b"=")
        own.add(name)
        if tag == b"t ":
            # A template is the pod's text: unlike a vault's value it may be a reference that was left in place.
            if value.startswith(REFERENCE):
                own.discard(name)
            value = expand(value, environment)
        environment[name] = value
    return [name for name in environment if environment[name].startswith(REFERENCE) and name not in own]


def deliver_hook(environment: "dict[bytes, bytes]", fields: "list[bytes]") -> None:
    """Let every Python that starts from here find the runtime hook, and tell it which process read what."""
    path = environment.get(b"PYTHONPATH")
    environment[b"PYTHONPATH"] = HOOK.encode() + (b":" + path if path else b"")
    names = [field[2:].partition(b"=")[0] for field in fields if field[:2] != b"l "]
    environment[b"WI_KICKOFF"] = b"=".join([b"%d" % posix.getpid(), *names])


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
        else:
            out.append(b"$")
            rest = rest[1:] if rest[:1] == b"$" else rest


def text(field: bytes) -> str:
    """Return bytes as printable text on one line."""
    return "".join([c if c.isprintable() else " " for c in field.decode("utf-8", "replace")])


def say(line: str) -> None:
    """Write a line to standard error; nobody listening is no reason to fail."""
    try:
        posix.write(2, line.encode("utf-8", "replace") + b"\n")
    except OSError:
        return


def execute(command: "list[str]", environment: "dict[bytes, bytes]") -> None:
    """Replace this process as ``execvpe`` does."""
    name = command[0].encode(sys.getfilesystemencoding(), "surrogateescape")
    folders = [b""] if b"/" in name else environment.get(b"PATH", b"/bin:/usr/bin").split(b":")
    problem = None
    for folder in folders:
        try:
            posix.execve(folder.rstrip(b"/") + b"/" + name if folder else name, command, environment)
        except (FileNotFoundError, NotADirectoryError):  # noqa: PERF203 - one try per folder of PATH, as execvpe
            continue
        except OSError as error:
            problem = problem or error
    trouble().refuse_command(command[0], environment, problem)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
