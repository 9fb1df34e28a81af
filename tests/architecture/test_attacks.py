"""Each attack has a twin that succeeds, and each control of the threat model a test that exists."""

import ast
import fnmatch
import re
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MODEL = ROOT / "docs" / "threat-model.md"
LEAST = 40


@dataclass(frozen=True)
class Case:
    """A test function; ``twin`` is None unless it is an attack."""

    module: str
    name: str
    node: ast.AST
    twin: str | None


def marks_of(node):
    """Yield (name, call or None) of each pytest mark on a function."""
    for decorator in node.decorator_list:
        call = decorator if isinstance(decorator, ast.Call) else None
        dotted = ast.unparse(call.func if call else decorator)
        if dotted.startswith("pytest.mark."):
            yield dotted.removeprefix("pytest.mark."), call


def twin_of(node):
    for name, call in marks_of(node):
        if name == "attack":
            words = {word.arg: word.value for word in call.keywords} if call else {}
            value = words.get("twin")
            return value.value if isinstance(value, ast.Constant) else ""
    return None


def read_tests():
    for folder in ("tests", "e2e"):
        for path in sorted((ROOT / folder).rglob("test_*.py")):
            for node in ast.parse(path.read_text()).body:
                if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
                    yield Case(path.relative_to(ROOT).as_posix(), node.name, node, twin_of(node))


TESTS = tuple(read_tests())
BY_NAME = {(test.module, test.name): test for test in TESTS}
ATTACKS = [test for test in TESTS if test.twin is not None]
MODULES = {Path(test.module).stem for test in TESTS}


def test_there_are_enough_attacks():
    assert len(ATTACKS) >= LEAST


def test_no_module_is_marked_as_a_whole():
    """Each attack names its twin itself."""
    marked = [
        path
        for path in {test.module for test in TESTS}
        if re.search(r"^pytestmark = .*attack", (ROOT / path).read_text(), re.MULTILINE)
    ]
    assert marked == []


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_an_attack_has_a_twin_that_succeeds(attack):
    twin = BY_NAME.get((attack.module, attack.twin))
    assert twin, f"{attack.module}::{attack.name} names the twin {attack.twin!r}, which is no test of its file"
    assert twin.twin is None, f"{twin.name} is an attack itself"
    assert not {"skip", "xfail"} & {name for name, _ in marks_of(twin.node)}
    text = ast.unparse(twin.node)
    assert re.search(r"assert|lab\.apply|programs\.output", text), f"{twin.name} asserts nothing"
    assert "pytest.raises" not in text, f"{twin.name} expects a refusal"


def rows(section):
    """Return the cells of each table row below a heading of the threat model."""
    text = MODEL.read_text().split(f"## {section}\n", 1)[1].split("\n## ")[0]
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def names_in(cell):
    return re.findall(r"`(test_[\w*]+)`", cell)


def found_by(name):
    """Return the tests that a name of the threat model means: a test, a pattern, or a module."""
    return [test for test in TESTS if fnmatch.fnmatch(test.name, name) or Path(test.module).stem == name]


CONTROLS = {row[0]: row for row in rows("Threats and controls")}
DEMANDED = {row[0]: row for row in rows("The attacks by name")}


@pytest.mark.parametrize("threat", CONTROLS)
def test_a_control_is_linked_to_tests_that_exist(threat):
    names = names_in(CONTROLS[threat][-1])
    assert names, f"{threat} names no test"
    assert [name for name in names if not found_by(name)] == []


@pytest.mark.parametrize("name", DEMANDED)
def test_an_attack_that_is_told_by_name_exists(name):
    tests = names_in(DEMANDED[name][-1])
    assert tests
    for test in tests:
        attacks = [found for found in found_by(test) if found.twin is not None]
        assert attacks, f"{test} is no attack"


def test_every_attack_belongs_to_a_threat():
    told = {test.name for row in CONTROLS.values() for name in names_in(row[-1]) for test in found_by(name)}
    assert sorted({attack.name for attack in ATTACKS} - told) == []


def test_every_test_that_the_threat_model_names_exists():
    assert [name for name in names_in(MODEL.read_text()) if not found_by(name)] == []
