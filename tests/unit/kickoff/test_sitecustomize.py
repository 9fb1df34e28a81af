"""The hook's sitecustomize hides nobody else's, disturbs no Python, and is there where Python lets it be."""

import glob
import os
import subprocess
import sys
import textwrap

import pytest

PLACES = ("/usr/bin", "/usr/local/bin", os.path.expanduser("~/.pyenv/versions/*/bin"))
FOUND = {os.path.realpath(path) for place in PLACES for path in glob.glob(f"{place}/python[23].*")}
PYTHONS = sorted({path for path in FOUND if path[-1].isdigit()} | {os.path.realpath(sys.executable)})


def run(sidecar, *path, python=sys.executable, options=(), code="print('main')"):
    environment = {"PYTHONPATH": os.pathsep.join(map(str, [sidecar.hook, *path])), "PATH": os.environ["PATH"]}
    done = subprocess.run([python, *options, "-c", code], env=environment, capture_output=True, text=True, timeout=30)
    return done.returncode, done.stdout.split(), done.stderr


@pytest.mark.parametrize("python", PYTHONS)
def test_the_next_sitecustomize_runs_in_every_python(sidecar, tmp_path, python):
    (tmp_path / "sitecustomize.py").write_text("import os\nprint('theirs')\nNAME = __name__\n")
    code = "import sitecustomize; print(sitecustomize.NAME)"
    assert run(sidecar, tmp_path, python=python, code=code) == (0, ["theirs", "sitecustomize"], "")


@pytest.mark.parametrize("python", PYTHONS)
def test_a_program_without_another_runs_as_ever(sidecar, python):
    assert run(sidecar, python=python, code="import json; print('main')") == (0, ["main"], "")


def test_two_of_ours_on_the_path_are_one(sidecar):
    code = "import sys; print(sum(type(f).__name__ == 'KickoffFinder' for f in sys.meta_path))"
    assert run(sidecar, sidecar.hook, code=code) == (0, ["1"], "")


def test_one_that_fails_is_reported_by_python_and_the_hook_stays(sidecar, tmp_path):
    (tmp_path / "sitecustomize.py").write_text("raise RuntimeError('theirs')")
    code = "import sys; print(type(sys.meta_path[0]).__name__)"
    exit_code, out, error = run(sidecar, tmp_path, code=code)
    assert (exit_code, out) == (0, ["KickoffFinder"])
    assert "Error in sitecustomize" in error


def test_a_usercustomize_and_the_images_modules_are_found(sidecar, tmp_path):
    (tmp_path / "own.py").write_text("print('own')")
    assert run(sidecar, tmp_path, code="import own")[1] == ["own"]


def test_nothing_is_imported_at_the_start(sidecar):
    code = "import sys; print(*sorted(sys.modules))"
    with_hook = set(run(sidecar, code=code)[1])
    without = set(run(sidecar, code=code, options=("-E",))[1])
    assert with_hook - without <= {"sitecustomize"}


@pytest.mark.parametrize("options", [("-s",), ("-O",), ("-B",), ("-u",), ("-P",)])
def test_it_is_there_with_common_options(sidecar, options):
    code = "import sys; print(type(sys.meta_path[0]).__name__)"
    assert run(sidecar, options=options, code=code)[1] == ["KickoffFinder"]


@pytest.mark.parametrize("options", [("-E",), ("-I",), ("-S",)])
def test_it_is_not_there_where_python_ignores_the_path(sidecar, options):
    """The limits that the documentation states."""
    code = "import sys; print(any(type(f).__name__ == 'KickoffFinder' for f in sys.meta_path))"
    assert run(sidecar, options=options, code=code)[1] == ["False"]


CALLS = {
    "execv": "os.execv({me}, [{me}, *rest])",
    "execl": "os.execl({me}, {me}, *rest)",
    "execvp": "os.execvp({me}, [{me}, *rest])",
    "execve": "os.execve({me}, [{me}, *rest], os.environ)",
    "execle": "os.execle({me}, {me}, *rest, dict(os.environ))",
    "execvpe": "os.execvpe({me}, [{me}, *rest], env={{**os.environ}})",
}
"""As ``opentelemetry-instrument`` and ``elasticapm-run`` start a program, or might."""


@pytest.mark.parametrize("call", CALLS)
def test_a_tool_that_puts_a_sitecustomize_of_its_own_before_ours_does_not_hide_it(sidecar, tmp_path, call):
    """Theirs runs no other one; both have to be there in the program that the tool becomes."""
    (tmp_path / "sitecustomize.py").write_text("print('theirs')\n")
    show = "import os, sys; print(type(sys.meta_path[0]).__name__, os.environ['PYTHONPATH'])"
    code = f"""
        import os, sys
        os.environ["PYTHONPATH"] = os.pathsep.join(["{tmp_path}", "{sidecar.hook}", "/own"])
        rest = ["-c", {show!r}]
        {CALLS[call].format(me="sys.executable")}
    """
    path = os.pathsep.join([str(sidecar.hook), str(tmp_path), "/own"])
    assert run(sidecar, code=textwrap.dedent(code)) == (0, ["theirs", "KickoffFinder", path], "")


@pytest.mark.parametrize("end", ["", "raise RuntimeError('theirs')"])
def test_children_find_it_whatever_the_other_sitecustomize_made_of_the_path(sidecar, tmp_path, end):
    theirs = f"import os\nos.environ['PYTHONPATH'] = os.pathsep.join(['{tmp_path}', '{sidecar.hook}'])\n{end}\n"
    (tmp_path / "sitecustomize.py").write_text(theirs)
    show = "import sys; print(type(sys.meta_path[0]).__name__)"
    code = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {show!r}])"
    assert run(sidecar, tmp_path, code=code)[:2] == (0, ["KickoffFinder"])


@pytest.mark.parametrize("path", ["/own", None])
def test_a_path_without_the_hook_stays_as_the_program_made_it(sidecar, path):
    made = f"os.environ['PYTHONPATH'] = {path!r}" if path else "del os.environ['PYTHONPATH']"
    show = "import os; print(os.environ.get('PYTHONPATH'))"
    code = f"import os, sys; {made}; os.execv(sys.executable, [sys.executable, '-c', {show!r}])"
    assert run(sidecar, code=code) == (0, [str(path)], "")


@pytest.mark.parametrize("env", ["{'PYTHONPATH': pathlib.Path('/own')}", "{b'PYTHONPATH': b'/own'}"])
def test_an_environment_of_other_types_is_passed_on(sidecar, env):
    show = "import os; print(os.environ.get('PYTHONPATH'))"
    code = f"import os, pathlib, sys; os.execve(sys.executable, [sys.executable, '-c', {show!r}], {env})"
    assert run(sidecar, code=code) == (0, ["/own"], "")


def test_what_exec_refuses_it_refuses_as_ever(sidecar):
    code = """
        import os
        for call in (lambda: os.execv("/not/there", ["x"]), lambda: os.execve("/not/there", ["x"], {}),
                     lambda: os.execve("/bin/true", ["x"], None), lambda: os.execv("/bin/true", [])):
            try: call()
            except (OSError, TypeError, ValueError) as error: print(type(error).__name__)
    """
    assert run(sidecar, code=textwrap.dedent(code)) == (
        0, ["FileNotFoundError", "FileNotFoundError", "TypeError", "ValueError"], "",
    )  # fmt: skip
