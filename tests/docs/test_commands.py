"""Every fenced command is marked; those of a machine are run, those of a cloud are judged by the programs' own parsers."""

import json
import os
import re
import shlex
import subprocess
from collections import defaultdict

import hcl2
import pytest

from wi_operator.federation.diagnosis.table import ROWS
from wi_testkit.documentation import programs
from wi_testkit.documentation.cloud import judge
from wi_testkit.documentation.fences import ROOT

RUN, CLOUD = "run", "cloud"
AZ = re.compile(r"\baz [a-z].*?(?=`|\s[.;](?:\s|$)|\)[\s.,;]|\)$|\.?$)")
FACTS = re.compile(r"<(\w+)>")
NOW, TIME = "$(date -u +%Y-%m-%dT%H:%M:%SZ)", "2026-01-31T00:00:00Z"


def test_every_fence_has_a_language(fences):
    assert [fence.place for fence in fences if not fence.language] == []


def test_every_command_is_marked(fences):
    assert {fence.argument.partition(" ")[0] for fence in fences if fence.mark == RUN} <= {"", "cluster"}
    unmarked = [fence.place for fence in fences if fence.is_command and fence.mark not in (RUN, CLOUD)]
    assert unmarked == [], "write <!-- run -->, <!-- run cluster --> or <!-- cloud --> before the fence"


def test_every_shell_text_is_shell_and_every_az_command_is_taken_by_az(verdicts, fences, counts):
    faults = [f"{place}: {fault.splitlines()[0]}" for place, told in verdicts.items() for fault in told.faults]
    assert faults == []
    counts["parsed"] += sum(len(verdicts[f.place].commands) for f in fences if f.is_command and f.mark == CLOUD)


def test_every_command_of_helm_kubectl_and_make_is_known(verdicts):
    judged = [(place, programs.judge(words)) for place, told in verdicts.items() for words in told.commands]
    assert [f"{place}: {fault}" for place, fault in judged if fault] == []


def test_every_az_command_in_a_remedy_is_taken_by_az(counts):
    commands = {row.reason + row.code: find_az(row.diagnose().remedy) for row in ROWS}
    asked = {
        f"{name} {number}": ("shell", text) for name, found in commands.items() for number, text in enumerate(found)
    }
    assert len(asked) >= 15
    told = judge(asked)
    assert [f"{name}: {fault.splitlines()[0]}" for name, each in told.items() for fault in each.faults] == []
    counts["parsed"] += len(asked)


def find_az(remedy):
    """Return the az commands of a sentence, its open facts as words."""
    return [FACTS.sub(r"\1", found).replace(NOW, TIME) for found in AZ.findall(remedy)]


def test_what_az_does_not_know_is_refused():
    told = judge(
        {
            "option": ("shell", "az keyvault secret set --vault-name v --name n --value x --frob 1"),
            "command": ("shell", "echo $(az keyvault frob)"),
            "required": ("shell", "az ad app federated-credential create --parameters '{}'"),
            "choice": ("shell", "az role assignment create --role r --scope s --assignee-principal-type Frob"),
            "shell": ("shell", "if then"),
            "bicep": ("bicep", "resource a 'b/c@1' = {\n  name 'd'\n}\n"),
            "good": ("shell", "az keyvault secret set --vault-name v --name n --value x"),
        }
    )
    assert {name for name, each in told.items() if each.faults} == {*told} - {"good"}


@pytest.mark.parametrize(
    "command",
    [
        "kubectl get wic --frob",
        "kubectl frob",
        "helm upgrade a b --frob",
        "helm frob",
        "make frob",
        "kubectl get pods -Z",
    ],
)
def test_what_a_program_does_not_know_is_refused(command):
    assert programs.judge(shlex.split(command))


def test_federated_credentials_have_what_entra_needs(verdicts):
    found = [
        json.loads(words[words.index("--parameters") + 1])
        for told in verdicts.values()
        for words in told.commands
        if words[:5] == ("az", "ad", "app", "federated-credential", "create")
        if words[words.index("--parameters") + 1].startswith("{")
    ]
    assert found
    for each in found:
        assert {"name", "issuer", "subject", "audiences"} <= set(each), each
        assert each["subject"].startswith("organization:")
        assert len(each["audiences"]) == 1


def test_terraform_is_read(fences):
    found = [fence for fence in fences if fence.language in ("hcl", "terraform")]
    assert found
    for fence in found:
        assert hcl2.loads(fence.text), fence.place
    with pytest.raises(Exception, match=r"(?i)unexpected"):
        hcl2.loads('resource "a" "b" {\n  c = \n}\n')


def test_bicep_names_its_resources(fences, verdicts):
    for fence in fences:
        if fence.language == "bicep":
            resources = verdicts[fence.place].resources
            assert resources, fence.place
            assert all(re.fullmatch(r"[\w.]+(/[\w@.]+)+@[\w.-]+", each) for each in resources), resources


def test_python_and_json_are_read(fences):
    for fence in fences:
        if fence.language == "python":
            compile(fence.text, fence.place, "exec")
        elif fence.language == "json":
            json.loads(fence.text)


def test_what_needs_no_cluster_runs(fences, verdicts, counts):
    scripts = defaultdict(str)
    for fence in fences:
        if fence.is_command and fence.mark == RUN and not fence.argument:
            scripts[fence.page.relative_to(ROOT)] += fence.text
            counts["run"] += len(verdicts[fence.place].commands)
    assert scripts
    for page, script in scripts.items():
        path = os.pathsep.join([str(ROOT / ".venv" / "bin"), *map(str, programs.find_folders()), os.environ["PATH"]])
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            cwd=ROOT,
            env=os.environ | {"PATH": path},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, f"{page}: {done.stdout[-1500:]}{done.stderr[-1500:]}"
