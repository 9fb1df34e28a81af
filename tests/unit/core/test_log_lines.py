"""The log of a process: whole lines of JSON on standard error, whatever happens to it."""

import json
import subprocess
import sys

import pytest

from wi_operator.core import log
from wi_operator.core.log_keys import KEYS

RUN = """
import logging, sys
from wi_operator.core.log import configure, fields
configure("INFO")
logging.getLogger("a.b").info("told %d", 1, extra=fields(odd={1, }, text="\\ud800 ü"))
logging.getLogger("a.b").debug("not told")
try:
    raise ValueError("fake-secret")
except ValueError:
    logging.getLogger("a").exception("failed")
"""


def run(stderr):
    source = log.__file__.split("/wi_operator/", maxsplit=1)[0]
    return subprocess.run([sys.executable, "-c", RUN], env={"PYTHONPATH": source}, stderr=stderr, check=True)


def test_each_record_is_one_line_of_json_without_the_exceptions_text():
    lines = run(subprocess.PIPE).stderr.decode().splitlines()
    first, second = (json.loads(line) for line in lines)
    assert (first["logger"], first["message"], first["odd"], first["level"]) == ("a.b", "told 1", "{1}", "info")
    assert (second["exception"], "fake-secret" in lines[1]) == ("ValueError", False)


def test_nobody_listening_stops_nothing():
    with subprocess.Popen(["true"], stdin=subprocess.PIPE) as gone:
        gone.wait()
        assert run(gone.stdin).returncode == 0


@pytest.mark.parametrize("process", ["controller", "issuer", "webhook"])
def test_a_process_that_cannot_start_says_so_as_json(process):
    source = log.__file__.split("/wi_operator/", maxsplit=1)[0]
    command = [sys.executable, "-m", "wi_operator.main", process]
    done = subprocess.run(
        command, env={"PYTHONPATH": source, "WI_LOG_LEVEL": "LOUD"}, stderr=subprocess.PIPE, check=False
    )
    (line,) = done.stderr.decode().splitlines()
    entry = json.loads(line)
    assert (done.returncode, entry["level"], set(entry) - set(KEYS)) == (78, "error", set())
    assert "WI_LOG_LEVEL" in entry["error"]
