"""The grammar in the policy and the parser: the policy never refuses what the parser takes."""

import re
from pathlib import Path

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from wi_operator.api.reference import MalformedReferenceError, parse
from wi_operator.federation.diagnosis.base import Surface
from wi_operator.federation.diagnosis.table import ROWS

TEMPLATES = Path(__file__).parents[3] / "charts/workload-identity-operator/templates"
POLICY = TEMPLATES / "policy-literals.yaml"


def read_grammar():
    (policy,) = (
        document
        for document in yaml.safe_load_all(POLICY.read_text())
        if document["metadata"]["name"] == "wi-malformed-templates" and "matchConstraints" in document["spec"]
    )
    (text,) = (v["expression"] for v in policy["spec"]["variables"] if v["name"] == "grammar")
    # A raw CEL string; \x00 means the same to RE2 and here. RE2's $ is the end of the text, Python's is \Z.
    return re.compile(text.strip().removeprefix("r'").removesuffix("$'") + r"\Z")


GRAMMAR = read_grammar()
pieces = st.sampled_from(
    ["demo", "a", "/", "?version=", "?", "#", "%2F", "%", "%zz", "A", "-", ".", "_", " ", "=", "&", "é"]
)


@settings(max_examples=1500)
@given(st.lists(pieces, max_size=8).map("".join))
@example("demo/a?version=b#c/d e?f")
def test_what_parses_matches(rest):
    text = f"secret://{rest}"
    try:
        parse(text)
    except MalformedReferenceError:
        return
    assert GRAMMAR.match(text)


@pytest.mark.parametrize(
    "text",
    ["secret://", "secret://demo", "secret://demo/", "secret://Demo/a", "secret:///", "secret://-a/b", "secret://a/b/c",
     "secret://a/b?v=1", "secret://a/b?version=", "secret://a/b#", "secret://a/b%", "secret://a/b c", "secret://a/b\n"],
)  # fmt: skip
def test_what_is_malformed_does_not_match(text):
    assert not GRAMMAR.match(text)
    with pytest.raises(MalformedReferenceError):
        parse(text)


@pytest.mark.parametrize("name", ["policy-literals.yaml", "policy-use.yaml"])
def test_every_message_of_a_policy_begins_with_the_reason_of_a_row(name):
    reasons = {row.reason for row in ROWS if Surface.ADMISSION in row.surfaces}
    validations = [
        validation
        for document in yaml.safe_load_all((TEMPLATES / name).read_text())
        for validation in document["spec"].get("validations", ())
    ]
    assert validations
    for validation in validations:
        for text in (validation["message"], validation["messageExpression"].strip().lstrip("'")):
            assert text.partition(": ")[0] in reasons
