"""The launcher, as the container runs it: the real file, in isolated interpreters, against a scripted sidecar."""

import ast
import contextlib
import glob
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pytest

from wi_kickoff import launch, wire
from wi_kickoff.wire import Field, Reply

PLACES = ("/usr/bin", "/usr/local/bin", os.path.expanduser("~/.pyenv/versions/*/bin"))
VERSIONS = [f"python3.{minor}" for minor in range(8, 20)]
FOUND = [path for place in PLACES for version in VERSIONS for path in glob.glob(f"{place}/{version}")]
PYTHONS = sorted({os.path.realpath(path) for path in (*FOUND, sys.executable)})
SHOW = ("/usr/bin/env", "-0")
PACKAGE = Path(launch.__file__).parent


class Folder:
    """A container's folder with the launcher, and a sidecar that gives scripted replies."""

    def __init__(self, path):
        self.path = path
        self.requests = []
        for name in wire.FILES:
            shutil.copy(PACKAGE / name, path / name)

    @contextlib.contextmanager
    def sidecar(self, *replies):
        """Serve the replies one after the other; the last one stays."""
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(self.path / "kickoff.sock"))
            listener.listen()
            thread = threading.Thread(target=self._serve, args=(listener, list(replies)), daemon=True)
            thread.start()
            yield
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(5)

    def _serve(self, listener, replies):
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                with connection:
                    self.requests.append(connection.recv(100))
                    connection.sendall(replies.pop(0) if len(replies) > 1 else replies[0])

    def run(self, *command, python=sys.executable, options=(), env=None, **rest):
        return subprocess.run(
            [python, "-I", "-S", str(self.path / "launch.py"), *options, "--", *(command or SHOW)],
            env=env if env is not None else {"PATH": "/usr/bin:/bin"},
            capture_output=True, timeout=30, **rest,
        )  # fmt: skip


@pytest.fixture
def folder():
    # A unix socket's path must stay short, which pytest's own folders do not.
    path = Path(tempfile.mkdtemp(prefix="wi-", dir="/tmp"))
    yield Folder(path)
    shutil.rmtree(path)


def ok(*fields):
    return wire.encode_reply(Reply(True, tuple(Field(tag, text) for tag, text in fields)))


def environment(result):
    assert result.returncode == 0, result.stderr
    return dict(entry.split(b"=", 1) for entry in result.stdout.split(b"\0") if entry)


@pytest.mark.parametrize("python", PYTHONS)
def test_values_reach_the_environment_and_nothing_else_changes(folder, python):
    given = {"PATH": "/usr/bin:/bin", "KEPT": "1", "PYTHONPATH": "/x", "ODD": os.fsdecode(b"\xff")}
    value = "a=b\nc '\"$(KEPT) ü"
    with folder.sidecar(ok(("v", f"SECRET={value}"), ("v", "EMPTY="))):
        seen = environment(folder.run(python=python, env=given))
    expected = {os.fsencode(k): os.fsencode(v) for k, v in given.items()} | {b"SECRET": value.encode(), b"EMPTY": b""}
    # The only two that are the launcher's own.
    assert seen.pop(b"WI_KICKOFF").split(b"=")[1:] == [b"SECRET", b"EMPTY"]
    assert seen == expected | {b"PYTHONPATH": f"{folder.path}/hook:/x".encode()}
    assert folder.requests == [b"wi1 kickoff launcher\n"]


@pytest.mark.parametrize("python", PYTHONS)
def test_the_interpreters_own_locale_is_not_inherited(folder, python):
    with folder.sidecar(ok()):
        assert b"LC_CTYPE" not in environment(folder.run(python=python, env={}))
        assert environment(folder.run(python=python, env={"LC_CTYPE": "C"}))[b"LC_CTYPE"] == b"C"


def test_the_hook_goes_before_the_images_path_unless_it_is_switched_off(folder):
    hook = f"{folder.path}/hook".encode()
    with folder.sidecar(ok(("v", "A=1"))):
        assert environment(folder.run())[b"PYTHONPATH"] == hook
        assert environment(folder.run(env={"PYTHONPATH": "/app:"}))[b"PYTHONPATH"] == hook + b":/app:"
        seen = environment(folder.run(options=("--no-hook",), env={"PYTHONPATH": "/app"}))
    assert seen == {b"PYTHONPATH": b"/app", b"A": b"1"}


