"""The split of env: against a model of the kubelet and the launcher, and case by case."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wi_operator.admission import declaration
from wi_operator.admission.expansion import escape, escape_variables, expand, find_variables
from wi_operator.admission.extraction import extract
from wi_operator.admission.keeping import KEPT_LENGTH

SECRETS = {"secret://demo/a": "s3cr$(P)et", "secret://demo/b": "$$x", "secret:///c": "multi\nline"}
_TOKEN = re.compile(r"\$\$|\$\(([^)]*)\)|\$.?|[^$]", re.DOTALL)


def model_expand(text, values):
    """Kubernetes' syntax written down a second time, as a grammar."""

    def replace(match):
        if match.group() == "$$":
            return "$"
        if match.group(1) is None:
            return match.group()
        return values.get(match.group(1), match.group())

    return _TOKEN.sub(replace, text)


def model_kubelet(env):
    """The environment that the kubelet makes: in order, each entry sees those before it."""
    values = {}
    for name, text in env:
        values[name] = model_expand(text, values)
    return values


def as_env(pairs):
    return [{"name": name, "value": value} for name, value in pairs]


def deliver(pairs, image):
    """The environment of the application: kubelet, then launcher."""
    result = extract(as_env(pairs), has_env_from=False)
    rest = [pair for index, pair in enumerate(pairs) if index not in result.taken]
    environment = {**image, **model_kubelet(rest)}
    for entry in result.entries:
        environment[entry.name] = model_expand(entry.text, environment) if entry.is_template else SECRETS[entry.text]
    return result, environment


names = st.sampled_from(["A", "B", "C", "P", "HOME"])
pieces = st.sampled_from(
    ["$(A)", "$(B)", "$(C)", "$(P)", "$(HOME)", "$(NOPE)", "$$(A)", "$$", "$", "(", ")", "$(", "x", "$($(A)", "$()"]
)
plain = st.lists(pieces, max_size=5).map("".join)
values = st.one_of(plain, st.sampled_from(sorted(SECRETS)))
envs = st.lists(st.tuples(names, values), max_size=7)


@settings(max_examples=600, deadline=None)
@given(envs)
def test_the_application_sees_what_kubernetes_would_have_made(pairs):
    image = {"HOME": "/image"}
    wanted = {**image, **model_kubelet([(n, escape(SECRETS[v]) if v in SECRETS else v) for n, v in pairs])}
    result, environment = deliver(pairs, image)
    if not result.problems:
        assert environment == wanted


@settings(max_examples=300, deadline=None)
@given(envs)
def test_nothing_is_left_to_take_out(pairs):
    result = extract(as_env(pairs), has_env_from=False)
    rest = [pair for index, pair in enumerate(pairs) if index not in result.taken]
    assert extract(as_env(rest), has_env_from=False).taken == ()


@settings(max_examples=300, deadline=None)
@given(plain, st.dictionaries(names, st.text(max_size=3)))
def test_expansion_agrees_with_the_grammar(text, known):
    assert expand(text, known) == model_expand(text, known)


@given(st.text(max_size=20), st.dictionaries(names, st.text(max_size=3)))
def test_escaped_text_expands_to_itself(text, known):
    assert model_expand(escape(text), known) == text


@given(plain)
def test_escaped_variables_expand_as_if_unknown(text):
    present = {variable.name for variable in find_variables(text)}
    assert model_expand(escape_variables(text, present), dict.fromkeys(present, "!")) == model_expand(text, {})


