"""The expressions for Flux, judged in the order that Flux has: generation, inProgress, failed, current."""

import functools
from pathlib import Path

import celpy
import pytest
import yaml

from wi_operator.api import names

FILE = Path(__file__).parents[3] / "examples/gitops/flux/kustomizations.yaml"
DOCUMENTS = {each["metadata"]["name"]: each for each in yaml.safe_load_all(FILE.read_text())}
CHECKS = {each["kind"]: each for each in DOCUMENTS["team-a"]["spec"]["healthCheckExprs"]}
HEALTH = {"Current": "Healthy", "Failed": "Degraded", "InProgress": "Progressing"}
ENVIRONMENT = celpy.Environment()


@functools.cache
def compile_once(expression):
    return ENVIRONMENT.program(ENVIRONMENT.compile(expression))


def evaluate(expression, item):
    """Evaluate over an object's top-level fields."""
    result = compile_once(expression).evaluate({name: celpy.json_to_cel(value) for name, value in item.items()})
    assert isinstance(result, celpy.celtypes.BoolType)
    return bool(result)


def judge(item):
    observed = item["status"].get("observedGeneration")
    if observed is not None and observed != item["metadata"]["generation"]:
        return "InProgress"
    return judge_by_expressions(item)


def judge_by_expressions(item):
    check = CHECKS[item["kind"]]
    for status, name in (("InProgress", "inProgress"), ("Failed", "failed"), ("Current", "current")):
        if evaluate(check[name], item):
            return status
    return "InProgress"


def test_health_is_that_of_every_state(item, health):
    assert HEALTH[judge(item)] == health
    # Without the look at the generation that Flux itself has, too.
    assert HEALTH[judge_by_expressions(item)] == health


@pytest.mark.parametrize("kind", CHECKS)
@pytest.mark.parametrize("status", [{}, {"observedGeneration": 3}, {"observedGeneration": -1}])
def test_without_conditions_it_is_in_progress(kind, status):
    item = {"kind": kind, "metadata": {"generation": 3}, "status": status}
    assert judge(item) == judge_by_expressions(item) == "InProgress"


@pytest.mark.parametrize("kind", CHECKS)
def test_without_any_status_it_is_in_progress(kind):
    """The definitions give every object a status, but not those of an older release."""
    assert judge_by_expressions({"kind": kind, "metadata": {"generation": 3}}) == "InProgress"


def test_both_kinds_are_checked_and_teams_wait_for_the_operator():
    assert set(CHECKS) == {names.CONFIG_KIND, names.CREDENTIAL_KIND}
    assert {each["apiVersion"] for each in CHECKS.values()} == {names.API_VERSION}
    waits_for = {
        name: [each["name"] for each in document["spec"].get("dependsOn", [])] for name, document in DOCUMENTS.items()
    }
    assert waits_for["team-a"] == ["workload-identity-operator"]
    assert waits_for["workload-identity-operator"] == ["workload-identity-crds"]
    assert all(DOCUMENTS[name]["spec"]["wait"] for name in waits_for if name != "workload-identity")
    assert DOCUMENTS["workload-identity-crds"]["spec"]["prune"] is False
