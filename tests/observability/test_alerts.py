"""Every alert of the chart, evaluated by promtool: it fires where it should and is quiet where it should be."""

import json
import re
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml

from wi_testkit.prometheus import run_promtool

ROOT = Path(__file__).parents[2]
FILE = ROOT / "charts/workload-identity-operator/files/alerts.yaml"
RUNBOOK = ROOT / "docs/operations/runbook.md"
ALERTS = {rule["alert"]: rule for group in yaml.safe_load(FILE.read_text())["groups"] for rule in group["rules"]}
DAY = 86400
CONFIGS = 'wi_objects{kind="WorkloadIdentityConfig",ready="%s",reason="%s",instance="%s"}'


def steady(value):
    return f"{value}+0x3000"


def rising(step):
    return f"0+{step}x3000"


def outcomes(name, *, failed, succeeded, label="outcome"):
    return {f'{name}{{{label}="failed"}}': rising(failed), f'{name}{{{label}="succeeded"}}': rising(succeeded)}


@dataclass
class Case:
    """Series under which an alert fires after ``minutes``, and others under which it does not."""

    alert: str
    fires: dict
    quiet: list
    minutes: int = 90
    labels: dict = field(default_factory=dict)
    words: dict = field(default_factory=dict)
    """Expression in the annotations → what it shows."""


def ready(process, *values):
    return {f'wi_process_ready{{process="{process}",instance="{n}"}}': steady(v) for n, v in enumerate(values)}


def down(alert, process):
    return Case(alert, ready(process, 0, 0), [ready(process, 0, 1), ready(process, 1, 1)])


HANDSHAKES, KICKOFFS = "wi_handshake_duration_seconds_count", "wi_kickoff_resolve_duration_seconds_count"
ADMISSION = 'wi_admission_review_duration_seconds_bucket{le="%s"}'
GRANTS = 'wi_issuer_answer_duration_seconds_bucket{door="grants",le="%s"}'
PERCENT, VALUE, DURATION = "{{ $value | humanizePercentage }}", "{{ $value }}", "{{ $value | humanizeDuration }}"
AGE, INTERVAL = "wi_signing_key_age_seconds", "wi_signing_key_rotation_interval_seconds"
USED = 'wi_federated_credentials_in_use{tenant="t",client="c",instance="%s"}'
GRANT_LEAF = 'wi_certificate_expiry_timestamp_seconds{certificate="issuer-grants",instance="%s"}'
LEAF_LABELS = {"certificate": "issuer-grants"}
LEAF_WORDS = {"{{ $labels.certificate }}": "issuer-grants"}

