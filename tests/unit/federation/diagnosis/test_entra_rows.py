"""Judging of Entra's answers."""

import json

import pytest

from wi_operator.federation.diagnosis import entra
from wi_operator.federation.diagnosis.base import Retry

FACTS = {
    "issuer": "https://oidc.example.test",
    "subject": "organization:1",
    "audience": "api://AzureADTokenExchange",
    "client_id": "11111111-0000-0000-0000-000000000000",
    "tenant_id": "22222222-0000-0000-0000-000000000000",
    "scope": "https://vault.azure.net/.default",
}
SENTENCE = "AADSTS700213: No matching federated identity record found for presented assertion subject 'x'."
SPACED = " Trace ID: aaaa-1 Correlation ID: bbbb-2 Timestamp: 2026-01-18 00:16:16Z"
BROKEN = "\r\nTrace ID: aaaa-1\r\nCorrelation ID: bbbb-2\r\nTimestamp: 2022-01-18 00:16:16Z"


def body(description=SENTENCE + SPACED, **members):
    return json.dumps({"error": "invalid_client", "error_description": description, **members}).encode()


def judge(status=401, data=None, **rest):
    return entra.diagnose(status, body() if data is None else data, **{**FACTS, **rest})


def test_the_row_is_found_by_the_listed_code():
    diagnosis = judge(data=body("no code in here", error_codes=[700213]))
    assert (diagnosis.reason, diagnosis.code) == ("SubjectMismatch", "AADSTS700213")


def test_the_row_is_found_by_the_text_without_a_list():
    assert judge().code == "AADSTS700213"


def test_the_first_known_code_of_several_decides():
    assert judge(data=body("x", error_codes=[70002, 700213])).code == "AADSTS700213"


@pytest.mark.parametrize("trailer", [SPACED, BROKEN])
def test_the_trailer_is_cut_and_its_ids_kept(trailer):
    diagnosis = judge(data=body(SENTENCE + trailer))
    assert diagnosis.text == SENTENCE
    assert (diagnosis.trace_id, diagnosis.correlation_id) == ("aaaa-1", "bbbb-2")


def test_ids_of_the_body_go_before_those_of_the_text():
    assert judge(data=body(trace_id="cccc-3")).trace_id == "cccc-3"


def test_the_message_is_the_same_at_every_try():
    first = judge(data=body(SENTENCE + SPACED, trace_id="1", timestamp="a"))
    second = judge(data=body(SENTENCE + SPACED.replace("aaaa", "zzzz"), trace_id="2", timestamp="b"))
    assert first.message == second.message


def test_the_remedy_has_exact_values_and_the_command():
    message = judge().message
    for value in (FACTS["issuer"], FACTS["subject"], FACTS["audience"], FACTS["client_id"]):
        assert value in message
    start = message.index("--parameters '") + len("--parameters '")
    parameters = json.loads(message[start : message.index("'", start)])
    assert parameters["issuer"] == FACTS["issuer"]
    assert parameters["subject"] == FACTS["subject"]
    assert parameters["audiences"] == [FACTS["audience"]]


def test_a_fact_that_is_missing_shows_as_its_name():
    assert "<issuer>" in entra.diagnose(401, body()).message


@pytest.mark.parametrize(
    ("now", "start", "end", "expected"),
    [
        ("23:52:19.6223401Z", "23:57:19.0000000Z", "23:59:00Z", "our clock is ahead of Entra's by about 5 min"),
        ("23:52:19Z", "20:00:00Z", "23:51:49Z", "it ended about 30 s before Entra's time"),
        ("23:52:19Z", "20:00:00Z", "20:10:00Z", "it ended about 4 h before Entra's time"),
        ("23:52:19Z", "20:00:00Z", "23:59:00Z", "outside its time of validity."),
    ],
)
def test_a_skewed_clock_is_measured(now, start, end, expected):
    text = (
        f"AADSTS700024: Client assertion is not within its valid time range. Current time: 2023-12-11T{now}, assertion "
        f"valid from 2023-12-11T{start}, expiry time of assertion 2023-12-11T{end}. Review the documentation ."
    )
    diagnosis = judge(data=body(text, error_codes=[700024]))
    assert diagnosis.reason == "ClockSkew"
    assert expected in diagnosis.cause


