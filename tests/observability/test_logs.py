"""Every line that the processes have written is JSON with documented keys; runs after the traffic of the other tests."""

import json
from collections import Counter

import pytest

from wi_operator.core.log_keys import COMMON, KEYS

LEVELS = {"debug", "info", "warning", "error"}


@pytest.fixture(scope="module")
def logs(prometheus, scene, pod):
    lab = scene.site.lab
    texts = {name: lab.log(f"{name}-0").splitlines() for name in ("issuer", "webhook")}
    lines = {"controller": scene.controller, "sidecar": pod.started}
    return texts | {name: [json.dumps(line.entry) for line in list(started.lines)] for name, started in lines.items()}


@pytest.mark.parametrize("process", ["controller", "issuer", "webhook", "sidecar"])
def test_every_line_is_json_with_documented_keys(logs, process):
    assert logs[process]
    for text in logs[process]:
        entry = json.loads(text)
        assert set(COMMON) <= set(entry), text
        assert entry["level"] in LEVELS, text
        assert set(entry) <= set(KEYS), text


def test_a_key_has_one_type_wherever_it_stands(logs):
    kinds = Counter(
        (key, type(found).__name__)
        for lines in logs.values()
        for text in lines
        for key, found in json.loads(text).items()
    )
    keys = Counter(key for key, _ in kinds)
    assert [key for key, count in keys.items() if count > 1] == []


@pytest.mark.parametrize(
    ("process", "message"),
    [
        ("controller", "judged"),
        ("issuer", "assertion minted"),
        ("webhook", "/v1/mutate"),
        ("sidecar", "kickoff failed"),
    ],
)
def test_the_lines_that_the_page_asks_for_are_there(logs, process, message):
    messages = {json.loads(text)["message"] for text in logs[process]}
    assert any(message.removeprefix("/v1/") in each for each in messages), messages
