"""From a secret's text to a variable's value."""

import pytest

from wi_operator.agent.values import extract
from wi_operator.api.reference import Reference
from wi_operator.core.secret import SecretValue
from wi_operator.federation.diagnosis.base import DiagnosedError


def value(text, key=""):
    return extract(SecretValue(text), Reference("demo", "s", "", key)).reveal()


@pytest.mark.parametrize("text", ["", "a b\n'\"=$(X)", "ü", "{not json", "x" * 25_000])
def test_without_a_key_the_text_is_the_value(text):
    assert value(text) == text


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ('{"k": "text"}', "text"),
        ('{"k": ""}', ""),
        ('{"k": 5432}', "5432"),
        ('{"k": 1e3}', "1e3"),
        ('{"k": true}', "true"),
        ('{"k": null}', "null"),
        ('{"k": {"a": [1, "ü"]}}', '{"a":[1,"ü"]}'),
        ('{"k": "a\\nb"}', "a\nb"),
        ('{"k": 1, "k": 2}', "2"),
    ],
)
def test_a_json_key_gives_text_or_compact_json(document, expected):
    assert value(document, "k") == expected


@pytest.mark.parametrize("number", ["12345678901234567890123", "0.10", "1E400", "-0", "9" * 5000])
def test_a_number_is_given_as_it_was_written(number):
    assert value(f'{{"k": {number}}}', "k") == number


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "ValueNotJson"),
        ("[1]", "ValueNotJson"),
        ('"k"', "ValueNotJson"),
        ('{"k": NaN}', "ValueNotJson"),
        ('{"k":' * 20_000, "ValueNotJson"),
        ('{"K": 1}', "JsonKeyNotFound"),
        ('{"k": "a\\u0000b"}', "ValueNotRepresentable"),
        ('{"k": "\\ud800"}', "ValueNotRepresentable"),
    ],
)
def test_what_has_no_value_is_told_without_the_value(text, reason):
    with pytest.raises(DiagnosedError) as caught:
        value(text, "k")
    assert caught.value.diagnosis.reason == reason
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("text", ["a\0b", "\ud800"])
def test_a_text_that_no_environment_holds_is_refused(text):
    with pytest.raises(DiagnosedError, match="ValueNotRepresentable"):
        value(text)
