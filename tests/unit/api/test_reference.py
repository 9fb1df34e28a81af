"""The grammar of a reference: what it means, and what is said about a wrong one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wi_operator.api.reference import MalformedReferenceError, Reference, azure_secret_name, is_variable_name, parse

VERSION = "0123456789abcdef0123456789abcdef"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("secret://demo/db-password", Reference("demo", "db-password")),
        ("secret:///db-password", Reference("", "db-password")),
        (f"secret://demo/x?version={VERSION}", Reference("demo", "x", VERSION)),
        ("secret://demo/x#user", Reference("demo", "x", "", "user")),
        (f"secret://demo/x?version={VERSION}#a.b", Reference("demo", "x", VERSION, "a.b")),
        ("secret://demo/x#a%23b", Reference("demo", "x", "", "a#b")),
        ("secret://demo/x#a/b", Reference("demo", "x", "", "a/b")),
        ("secret://my.team-1/x", Reference("my.team-1", "x")),
    ],
)
def test_a_well_formed_reference_is_read(text, expected):
    assert parse(text) == expected


@pytest.mark.parametrize(
    ("text", "position", "said"),
    [
        ("vault://demo/x", 0, "the scheme must be secret://"),
        ("secret://demo", 13, "write secret://demo/<secret-name>"),
        ("secret://demo/", 14, "secret's name is empty"),
        ("secret://Demo/x", 9, "is not the name of a SecretProviderCredential"),
        ("secret://demo/x#k?version=1", 17, "write secret://demo/x?version=1#k"),
        ("secret://demo/x?v=1", 16, "only version=<version> is known"),
        ("secret://demo/x?version=", 16, "only version=<version> is known"),
        ("secret://demo/x?version=1&a=b", 16, "only version=<version> is known"),
        ("secret://demo/a/b", 15, "a slash in the secret's name"),
        ("secret://demo/x#", 16, "JSON key is empty"),
        ("secret://demo/%zz", 14, "two hexadecimal digits"),
        ("secret://demo/%ff", 14, "not UTF-8"),
        ("secret://demo/a b", 15, "blank or control character"),
    ],
)
def test_a_malformed_reference_names_position_and_form(text, position, said):
    with pytest.raises(MalformedReferenceError) as refused:
        parse(text)
    assert refused.value.position == position
    assert said in str(refused.value)


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused_at_a_position_inside_it(text):
    def read() -> int:
        try:
            return len(parse("secret://" + text).secret)
        except MalformedReferenceError as error:
            return error.position

    assert 0 <= read() <= len("secret://" + text)


def test_underscores_become_hyphens_in_key_vault():
    assert azure_secret_name(parse("secret://demo/db_password")) == "db-password"


@pytest.mark.parametrize("text", ["secret://demo/a.b", "secret://demo/" + "x" * 128, "secret://demo/x?version=7"])
def test_what_key_vault_cannot_hold_is_refused(text):
    with pytest.raises(MalformedReferenceError):
        azure_secret_name(parse(text))


@pytest.mark.parametrize(("name", "is_one"), [("A", True), ("_a1", True), ("1A", False), ("A-B", False), ("", False)])
def test_variable_names_begin_with_a_letter_or_underscore(name, is_one):
    assert is_variable_name(name) is is_one
