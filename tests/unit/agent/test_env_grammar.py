"""The kubelet's file: what is written reads back as it was meant, and no value makes another variable."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wi_operator.agent.env_grammar import LINE_BYTES, EnvFileError, check_file, find_problem, parse, render

names = st.sampled_from(["A", "B", "LONG_NAME", "_x"])
texts = st.text(st.sampled_from("ab'\n\r\0=# \t$(\\\"ü\u2028\x0b\x85"), max_size=20)


@settings(max_examples=800)
@given(st.dictionaries(names, texts, max_size=4))
def test_what_is_written_reads_back_or_is_refused(values):
    if any(find_problem(value) for value in values.values()):
        with pytest.raises(EnvFileError):
            render(values)
        return
    text = render(values)
    assert parse(text) == values
    # A second reading, by the grammar's own shape: name, quote, anything but a quote, quote.
    assert dict(re.findall(r"^(\w+)='([^']*)'\n", text, re.MULTILINE)) == values


QUOTED = ["x'\nPATH='/evil", "'", "a'#", "x' ", "x'\nB='"]


@pytest.mark.parametrize("value", [value.replace("'", '"') for value in QUOTED])
def test_the_same_text_without_the_quote_is_one_value(value):
    assert parse(render({"A": "kept", "B": value})) == {"A": "kept", "B": value}


@pytest.mark.attack(twin="test_the_same_text_without_the_quote_is_one_value")
@pytest.mark.parametrize("value", QUOTED)
def test_a_quote_never_makes_another_variable(value):
    assert "single quote" in find_problem(value)
    with pytest.raises(EnvFileError) as refused:
        render({"A": "kept", "B": value})
    assert str(refused.value) == "B: it holds a single quote"


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("", "empty"),
        ("a\rb", "carriage return"),
        ("a\0b", "NUL"),
        ("x" * (LINE_BYTES + 1), "larger"),
        ("x\n" * 70_000, "larger"),
        ("x" * LINE_BYTES, ""),
        ("a b\n# c\n\n=$(X)\\", ""),
    ],
)
def test_what_a_file_cannot_carry(value, problem):
    found = find_problem(value)
    assert bool(found) == bool(problem)
    assert problem in found


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("A='1' # note\n\n  # a comment\n\tB='2'", {"A": "1", "B": "2"}),
        ("A='1'\nA='2'\n", {"A": "1"}),
        ("A= '1'\n", {"A": ""}),
        ("A='one\r\ntwo'\r\n", {"A": "one\ntwo"}),
    ],
)
def test_files_of_others_read_as_the_kubelet_reads_them(text, values):
    assert parse(text) == values


@pytest.mark.parametrize("text", ["A", "=1", "A ='1'", "A=1", 'A="1"', "A='1", "A='1'x", "A='" + "x" * 70_000 + "'"])
def test_what_the_kubelet_refuses(text):
    with pytest.raises(EnvFileError):
        parse(text)


def test_a_file_that_says_something_else_is_found(tmp_path):
    path = tmp_path / "app.env"
    path.write_text("A='1'\nB='2'\n")
    check_file(str(path), {"A": "1", "B": "2"})
    for wanted in ({"A": "1"}, {"A": "1", "B": "3"}, {"A": "1", "B": "2", "C": "3"}):
        with pytest.raises(EnvFileError, match=r"app\.env does not read"):
            check_file(str(path), wanted)