CASES = [
    Case(
        "WorkloadIdentityHandshakesFailing",
        outcomes(HANDSHAKES, failed=3, succeeded=1),
        [outcomes(HANDSHAKES, failed=1, succeeded=3), outcomes(HANDSHAKES, failed=0, succeeded=0)],
        words={PERCENT: "75%"},
    ),
    Case(
        "WorkloadIdentityNotReady",
        # Two replicas see the same object: it is counted once.
        {CONFIGS % ("False", "SubjectMismatch", n): steady(2) for n in "ab"},
        [
            {CONFIGS % ("True", "Succeeded", "a"): steady(5)},
            {CONFIGS % ("False", "NotSupportedYet", "a"): steady(1)},
            {CONFIGS % ("False", "SubjectMismatch", "a"): "1+0x30 0+0x3000"},
        ],
        labels={"kind": "WorkloadIdentityConfig", "reason": "SubjectMismatch"},
        words={
            VALUE: "2", "{{ $labels.reason }}": "SubjectMismatch", "{{ $labels.kind }}": "WorkloadIdentityConfig",
        },
    ),
    Case(
        "WorkloadIdentityIssuerNotPublished",
        {"wi_jwks_published_match": steady(0)},
        [{"wi_jwks_published_match": steady(1)}, {"wi_controller_leader": steady(1)}],
    ),
    Case("WorkloadIdentityKeyLost", {"wi_issuer_key_lost": steady(1)}, [{"wi_issuer_key_lost": steady(0)}]),
    Case(
        "WorkloadIdentityNoSigningKey",
        {"wi_issuer_published_keys": steady(0), "wi_issuer_key_lost": steady(0)},
        [
            {"wi_issuer_published_keys": steady(1), "wi_issuer_key_lost": steady(0)},
            {"wi_issuer_published_keys": steady(0), "wi_issuer_key_lost": steady(1)},
        ],
    ),
    Case(
        "WorkloadIdentityKeyAge",
        {AGE: steady(114 * DAY), INTERVAL: steady(90 * DAY)},
        [
            {AGE: steady(100 * DAY), INTERVAL: steady(90 * DAY)},
            {AGE: steady(200 * DAY), INTERVAL: steady(0)},  # rotated by hand
        ],
        words={DURATION: "114d 0h 0m 0s"},
    ),
    Case(
        "WorkloadIdentityKeyAge",
        {AGE: steady(401 * DAY), INTERVAL: steady(0)},
        [{AGE: steady(0), INTERVAL: steady(0)}],
        words={DURATION: "401d 0h 0m 0s"},
    ),
    Case(
        "WorkloadIdentityPolicyNotInForce",
        {'wi_issuer_organization_policy_in_force{instance="a"}': steady(1),
         'wi_issuer_organization_policy_in_force{instance="b"}': steady(0)},
        [{"wi_issuer_organization_policy_in_force": steady(1)}],
    ),
    Case(
        "WorkloadIdentityOrganizationsDisputed",
        {"wi_issuer_organizations_disputed": steady(2)},
        [{"wi_issuer_organizations_disputed": steady(0)}],
        words={VALUE: "2"},
    ),
    Case(
        "WorkloadIdentityCertificateExpiring",
        {GRANT_LEAF % "a": steady(90 * 60 + 19 * DAY), GRANT_LEAF % "b": steady(80 * DAY)},
        [{GRANT_LEAF % "a": steady(31 * DAY)}],
        labels=LEAF_LABELS,
        words=LEAF_WORDS | {DURATION: "19d 0h 0m 0s"},
    ),
    Case(
        "WorkloadIdentityCertificateExpired",
        {GRANT_LEAF % "a": steady(90 * 60 + 2 * DAY)},
        [{GRANT_LEAF % "a": steady(5 * DAY)}],
        labels=LEAF_LABELS,
        words=LEAF_WORDS | {DURATION: "2d 0h 0m 0s"},
    ),
    Case(
        "WorkloadIdentityWatchSilent",
        {'wi_watch_last_proof_timestamp_seconds{resource="namespaces"}': steady(60)},
        [
            {'wi_watch_last_proof_timestamp_seconds{resource="namespaces"}': rising(60)},
            {"wi_controller_unseen_changes": steady(0)},
        ],
        labels={"resource": "namespaces"},
    ),
    Case(
        "WorkloadIdentityWatchSilent",
        # The process restarts at once: the alert must still be seen.
        {"wi_controller_unseen_changes": "0+0x80 3 3 0+0x3000"},
        [{"wi_controller_unseen_changes": "0+0x40 3 3 0+0x3000"}],
    ),
    Case(
        "WorkloadIdentityKickoffsFailing",
        outcomes(KICKOFFS, failed=1, succeeded=3),
        [outcomes(KICKOFFS, failed=1, succeeded=30), outcomes(KICKOFFS, failed=0.1, succeeded=0.1)],
        words={PERCENT: "25%"},
    ),
    down("WorkloadIdentityAdmissionDown", "webhook"),
    Case("WorkloadIdentityAdmissionDown", {"up": steady(1)}, [ready("webhook", 1)]),
    Case(
        "WorkloadIdentityAdmissionSlow",
        {ADMISSION % "0.1": rising(0), ADMISSION % "0.5": rising(10), ADMISSION % "+Inf": rising(10)},
        [{ADMISSION % "0.002": rising(10), ADMISSION % "0.5": rising(10), ADMISSION % "+Inf": rising(10)}],
        words={DURATION: "496ms"},
    ),
    down("WorkloadIdentityIssuerDown", "issuer"),
    Case(
        "WorkloadIdentityIssuerSlow",
        {GRANTS % "0.5": rising(0), GRANTS % "2.5": rising(10), GRANTS % "+Inf": rising(10)},
        [{GRANTS % "0.01": rising(10), GRANTS % "0.5": rising(10), GRANTS % "+Inf": rising(10)}],
        words={DURATION: "2.4s"},
    ),
    Case(
        "WorkloadIdentityTokenReviewsFailing",
        {'wi_token_reviews_total{outcome="unavailable"}': rising(1), 'wi_token_reviews_total{outcome="accepted"}': rising(1)},
        [{'wi_token_reviews_total{outcome="unavailable"}': rising(0), 'wi_token_reviews_total{outcome="accepted"}': rising(9)}],
        words={PERCENT: "50%"},
    ),
    down("WorkloadIdentityControllerDown", "controller"),
    Case(
        "WorkloadIdentityNoLeader",
        {'wi_controller_leader{instance="a"}': steady(0), 'wi_controller_leader{instance="b"}': steady(0)},
        [{'wi_controller_leader{instance="a"}': steady(0), 'wi_controller_leader{instance="b"}': steady(1)}],
    ),
    Case(
        "WorkloadIdentityControllerBehind",
        {"wi_controller_queue_lag_seconds": steady(600)},
        [{"wi_controller_queue_lag_seconds": steady(20)}],
        words={DURATION: "10m 0s"},
    ),
    Case(
        "WorkloadIdentityFederatedCredentialsNearLimit",
        {USED % "a": steady(18), USED % "b": steady(18), "wi_federated_credentials_limit": steady(20)},
        [{USED % "a": steady(17), "wi_federated_credentials_limit": steady(20)}],
        labels={"tenant": "t", "client": "c"},
        words={VALUE: "18", "{{ $labels.client }}": "c", "{{ $labels.tenant }}": "t"},
    ),
]  # fmt: skip