def test_an_unknown_code_still_gives_code_text_and_trace():
    diagnosis = judge(data=body("AADSTS999999: Something new." + SPACED, error_codes=[999999]))
    assert (diagnosis.reason, diagnosis.code, diagnosis.trace_id) == ("IdentityRefused", "AADSTS999999", "aaaa-1")
    assert "AADSTS999999: Something new." in diagnosis.message


def test_without_a_code_oauths_error_is_shown():
    assert judge(data=b'{"error":"unsupported_grant_type"}').code == "unsupported_grant_type"


@pytest.mark.parametrize(
    ("status", "data", "reason", "retry"),
    [
        (429, b"Too Many Requests", "IdentityThrottled", Retry.TRANSIENT),
        (503, b"<html>", "IdentityUnavailable", Retry.TRANSIENT),
        (400, b'{"error":"temporarily_unavailable"}', "IdentityUnavailable", Retry.TRANSIENT),
        (400, b'{"error_codes":[90033],"error":"temporarily_unavailable"}', "IdentityUnavailable", Retry.TRANSIENT),
        (404, b"<html>", "IdentityAnswerUnreadable", Retry.CONFIG),
        (302, b"", "IdentityAnswerUnreadable", Retry.CONFIG),
    ],
)
def test_answers_without_a_code(status, data, reason, retry):
    diagnosis = judge(status, data)
    assert (diagnosis.reason, diagnosis.row.retry) == (reason, retry)


def test_retry_after_is_kept():
    assert judge(429, b"", retry_after=60.0).retry_after == 60.0


@pytest.mark.attack(twin="test_an_unknown_code_still_gives_code_text_and_trace")
@pytest.mark.parametrize(
    "data",
    [
        b"", b"\xff", b"[]", b"null", b"1", b"[" * 100_000, b'{"error":1,"error_description":[],"error_codes":"x"}',
        b'{"error_codes":[true,null,"700213",-1,1e99,{}]}', b'{"error_codes":{}}',
    ],
)  # fmt: skip
def test_any_body_is_judged(data):
    assert judge(data=data).reason


@pytest.mark.attack(twin="test_an_unknown_code_still_gives_code_text_and_trace")
def test_a_foreign_text_is_bounded_and_on_one_line():
    diagnosis = judge(data=body("AADSTS999999: a\r\nERROR forged\x1b[31m" + "x" * 5000))
    assert diagnosis.message.isprintable()
    assert len(diagnosis.text) < 900


@pytest.mark.attack(twin="test_an_unknown_code_still_gives_code_text_and_trace")
def test_a_foreign_text_is_no_template():
    assert "{client_id}" in judge(data=body("AADSTS999999: {client_id} {0.__class__}")).cause


@pytest.mark.parametrize("code", [700211, 700213, 7000272, 700024, 70025])
def test_refusals_of_the_assertion_are_known_as_such(code):
    assert entra.concerns_assertion(judge(data=body("x", error_codes=[code])))


@pytest.mark.parametrize("code", [700016, 90002, 500011, 53003])
def test_other_refusals_are_not(code):
    assert not entra.concerns_assertion(judge(data=body("x", error_codes=[code])))


REQUIRED = """700211 700212 700213 7002138 7002131 70021 70025 7000226 700222 50166 501661 90061 7000272 7000274 50027
5002723 5002727 5002738 90014 700024 700021 700027 50013 700016 7000229 7000112 90002 900023 900144 7000216 7000218 7000215
7000222 70011 1002012 70003 500011 650057 53003 90055 50196 90033 900382 900439 900440"""


def test_every_known_code_has_a_row():
    assert {f"AADSTS{code}" for code in REQUIRED.split()} <= set(entra.ROWS)