def test_the_hook_is_told_which_process_was_started(folder):
    with folder.sidecar(ok(("v", "A=1"), ("l", "told"), ("t", "T=x"))):
        done = folder.run("/bin/sh", "-c", "echo $WI_KICKOFF $$")
    note, pid = done.stdout.decode().split()
    assert note == f"{pid}=A=T"


def test_a_value_replaces_one_that_came_from_envfrom(folder):
    with folder.sidecar(ok(("v", "A=new"))):
        assert environment(folder.run(env={"A": "secret://demo/x"}))[b"A"] == b"new"


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("$(A)", "1"),
        ("x$(A)y$(B)z", "x1y2z"),
        ("$$(A)", "$(A)"),
        ("$$$(A)", "$1"),
        ("$(UNKNOWN)", "$(UNKNOWN)"),
        ("$()", "$()"),
        ("$(A", "$(A"),
        ("$A $", "$A $"),
        ("$$", "$"),
        ("$($(A))", "$($(A))"),
        ("$(DOLLAR)", "$(A)"),
        ("", ""),
    ],
)
def test_templates_are_expanded_as_kubernetes_does(template, expected):
    known = {b"A": b"1", b"B": b"2", b"DOLLAR": b"$(A)"}
    assert launch.expand(template.encode(), known) == expected.encode()


def test_templates_see_secrets_and_earlier_templates_in_order(folder):
    with folder.sidecar(ok(("t", "EARLY=$(S)"), ("v", "S=s"), ("t", "URL=u:$(S)@$(HOST)"), ("t", "LONG=$(URL)/x"))):
        seen = environment(folder.run(env={"HOST": "h"}))
    assert (seen[b"EARLY"], seen[b"URL"], seen[b"LONG"]) == (b"$(S)", b"u:s@h", b"u:s@h/x")


@pytest.mark.parametrize("literal", ["secret://demo/x", "secret:///x", "secret://a.b-c/x?version=1#k"])
def test_a_reference_left_in_place_stops_the_start(folder, literal):
    with folder.sidecar(ok(("v", "B=1"))):
        result = folder.run(env={"FROM_CONFIGMAP": literal})
    assert result.returncode == 78
    assert b"LiteralReference: FROM_CONFIGMAP" in result.stderr
    assert b"envFrom" in result.stderr


def test_a_template_that_is_a_reference_stops_the_start(folder):
    with folder.sidecar(ok(("t", "A=secret://demo/x"))):
        assert folder.run().returncode == 78


@pytest.mark.parametrize(
    "value", ["x secret://demo/x", "secret://Demo/x", "secret://demo", "secret://demo/", "secret:/"]
)
def test_other_text_is_no_reference(folder, value):
    with folder.sidecar(ok()):
        assert folder.run("/bin/true", env={"A": value}).returncode == 0


def test_a_vaults_value_may_look_like_a_reference(folder):
    with folder.sidecar(ok(("v", "A=secret://demo/x"))):
        assert environment(folder.run())[b"A"] == b"secret://demo/x"


def test_log_lines_go_to_standard_error_on_one_line_each(folder):
    with folder.sidecar(ok(("l", "one\nforged"), ("l", "two"))):
        result = folder.run("/bin/true")
    assert result.stderr == b"one forged\ntwo\n"


def test_an_error_is_told_on_standard_error_and_in_the_termination_log(folder):
    log = folder.path / "termination"
    log.write_bytes(b"a longer text of an earlier run")
    error = wire.encode_reply(Reply(False, (Field("m", "A: no"), Field("m", "B: no"))))
    with folder.sidecar(error):
        result = folder.run(options=("--termination-log", str(log)))
    assert (result.returncode, result.stdout, result.stderr) == (78, b"", b"A: no\nB: no\n")
    assert log.read_bytes() == b"A: no\nB: no"
    assert len(folder.requests) == 1, "a refusal is an answer"


def test_a_long_error_is_cut_for_the_kubelet_and_never_inside_a_character(folder):
    log = folder.path / "termination"
    log.touch()
    with folder.sidecar(wire.encode_reply(Reply(False, (Field("m", "ü" * 4000),)))):
        folder.run(options=("--termination-log", str(log)))
    assert 4000 < len(log.read_bytes()) <= 4096
    assert set(log.read_text()) == {"ü", "."}