@pytest.mark.parametrize(
    ("pairs", "entries", "left"),
    [
        pytest.param([("A", "secret://demo/a")], [("A", "secret://demo/a", False)], [], id="reference"),
        pytest.param(
            [("A", "secret://demo/a"), ("B", "x$(A)")],
            [("A", "secret://demo/a", False), ("B", "x$(A)", True)],
            [],
            id="template",
        ),
        pytest.param(
            [("A", "secret://demo/a"), ("B", "$(A)"), ("C", "$(B)")],
            [("A", "secret://demo/a", False), ("B", "$(A)", True), ("C", "$(B)", True)],
            [],
            id="transitive",
        ),
        pytest.param([("B", "$(A)"), ("A", "secret://demo/a")], [("A", "secret://demo/a", False)], [0], id="before"),
        pytest.param([("A", "secret://demo/a"), ("B", "$$(A)")], [("A", "secret://demo/a", False)], [1], id="escaped"),
        pytest.param(
            [("A", "secret://demo/a"), ("B", "$(A)$(P)"), ("P", "p")],
            [("A", "secret://demo/a", False), ("B", "$(A)$$(P)", True)],
            [2],
            id="defined-later",
        ),
        pytest.param(
            [("A", "secret://demo/a"), ("B", "$(A)$(HOME)")],
            [("A", "secret://demo/a", False), ("B", "$(A)$$(HOME)", True)],
            [],
            id="known-to-the-image-only",
        ),
        pytest.param(
            [("A", "secret://demo/a"), ("B", "$(A)$(DB_SERVICE_HOST)")],
            [("A", "secret://demo/a", False), ("B", "$(A)$(DB_SERVICE_HOST)", True)],
            [],
            id="service-variable",
        ),
        pytest.param([("A", "secret://demo/a"), ("A", "plain")], [], [1], id="overwritten-is-dead"),
        pytest.param(
            [("A", "plain"), ("A", "secret://demo/a")], [("A", "secret://demo/a", False)], [0], id="last-wins"
        ),
        pytest.param([("A", "plain"), ("B", "$(A)")], [], [0, 1], id="no-reference"),
    ],
)
def test_split(pairs, entries, left):
    result = extract(as_env(pairs), has_env_from=False)
    assert [(e.name, e.text, e.is_template) for e in result.entries] == entries
    assert [index for index in range(len(pairs)) if index not in result.taken] == left
    assert result.problems == ()


@pytest.mark.parametrize(
    ("pairs", "problem"),
    [
        ([("my.var", "secret://demo/a")], "InvalidVariableName: "),
        ([("A", "secret://demo/a"), ("my.var", "$(A)")], "InvalidVariableName: "),
        ([("A", "secret://demo")], r"position 13\. Write secret://demo/<secret-name>"),
        ([("A", "secret://demo/$(STAGE)")], r"cannot hold \$\(STAGE\)"),
        ([("A", "secret://demo/a"), ("B", "$(A)"), ("A", "x")], "set more than once"),
        ([("P", "1"), ("A", "secret://demo/a"), ("B", "$(A)$(P)"), ("P", "2")], "set more than once"),
    ],
)
def test_refused(pairs, problem):
    (found,) = extract(as_env(pairs), has_env_from=False).problems
    assert re.search(problem, found.tell("container 'app'"))


def test_env_from_may_know_a_name_that_env_does_not_define():
    pairs = [("A", "secret://demo/a"), ("B", "$(A)$(ELSEWHERE)$(B)")]
    assert extract(as_env(pairs), has_env_from=True).entries[1].text == "$(A)$(ELSEWHERE)$(B)"


def test_value_from_is_not_text():
    env = [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}, *as_env([("B", "secret:///b")])]
    assert extract(env, has_env_from=False).taken == (1,)


def test_what_is_remembered_of_an_env_holds_no_literal_of_the_user():
    first, second = (
        extract(as_env([("A", text), ("B", "secret:///b")]), has_env_from=False) for text in ("one", "two")
    )
    assert second is first  # a literal that mattered would make them differ


def test_an_env_beyond_what_is_remembered_is_read_all_the_same():
    pairs = [("A", "secret:///a"), ("B", "$(A)" * KEPT_LENGTH)]
    first, second = (extract(as_env(pairs), has_env_from=False) for _ in range(2))
    assert first == second
    assert second is not first
    assert [entry.name for entry in first.entries] == ["A", "B"]


def test_the_kubelet_leaves_a_declaration_alone():
    entries = (declaration.Entry("A", "secret://demo/a#$x"), declaration.Entry("B", "$(A) $$(P) é", is_template=True))
    text = declaration.write({"app": entries})
    # Without the escape "$$(P)" would reach the sidecar as "$(P)".
    assert model_expand(text, {"A": "!", "P": "!"}) == text
    assert declaration.read(text) == {"app": entries}


@pytest.mark.parametrize("text", ["", "{}", "[]", "nonsense", '{"version":2,"containers":{}}', '{"version":1}'])
def test_a_foreign_declaration_is_none(text):
    assert declaration.read(text) is None
