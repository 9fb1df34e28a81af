"""Every query of the dashboard and every alert, asked of a real Prometheus that scrapes the running product."""

import json
import math
import re
from pathlib import Path

import pytest
import yaml

FILES = Path(__file__).parents[2] / "charts/workload-identity-operator/files"
DASHBOARD = json.loads((FILES / "dashboard.json").read_text())
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
QUERIES = [(panel["title"], target["expr"]) for panel in PANELS for target in panel["targets"]]
ALERTS = [rule for group in yaml.safe_load((FILES / "alerts.yaml").read_text())["groups"] for rule in group["rules"]]
SELECTOR = re.compile(r"\b(?:wi|process)_[a-z_]+(?:\{[^}]*\})?")
MOVING = {"$__rate_interval": "30s"}


def concrete(expression):
    for variable, text in MOVING.items():
        expression = expression.replace(variable, text)
    assert "$" not in expression
    return expression


def numbers(series):
    return [float(one["value"][1]) for one in series]


@pytest.mark.parametrize(("title", "expression"), QUERIES, ids=[f"{title}-{n}" for n, (title, _) in enumerate(QUERIES)])
def test_a_query_of_the_dashboard_has_a_result(prometheus, title, expression):
    found = numbers(prometheus.query(concrete(expression)))
    assert any(not math.isnan(number) for number in found), (expression, found)


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: rule["alert"])
def test_an_alert_is_asked_of_series_that_exist(prometheus, rule):
    prometheus.query(rule["expr"])
    for selector in SELECTOR.findall(rule["expr"]):
        assert prometheus.query(selector), selector


def test_prometheus_evaluates_every_alert_without_an_error(prometheus):
    rules = {rule["name"]: rule for rule in prometheus.rules()}
    assert set(rules) == {rule["alert"] for rule in ALERTS}
    assert {rule["health"] for rule in rules.values()} == {"ok"}, [rule.get("lastError") for rule in rules.values()]
    # What is wrong here is seen: a config that the cloud does not trust, and the short life of the test kit's certificate.
    wrong = {"WorkloadIdentityNotReady", "WorkloadIdentityCertificateExpiring"}
    shares = {"WorkloadIdentityHandshakesFailing", "WorkloadIdentityKickoffsFailing"}
    active = {name for name, rule in rules.items() if rule["state"] != "inactive"}
    assert wrong <= active <= wrong | shares


def test_rates_show_the_traffic_that_was_made(prometheus):
    def total(expression):
        return sum(numbers(prometheus.query(f"sum({expression})")))

    for expression in (
        'increase(wi_handshake_duration_seconds_count{outcome="succeeded"}[1m])',
        'increase(wi_handshake_failures_total{reason!="Other"}[1m])',
        'increase(wi_vault_check_failures_total{reason!="Other"}[1m])',
        'increase(wi_kickoff_resolve_duration_seconds_count{outcome="succeeded"}[1m])',
        'increase(wi_kickoff_failures_total{reason="SecretNotFound"}[1m])',
        'increase(wi_admission_reviews_total{outcome="changed"}[1m])',
        'increase(wi_admission_reviews_total{outcome="denied"}[1m])',
        'increase(wi_grants_total{outcome="unchanged"}[1m])',
        'increase(wi_issuer_answers_total{door="public"}[1m])',
    ):
        assert total(expression) > 0, expression


def test_every_panel_says_what_is_good_or_bad_and_what_to_do():
    for panel in PANELS:
        assert len(panel["description"]) > 60, panel["title"]
        assert panel["datasource"]["uid"] == "${datasource}"
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])


def test_no_panel_lies_over_another():
    taken = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken
        taken |= cells
    assert max(x for x, _ in taken) == 23