def test_a_termination_log_that_is_missing_is_no_error_and_is_not_created(folder):
    log = folder.path / "none"
    with folder.sidecar(wire.encode_reply(Reply(False, (Field("m", "no"),)))):
        assert folder.run(options=("--termination-log", str(log))).returncode == 78
    assert not log.exists()


def test_a_truncated_reply_is_asked_for_again(folder):
    whole = ok(("v", "A=1"))
    with folder.sidecar(whole[:-1], b"", whole):
        assert environment(folder.run())[b"A"] == b"1"
    assert len(folder.requests) == 3


def busy(seconds):
    return wire.encode_reply(Reply(False, (Field("r", seconds), Field("m", "SidecarBusy: too many"))))


def test_a_busy_sidecar_is_asked_again_when_it_says(folder):
    with folder.sidecar(busy("0.3"), busy("0.3"), busy("0.3"), ok(("v", "A=1"))):
        began = time.monotonic()
        assert environment(folder.run())[b"A"] == b"1"
    assert 0.6 < time.monotonic() - began < 8
    assert len(folder.requests) == 4


def test_a_sidecar_that_stays_busy_is_told_in_its_own_words(folder):
    with folder.sidecar(busy("30")):
        began = time.monotonic()
        result = folder.run()
    assert (result.returncode, result.stderr) == (78, b"SidecarBusy: too many\n")
    assert time.monotonic() - began < 15


def test_replies_that_stay_truncated_end_in_an_error(folder):
    began = time.monotonic()
    with folder.sidecar(b"wi1 ok\0v A=1\0"):
        result = folder.run()
    assert result.returncode == 78
    assert b"SidecarUnreachable" in result.stderr
    assert time.monotonic() - began < 15


def test_a_sidecar_that_comes_late_is_waited_for(folder):
    result = []
    thread = threading.Thread(target=lambda: result.append(folder.run("/bin/true")))
    thread.start()
    time.sleep(0.5)
    with folder.sidecar(ok()):
        thread.join(10)
    assert result[0].returncode == 0


def test_no_sidecar_is_an_error_after_five_seconds(folder):
    began = time.monotonic()
    result = folder.run()
    assert result.returncode == 78
    assert b"SidecarUnreachable" in result.stderr
    assert b"kubectl logs" in result.stderr
    assert 4.5 < time.monotonic() - began < 12


def test_another_protocol_is_an_error_at_once(folder):
    with folder.sidecar(b"wi9 ok\0.\0"):
        assert b"protocols" in folder.run().stderr


def test_the_command_is_found_on_the_new_path_first_match_first(folder):
    for name in ("a", "b"):
        (folder.path / name).mkdir()
    script = folder.path / "b" / "tool"
    script.write_text("#!/bin/sh\necho found\n")
    script.chmod(0o755)
    (folder.path / "a" / "tool").write_text("not executable")
    with folder.sidecar(ok(("v", f"PATH={folder.path}/none::{folder.path}/a:{folder.path}/b:/bin"))):
        assert folder.run("tool").stdout == b"found\n"


@pytest.mark.parametrize(
    ("command", "code"), [("no-such-tool", 127), ("/no/such", 127), ("/etc/passwd", 126), ("/", 126)]
)
def test_a_command_that_cannot_start_has_the_shells_exit_code(folder, command, code):
    with folder.sidecar(ok()):
        result = folder.run(command)
    assert result.returncode == code
    assert command.encode() in result.stderr
    assert b"Traceback" not in result.stderr


def test_a_script_without_an_interpreter_line_is_not_run(folder):
    script = folder.path / "script"
    script.write_text("echo no\n")
    script.chmod(0o755)
    with folder.sidecar(ok()):
        assert folder.run(str(script)).returncode == 126


def test_a_value_over_the_kernels_limit_is_named(folder):
    with folder.sidecar(ok(("v", "SMALL=1"), ("v", "HUGE=" + "x" * 131072))):
        result = folder.run()
    assert result.returncode == 78
    assert b"ValueNotRepresentable: HUGE is larger" in result.stderr
    assert b"xxxx" not in result.stderr


def test_too_much_together_is_told(folder):
    with folder.sidecar(ok(*(("v", f"A{n}=" + "x" * 120_000) for n in range(60)))):
        assert b"ValueNotRepresentable: the environment of" in folder.run().stderr


