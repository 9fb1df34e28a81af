"""A test is asked for, waited for, and its verdict is the exit code."""

import asyncio

import pytest
from cli_cases import FakeClient, condition, config

from wi_operator.cli import connection_test
from wi_operator.cli.call import Reach
from wi_operator.cli.complaints import Complaint
from wi_operator.cli.connection_test import Target
from wi_operator.cli.exits import Exit
from wi_operator.cli.output import draw
from wi_operator.federation.diagnosis.table import ROWS

TARGET = Target("wic", "team-a", "azure")


def run(*items, seconds=5.0):
    """Answer a request with ``items``, one a look, the last one for ever; the annotation is echoed by those that have none."""
    left, asked = list(items), []

    def look(_):
        return left.pop(0) if len(left) > 1 else left[0]

    client = FakeClient({TARGET.path: look, ("PATCH", TARGET.path): lambda body: asked.append(body)})
    reach = Reach(client, "team-a", "team-a")
    told = []
    work = connection_test.run(reach, [TARGET], request="now", seconds=seconds, tell=told.append)
    verdicts = asyncio.run(work)
    assert asked == [{"metadata": {"annotations": {"identity.crewai.com/test-connection": "now"}}}]
    return verdicts, told


def answered(item):
    item["status"]["handshake"]["observedTestRequest"] = "now"
    return item


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(connection_test, "LOOK_SECONDS", 0.01)


def test_it_waits_for_the_echo():
    verdicts, told = run(config(), config(), answered(config()))
    assert connection_test.code_of(verdicts) is Exit.OK
    assert len(told) == 3
    assert told[0] == "waiting for the verdict on wic team-a/azure"


def test_an_echo_for_an_older_spec_is_no_verdict():
    verdicts, _ = run(answered(config(generation=2)), seconds=0.1)
    assert connection_test.code_of(verdicts) is Exit.NO_VERDICT
    assert "did not answer within 0.1 s" in draw(connection_test.render(verdicts, 0.1))


def test_a_failure_is_told_with_its_remedy(golden):
    row = next(row for row in ROWS if row.code == "AADSTS700213")
    told = row.diagnose(client_id="c0ffee00", issuer="https://i", subject="organization:x", audience="api://a").message
    bad = [condition("HandshakeSucceeded", "False", row.reason, told), condition("Ready", "False", row.reason, told)]
    verdicts, _ = run(answered(config(conditions=[condition("IssuerPublished"), *bad])))
    assert connection_test.code_of(verdicts) is Exit.BAD
    golden("test-wrong-subject", draw(connection_test.render(verdicts, 60)))


def test_a_failure_that_ready_bears_with_is_one():
    item = answered(config())
    item["status"]["handshake"]["errorCode"] = "AADSTS90033"
    verdicts, _ = run(item)
    assert connection_test.code_of(verdicts) is Exit.BAD
    assert verdicts[0].reason == next(row.reason for row in ROWS if row.code == "AADSTS90033")
    assert "Ready stays True" in verdicts[0].message


def test_what_names_no_object_is_refused():
    assert connection_test.parse_target("WorkloadIdentityConfig/azure", "n") == Target("wic", "n", "azure")
    for text in ("azure", "pod/azure", "wic/"):
        with pytest.raises(Complaint, match="names no object") as told:
            connection_test.parse_target(text, "n")
        assert told.value.code is Exit.USAGE


def test_an_empty_namespace_is_told():
    reach = Reach(FakeClient({}), "empty", "empty")
    with pytest.raises(Complaint, match="nothing to test in namespace 'empty'"):
        asyncio.run(connection_test.find_targets(reach, []))