def test_every_alert_has_a_case():
    assert {case.alert for case in CASES} == set(ALERTS)


def rendered(case):
    """The alert as promtool has to see it."""
    rule = ALERTS[case.alert]
    annotations = dict(rule["annotations"])
    for name, text in annotations.items():
        for expression, shown in case.words.items():
            text = text.replace(expression, shown)
        assert "{{" not in text, f"{case.alert}: {text}"
        annotations[name] = text
    return {"exp_labels": {**rule["labels"], **case.labels}, "exp_annotations": annotations}


def scene(case, series, expected, minutes):
    return {
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "alert_rule_test": [{"eval_time": f"{minutes}m", "alertname": case.alert, "exp_alerts": expected}],
    }


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.alert)
def test_it_fires_and_is_quiet(case, tmp_path):
    scenes = [scene(case, case.fires, [rendered(case)], case.minutes)]
    scenes += [scene(case, series, [], case.minutes) for series in case.quiet]
    # Before its time has passed it is only pending.
    scenes.append(scene(case, case.fires, [], 0))
    file = tmp_path / "test.json"
    file.write_text(json.dumps({"rule_files": [str(FILE)], "evaluation_interval": "1m", "tests": scenes}))
    code, told = run_promtool("test", "rules", str(file))
    assert code == 0, told


def test_promtool_accepts_the_file():
    code, told = run_promtool("check", "rules", "--lint=all", "--lint-fatal", str(FILE))
    assert code == 0, told


@pytest.mark.parametrize("name", ALERTS)
def test_every_alert_says_what_is_wrong_how_bad_it_is_and_where_to_read_on(name):
    rule = ALERTS[name]
    assert rule["labels"]["severity"] in {"critical", "warning"}
    assert set(rule["annotations"]) == {"summary", "description", "runbook_url"}
    page, _, anchor = rule["annotations"]["runbook_url"].partition("#")
    assert ROOT / page == RUNBOOK
    headings = re.findall(r"^## (\w+)$", RUNBOOK.read_text(), re.MULTILINE)
    assert anchor == name.lower()
    assert name in headings


def test_the_runbook_has_no_heading_without_an_alert():
    headings = re.findall(r"^## (WorkloadIdentity\w+)$", RUNBOOK.read_text(), re.MULTILINE)
    assert headings == list(ALERTS)