def test_arguments_are_passed_as_they_are_and_never_expanded(folder):
    with folder.sidecar(ok(("v", "A=fake-secret"))):
        result = folder.run("/bin/echo", "$(A)", "$A", "--", "", os.fsdecode(b"\xfe"))
    assert result.stdout == b"$(A) $A --  \xfe\n"


@pytest.mark.parametrize("arguments", [[], ["--"], ["ls"], ["--termination-log"], ["--termination-log", "x", "ls"]])
def test_wrong_arguments_are_told(folder, arguments):
    command = [sys.executable, "-I", "-S", str(folder.path / "launch.py"), *arguments]
    result = subprocess.run(command, capture_output=True, timeout=10)
    assert (result.returncode, b"usage:" in result.stderr) == (78, True)


def test_stdin_folder_umask_and_open_files_are_the_applications(folder):
    read, write = os.pipe()
    os.write(write, b"inherited")
    command = ("/bin/sh", "-c", f"cat; pwd; umask; head -c 9 /proc/self/fd/{read}; ls /proc/self/fd | wc -l")
    with folder.sidecar(ok()):
        result = folder.run(*command, input=b"in\n", pass_fds=(read,), cwd="/usr", umask=0o027)
    os.close(read)
    os.close(write)
    assert result.stdout == b"in\n/usr\n0027\ninherited5\n"


def test_signals_have_their_defaults_in_the_application(folder):
    with folder.sidecar(ok()):
        result = folder.run("/bin/grep", "-E", "Sig(Ign|Cgt)", "/proc/self/status")
    assert [int(line.split()[1], 16) & (1 << signal.SIGPIPE - 1 | 1 << signal.SIGTERM - 1)
            for line in result.stdout.splitlines()] == [0, 0]  # fmt: skip


def test_the_application_takes_the_launchers_place(folder):
    with folder.sidecar(ok()):
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", str(folder.path / "launch.py"), "--", "/bin/sh", "-c", "echo $$"],
            stdout=subprocess.PIPE,
        )
        assert int(process.communicate(timeout=10)[0]) == process.pid


def caught(status):
    return int(re.search(r"SigCgt:\s*(\w+)", status)[1], 16)


def test_sigterm_ends_the_wait(folder):
    process = subprocess.Popen([sys.executable, "-I", "-S", str(folder.path / "launch.py"), "--", "/bin/true"])
    status = Path(f"/proc/{process.pid}/status")
    while not (caught(status.read_text()) & 1 << signal.SIGTERM - 1):
        assert process.poll() is None
        time.sleep(0.01)
    began = time.monotonic()
    process.terminate()
    assert process.wait(5) == 143
    assert time.monotonic() - began < 3  # of the five seconds that it waits for a sidecar


def test_a_fault_of_the_launcher_shows_no_traceback(folder):
    with folder.sidecar(ok(("v", "=x"))):
        result = folder.run()
    assert result.returncode == 78
    assert b"InternalError: the launcher failed with ValueError" in result.stderr
    assert b"Traceback" not in result.stderr


@pytest.mark.parametrize("name", wire.FILES)
def test_only_built_in_modules_are_imported(name):
    tree = ast.parse((PACKAGE / name).read_text(), feature_version=(3, 8))
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    assert imported <= {"_signal", "_socket", "posix", "sys", "time", "launch"}


def test_the_straight_way_does_without_the_rest(folder):
    (folder.path / "trouble.py").write_text("raise SystemExit('loaded')")
    with folder.sidecar(ok(("v", "A=1"), ("t", "B=$(A)"), ("l", "a line"))):
        assert environment(folder.run())[b"B"] == b"1"


def test_the_folder_stays_as_it_is_when_the_rest_is_loaded(folder):
    before = sorted(path.name for path in folder.path.iterdir())
    with folder.sidecar(wire.encode_reply(Reply(False, (Field("m", "No"),)))):
        assert folder.run().returncode == 78
    assert sorted(path.name for path in folder.path.iterdir() if path.suffix == ".py") == [
        name for name in before if name.endswith(".py")
    ]
    assert not (folder.path / "__pycache__").exists()


def test_the_package_needs_the_standard_library_only():
    for path in PACKAGE.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) else []
            assert {name.split(".")[0] for name in names} <= sys.stdlib_module_names | {"wi_kickoff", "launch"}
