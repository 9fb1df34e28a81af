"""The issuer's metrics: bounded, whatever sidecars and tenants write."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from wi_operator.federation.diagnosis.known import KNOWN
from wi_operator.issuer.metrics import LONGEST_MS, REPORTED, RequestMetrics, read_report


@pytest.fixture
def registry():
    return CollectorRegistry()


def labels(registry, name):
    return {
        value
        for family in registry.collect()
        if family.name == name
        for s in family.samples
        for value in s.labels.values()
    }


def test_a_report_is_counted_by_outcome_and_reason(registry):
    RequestMetrics(registry).count_kickoffs("succeeded 120,SecretNotFound 340, succeeded 80")
    name = "wi_kickoff_resolve_duration_seconds"
    assert registry.get_sample_value(f"{name}_count", {"outcome": "succeeded"}) == 2
    assert registry.get_sample_value(f"{name}_sum", {"outcome": "succeeded"}) == pytest.approx(0.2)
    assert registry.get_sample_value(f"{name}_count", {"outcome": "failed"}) == 1
    assert registry.get_sample_value("wi_kickoff_failures_total", {"reason": "SecretNotFound"}) == 1


@pytest.mark.parametrize(
    "report",
    ["", "succeeded", "succeeded -1", "succeeded 1.5", "12", "succeeded 9999999999", 'x"} 1', "a b 3", "\x00 1"],
)
def test_what_is_malformed_is_not_counted(report):
    assert read_report(report) == []


def test_a_report_is_bounded_in_length_and_time():
    assert read_report("succeeded 999999999") == [("succeeded", LONGEST_MS / 1000)]
    assert len(read_report("succeeded 1," * 5000)) == REPORTED


def test_hostile_reasons_share_one_label(registry):
    metrics = RequestMetrics(registry)
    for number in range(500):
        letters = "".join(chr(97 + int(digit)) for digit in str(number))
        metrics.count_kickoffs(f"Reason{letters} 5")
        metrics.count_grant(f"Reason{letters}")
    assert labels(registry, "wi_kickoff_failures") == {"Other"}
    assert labels(registry, "wi_grants") == {"Other"}
    counts = [s for family in registry.collect() for s in family.samples if s.name.endswith("_duration_seconds_count")]
    assert [sample.labels for sample in counts] == [{"outcome": "failed"}]


@given(st.lists(st.text(), max_size=20))
def test_no_report_makes_a_label_of_its_own(reports):
    registry = CollectorRegistry()
    metrics = RequestMetrics(registry)
    for report in reports:
        metrics.count_kickoffs(report)
    assert labels(registry, "wi_kickoff_failures") <= KNOWN | {"Other"}
