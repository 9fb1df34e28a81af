"""The command line itself: exit codes, one sentence for each error, forms of output, and what is imported when."""

import inspect
import json
import re
import resource
import subprocess
import sys
import tomllib
from importlib import import_module
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from wi_operator.cli import app as module
from wi_operator.cli import commands
from wi_operator.cli.call import Call
from wi_operator.cli.complaints import explain
from wi_operator.cli.exits import MEANINGS, Exit
from wi_operator.cluster.errors import error_of
from wi_operator.core.errors import SettingsError

ROOT = Path(__file__).parents[3]


def run(*arguments):
    return CliRunner().invoke(module.app, arguments, prog_name="kubectl wi")


def python(*arguments, **options):
    environment = {"PYTHONPATH": str(ROOT / "operator"), "PATH": "/usr/bin:/bin", "HOME": "/nonexistent"}
    command = [sys.executable, *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60, check=False, **options)


def status(code, message="", path="/apis/identity.crewai.com/v1alpha1/namespaces/a/workloadidentityconfigs/x"):
    body = json.dumps({"kind": "Status", "message": message}).encode() if message else b"404 page not found"
    return error_of(f"GET {path}", code, body)


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (status(404, 'workloadidentityconfigs "x" not found'), "There is no wic 'x' in namespace 'a'"),
        (status(404), "The operator is not installed in this cluster"),
        (status(404, path="/apis/identity.crewai.com/v1alpha1/workloadidentityconfigs"), "not installed"),
        (
            status(403, 'pods is forbidden: User "ann" cannot list'),
            'You may not do that: pods is forbidden: User "ann"',
        ),
        (status(401, "Unauthorized"), "does not know who you are"),
        (status(503), "did not answer"),
        (status(409, "the object has been modified"), "Run the command again"),
        (SettingsError("no kubeconfig"), "no kubeconfig. Choose one with --kubeconfig or --context"),
    ],
)
def test_an_error_is_one_sentence_and_a_remedy(error, told):
    complaint = explain(error)
    assert told in str(complaint)
    assert complaint.code is Exit.CANNOT
    assert "\n" not in str(complaint)


def test_a_fault_shows_no_traceback_unless_asked(capsys):
    def fail():
        raise ZeroDivisionError("planted")

    assert commands.guard(Call(), fail) is Exit.FAULT
    told = capsys.readouterr().err
    assert "Traceback" not in told
    assert "ZeroDivisionError: planted" in told
    assert commands.guard(Call(debug=True), fail) is Exit.FAULT
    assert "Traceback" in capsys.readouterr().err


def test_every_exit_code_has_a_meaning():
    assert set(MEANINGS) == set(Exit)


def test_explain_knows_codes_reasons_and_numbers():
    for name in ("SubjectMismatch", "subjectmismatch", "AADSTS700213", "700213"):
        done = run("explain", name)
        assert done.exit_code == 0, done.output
        assert "az ad app federated-credential create" in done.output
    assert "What the condition says was proven." in run("explain", "Succeeded").output


def test_explain_suggests_what_was_meant():
    done = run("explain", "SubjctMismatch")
    assert done.exit_code == Exit.USAGE
    assert "Did you mean SubjectMismatch" in done.stderr


def test_explain_in_other_forms():
    listed = json.loads(run("explain", "AADSTS700213", "-o", "json").stdout)
    assert listed == yaml.safe_load(run("explain", "AADSTS700213", "-o", "yaml").stdout)
    assert listed[0]["reason"] == "SubjectMismatch"
    assert "AADSTS700213" in json.loads(run("explain", "-o", "json").stdout)["SubjectMismatch"]


def test_in_a_pipe_nothing_is_broken_coloured_or_padded():
    shown = python("-m", "wi_operator.cli.main", "explain", "AADSTS700213").stdout
    assert max(map(len, shown.splitlines())) > 300
    assert "\x1b" not in shown
    assert not any(line.endswith(" ") for line in shown.splitlines())


def find_commands(app, prefix=()):
    for each in app.registered_commands:
        yield (*prefix, each.name)
    for group in app.registered_groups:
        yield from find_commands(group.typer_instance, (*prefix, group.name))


@pytest.mark.parametrize("words", list(find_commands(module.app)), ids=" ".join)
def test_every_command_has_help_with_examples(words):
    done = run(*words, "--help")
    assert done.exit_code == 0
    examples = done.output.partition("Examples:")[2]
    assert f"kubectl wi {' '.join(words)}" in examples


def test_help_imports_neither_the_cluster_nor_the_colours():
    program = "import sys; from wi_operator.cli.main import main; code = main(['--help']); print(*sys.modules); sys.exit(code)"
    done = python("-c", program)
    assert done.returncode == 0, done.stderr
    loaded = set(done.stdout.split())
    assert not loaded & {"kubernetes.aio.client", "aiohttp", "rich.table", "cryptography", "pydantic", "azure", "kopf"}


def test_help_takes_little():
    """Processor time: the wall's depends on what else runs."""
    took = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        python("-m", "wi_operator.cli.main", "--help")
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        took.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert min(took) < 0.5


def test_without_typer_it_says_what_to_install():
    done = python("-S", "-m", "wi_operator.cli.main", "status")
    assert done.returncode == 3
    assert done.stderr == "kubectl wi needs typer and rich: pip install 'workload-identity-operator[cli]'\n"


def test_without_a_kubeconfig_it_says_so():
    done = python("-m", "wi_operator.cli.main", "status")
    assert done.returncode == Exit.CANNOT
    assert re.fullmatch(r"error: the kubeconfig cannot be used .*--kubeconfig.*\n", done.stderr)


def test_no_command_but_a_group_is_a_usage_error():
    assert run("nonsense").exit_code == Exit.USAGE
    assert run("fic").exit_code == Exit.USAGE
    assert run("status", "-o", "xml").exit_code == Exit.USAGE


def test_the_scripts_are_there_and_the_images_pay_nothing():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for script in ("kubectl-wi", "kubectl_complete-wi"):
        where, _, name = project["scripts"][script].partition(":")
        assert callable(getattr(import_module(where), name))
    product = (ROOT / "requirements/product.lock").read_text()
    assert not re.search(r"^(typer|rich)==", product, re.MULTILINE)
    assert not any(re.match(r"typer|rich", line) for line in project["dependencies"])


@pytest.mark.parametrize("word", ["taint", "confirm"])
@pytest.mark.parametrize("kid", ["x1Tq0Yk3", "-zhKhbwq", "-y", "-hXb", "-yXb", "--Xb", "-"])
def test_an_id_of_a_key_may_begin_with_a_hyphen(monkeypatch, word, kid):
    """One in 64 does; a leaked key has to go whatever its id."""
    asked = []
    monkeypatch.setattr(
        commands, "guard", lambda call, run: asked.append(inspect.getclosurevars(run).nonlocals["given"]) or 0
    )
    for arguments in ((kid, "--yes"), ("--yes", kid), ("--timeout=5", kid, "-y"), ("--yes", "--", kid)):
        done = run("keys", word, *arguments)
        is_option = kid == "-y" and "--" not in arguments
        assert done.exit_code == (2 if is_option else 0), done.output
        assert is_option or (asked[-1]["kid"], asked[-1]["yes"]) == (kid, True)


def test_what_is_neither_an_option_nor_the_only_id_is_refused():
    done = run("keys", "taint", "x1Tq0Yk3", "--yess")
    assert (done.exit_code, "--yess" in done.output) == (2, True)
    assert run("keys", "rotate", "-z").exit_code == 2
    assert "Id of the key" in run("keys", "taint", "-h").output
