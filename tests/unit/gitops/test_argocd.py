"""The Lua for Argo CD, run with what Argo CD gives a script: no library but base, table and two functions of os."""

import re
from pathlib import Path

import pytest
import yaml
from lupa import lua51

from wi_operator.api import names
from wi_operator.reconcile.store import asked_test

FOLDER = Path(__file__).parents[3] / "examples/gitops/argocd"
DATA = yaml.safe_load((FOLDER / "argocd-cm.yaml").read_text())["data"]
PREFIX = "resource.customizations"
KINDS = (names.CONFIG_KIND, names.CREDENTIAL_KIND)
BASE = {
    "assert", "error", "getmetatable", "ipairs", "next", "pairs", "pcall", "print", "rawequal", "rawget", "rawset",
    "require", "select", "setmetatable", "table", "tonumber", "tostring", "type", "unpack", "xpcall", "_G", "_VERSION",
}  # fmt: skip
STRANGE = {
    "string": "return string.format('%s', obj.kind)",
    "method": "return obj.kind:lower()",
    "os": "return os.time()",
    "io": "return io.open('/etc/hostname')",
    "math": "return math.random()",
}


def run(script, item):
    """Run a script over an object; returns its answer as Python's."""
    lua = lua51.LuaRuntime(unpack_returned_tuples=True, register_eval=False, register_builtins=False)
    safe = lua.table_from({"time": lua.globals().os.time, "date": lua.globals().os.date})
    lua.execute("getmetatable('').__index = nil")
    for name in list(lua.globals()):
        if name not in BASE:
            lua.globals()[name] = None
    lua.globals().require = {"os": safe}.__getitem__
    lua.globals().obj = lua.table_from(item, recursive=True)
    return thaw(lua.execute(script))


def thaw(value):
    if lua51.lua_type(value) != "table":
        return value
    keys = list(value)
    if keys and keys == list(range(1, len(keys) + 1)):
        return [thaw(value[key]) for key in keys]
    return {key: thaw(value[key]) for key in keys}


def actions_of(kind):
    return yaml.safe_load(DATA[f"{PREFIX}.actions.{names.GROUP}_{kind}"])


@pytest.mark.parametrize("script", STRANGE.values(), ids=STRANGE)
def test_the_sandbox_refuses_what_argo_cd_refuses(script):
    with pytest.raises(lua51.LuaError, match="attempt to"):
        run(script, {"kind": "X"})


def test_health_is_that_of_every_state(item, health):
    answer = run(DATA[f"{PREFIX}.health.{names.GROUP}_{item['kind']}"], item)
    assert answer["status"] == health
    ready = [c for c in item["status"].get("conditions", []) if c["type"] == "Ready"]
    if ready and ready[0]["observedGeneration"] == item["metadata"]["generation"]:
        assert answer["message"] == f"{ready[0]['reason']}: {ready[0]['message']}"
    else:
        assert answer["message"] == f"Generation {item['metadata']['generation']} has not been checked yet"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("status", [{}, {"status": {}}, {"status": {"observedGeneration": 3}}])
def test_without_conditions_it_is_progressing(kind, status):
    item = {"metadata": {"generation": 3}} | status
    assert run(DATA[f"{PREFIX}.health.{names.GROUP}_{kind}"], item)["status"] == "Progressing"


@pytest.mark.parametrize("kind", KINDS)
def test_the_action_asks_for_a_test_and_twice_for_two(kind):
    discovered = run(actions_of(kind)["discovery.lua"], {"kind": kind})
    (definition,) = actions_of(kind)["definitions"]
    assert list(discovered) == [definition["name"]] == ["test-connection"]
    item = {"kind": kind, "metadata": {"name": "azure", "generation": 1}, "spec": {"provider": "Azure"}}
    first = run(definition["action.lua"], item)
    second = run(definition["action.lua"], first)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", asked_test(first))
    assert len({asked_test(each) for each in (item, first, second)}) == 3
    assert first == item | {"metadata": item["metadata"] | {"annotations": first["metadata"]["annotations"]}}


def test_the_action_keeps_other_annotations():
    item = {"metadata": {"annotations": {"a": "b", names.TEST_ANNOTATION: "old"}}}
    changed = run(actions_of(names.CONFIG_KIND)["definitions"][0]["action.lua"], item)["metadata"]["annotations"]
    assert changed.pop("a") == "b"
    assert changed.pop(names.TEST_ANNOTATION) > "2026"
    assert not changed


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ({}, "Progressing"),
        ({"status": {"sync": {}}}, "Progressing"),
        ({"status": {"health": {"status": "Degraded", "message": "m"}}}, "Degraded"),
    ],
)
def test_an_applications_health_is_its_own(status, expected):
    assert run(DATA[f"{PREFIX}.health.argoproj.io_Application"], status)["status"] == expected


def test_both_kinds_have_all_and_nothing_else_has_any():
    wanted = {f"{PREFIX}.{what}.{names.GROUP}_{kind}" for what in ("health", "actions") for kind in KINDS}
    assert set(DATA) == wanted | {f"{PREFIX}.health.argoproj.io_Application"}
