"""Every key that the code writes into logs is documented, and no documented one is forgotten."""

import ast
from pathlib import Path

import pytest

import wi_operator
from wi_operator.core.log_keys import COMMON, KEYS

SOURCES = sorted(Path(wi_operator.__file__).parent.rglob("*.py"))
WRITERS = {
    "fields": set(),
    "bound": set(),
    "_tell": set(),
    "issue_assertion": {"issuer", "audience", "now", "lifetime"},
}
"""Calls whose keywords become keys, and the keywords that do not."""
DYNAMIC = {"container", "source", "ms"}
"""Of a kickoff, passed on as a dict."""


def keys_of(file):
    for node in ast.walk(ast.parse(file.read_text())):
        if not isinstance(node, ast.Call):
            continue
        name = getattr(node.func, "id", None) or getattr(node.func, "attr", None)
        if name in WRITERS:
            yield from {word.arg for word in node.keywords if word.arg} - WRITERS[name]


@pytest.fixture(scope="module")
def written():
    return {key for file in SOURCES for key in keys_of(file)}


def test_every_key_is_documented(written):
    assert written - set(KEYS) == set()


def test_every_documented_key_is_written(written):
    assert set(KEYS) - set(COMMON) - {"exception"} - DYNAMIC - written == set()
