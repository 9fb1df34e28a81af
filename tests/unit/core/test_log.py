"""Log lines are one JSON object each and hold no foreign exception text."""

import io
import json
import logging

from wi_operator.core.log import bound, configure, fields


def written(act) -> dict:
    stream = io.StringIO()
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    try:
        configure("INFO", stream)
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
