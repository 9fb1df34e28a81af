"""Log lines are one JSON object each and hold no foreign exception text."""

import io
import json
import logging

import pytest

from wi_operator.core.log import bound, configure, encode_entry, fields
from wi_operator.core.log_quickly import encode_quickly


def written(act, **options) -> dict:
    stream = io.StringIO()
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    try:
        configure("INFO", stream, **options)
        act(logging.getLogger("test"))
    finally:
        root.handlers[:], root.level = before, level
    (line,) = stream.getvalue().splitlines()
    return json.loads(line)


def test_fields_stand_beside_the_message():
    entry = written(lambda log: log.info("hello", extra=fields(pod="p", count=2)))
    assert (entry["message"], entry["level"], entry["pod"], entry["count"]) == ("hello", "info", "p", 2)


def test_bound_fields_stand_on_every_line_inside_and_on_none_outside():
    def act(log):
        with bound(kickoff="1"), bound(more="2"):
            log.info("inside")

    entry = written(act)
    assert (entry["kickoff"], entry["more"]) == ("1", "2")
    assert "kickoff" not in written(lambda log: log.info("outside"))


def test_an_exception_is_named_and_not_quoted():
    def act(log):
        try:
            raise ValueError("planted-not-a-real-secret")
        except ValueError:
            log.exception("failed")

    entry = written(act)
    assert entry["exception"] == "ValueError"
    assert "planted" not in json.dumps(entry)


@pytest.mark.parametrize(
    "entry",
    [
        {"message": "plain", "count": 2, "ready": True, "nothing": None, "seconds": 0.25},
        {"message": 'quotes " and \\ and\nlines\x00', "secrets": [{"variable": "A"}, {"variable": "é✓"}]},
        {"message": "an object of no JSON type", "error": ValueError("text")},
        {"message": "a lone surrogate \udc80"},
        {"message": "a large number", "count": 2**70},
    ],
    ids=lambda entry: entry["message"][:16],
)
def test_both_encoders_write_the_same(entry):
    text = encode_quickly(entry)
    assert json.loads(text) == json.loads(encode_entry(entry))
    assert "\n" not in text


def test_who_configures_an_encoder_gets_its_lines():
    entry = written(lambda log: log.info("hello"), encode=lambda entry: json.dumps({"only": entry["message"]}))
    assert entry == {"only": "hello"}
