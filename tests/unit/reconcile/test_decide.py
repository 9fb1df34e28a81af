"""Judgement and rendering: hysteresis, write budget, statuses as kstatus reads them."""

import random

import pytest

from wi_operator.api.conditions import Condition, find_condition
from wi_operator.federation.diagnosis import entra, grants, keyvault, publication, transport
from wi_operator.federation.diagnosis.base import Diagnosis, Retry
from wi_operator.reconcile.decide import (
    ConfigOutcome,
    CredentialOutcome,
    Mirrored,
    Situation,
    Streak,
    decide_config,
    decide_credential,
    mirror,
)
from wi_operator.reconcile.events import render_event
from wi_operator.reconcile.render import render_status
from wi_operator.reconcile.store import asked_test

NOW = 1_795_000_000.0
FEDERATION = {"issuer": "https://issuer.example", "subject": "organization:x", "audience": "a", "organization": "x"}
BUSY = transport.diagnose(transport.Failure.SLOW, host="login.example", port=443, detail="5 s")


def entra_failure(code, trace="trace-1"):
    body = f'{{"error":"invalid_client","error_codes":[{code}],"trace_id":"{trace}","correlation_id":"corr"}}'
    return entra.diagnose(401, body.encode(), client_id="c", subject="s", issuer="i", audience="a", tenant_id="t")


PUBLISHED = "Fetched, and equal."
WRONG_SUBJECT = entra_failure(700213)
WRONG_APP = entra_failure(700016)


class Life:
    """One config through time, as the reconciler leads it; ``writes`` counts what reached the API server."""

    def __init__(self, kind="config"):
        self.item = {
            "metadata": {"name": "azure", "namespace": "a", "uid": "u", "resourceVersion": "1", "generation": 1}
        }
        self.streak, self.now, self.writes, self.events, self.kind = None, NOW, [], [], kind

    def check(self, outcome=None, *, after=0.0, restarted=False, issuer=PUBLISHED):
        self.now += after
        if restarted:
            self.streak = None
        record = self.item.get("status", {}).get("handshake", {})
        asked = asked_test(self.item) != record.get("observedTestRequest", "")
        situation = Situation.of(self.item, self.streak, now=self.now, recheck_seconds=600, asked=asked)
        if self.kind == "config":
            verdict = decide_config(situation, ConfigOutcome(outcome, issuer=issuer, proof="ok"))
            extra = {"federation": FEDERATION}
        else:
            verdict, extra = decide_credential(situation, outcome), {}
        status = render_status(self.item, verdict, now=self.now, asked=asked_test(self.item), extra=extra)
        if status is not None:
            event = render_event("K", self.item, status, instance="pod", now=self.now)
            self.events += [event] if event else []
            self.writes.append(status)
            self.item = {**self.item, "status": status}
        self.streak = verdict.streak
        self.delay = verdict.delay
        return status

    def change_spec(self):
        generation = self.item["metadata"]["generation"] + 1
        self.item = {**self.item, "metadata": {**self.item["metadata"], "generation": generation}}

    def ask(self, value):
        annotations = {"identity.crewai.com/test-connection": value}
        self.item = {**self.item, "metadata": {**self.item["metadata"], "annotations": annotations}}

    def condition(self, kind):
        return find_condition(self.item["status"]["conditions"], kind)

    @property
    def ready(self):
        return self.condition("Ready")["status"], self.condition("Ready")["reason"]


def test_a_first_success():
    life = Life()
    life.check()
    assert life.ready == ("True", "Succeeded")
    assert [c["type"] for c in life.item["status"]["conditions"]] == ["IssuerPublished", "HandshakeSucceeded", "Ready"]
    assert life.condition("IssuerPublished")["message"] == PUBLISHED
    assert life.item["status"]["handshake"]["lastSuccessTime"] == "2026-11-18T11:06:40Z"
    assert life.item["status"]["federation"] == FEDERATION
    assert life.delay == 600
    assert [event["type"] for event in life.events] == ["Normal"]


@pytest.mark.parametrize(
    ("failure", "kind", "delay"),
    [(BUSY, "Reconciling", 5), (WRONG_SUBJECT, "Reconciling", 5), (WRONG_APP, None, None)],
)
def test_a_first_failure(failure, kind, delay):
    life = Life()
    life.check(failure)
    assert life.ready == ("False", failure.reason)
    expected = kind or ("Stalled" if failure.row.retry is Retry.CONFIG else "Reconciling")
    assert life.condition(expected)["reason"] == failure.reason
    assert {c["type"] for c in life.item["status"]["conditions"]} & {"Stalled", "Reconciling"} == {expected}
    if delay:
        assert life.delay == delay
    assert life.events[0]["type"] == "Warning"
    assert life.events[0]["message"] == life.condition("Ready")["message"]


@pytest.mark.parametrize("second", [BUSY, WRONG_SUBJECT])
def test_a_ready_object_stays_ready_until_the_third_failure(second):
    life = Life()
    life.check()
    life.check(after=3600)
    for failure in (BUSY, second):
        assert life.check(failure, after=10) is None
        assert life.delay <= 10
    life.check(BUSY, after=10)
    assert life.ready == ("False", "HostSlow")
    assert life.item["status"]["handshake"]["consecutiveFailures"] == 3
    assert len(life.events) == 2


def test_a_success_between_begins_the_count_anew():
    life = Life()
    life.check()
    for outcome in (BUSY, BUSY, None, BUSY, BUSY, None):
        life.check(outcome, after=60)
    assert life.ready == ("True", "Succeeded")
    assert len(life.writes) == 1


@pytest.mark.parametrize("retry", [Retry.CONFIG, Retry.BUG])
def test_what_retrying_cannot_cure_is_told_at_once(retry):
    failure = next(d for d in (entra_failure(code[6:]) for code in entra.ROWS) if d.row.retry is retry)
    life = Life()
    life.check()
    life.check(failure, after=60)
    assert life.ready == ("False", failure.reason)
    assert life.condition("Stalled")["status"] == "True"
    assert life.delay == 600


def test_a_changed_spec_is_judged_at_once():
    life = Life()
    life.check()
    life.change_spec()
    life.check(BUSY, after=1)
    assert life.ready == ("False", "HostSlow")
    assert life.condition("Ready")["observedGeneration"] == life.item["status"]["observedGeneration"] == 2


def test_propagation_is_tried_quickly_and_ends_as_a_matter_for_a_human():
    life, delays = Life(), []
    for _ in range(60):
        life.check(WRONG_SUBJECT)
        delays.append(life.delay)
        life.now += life.delay
        if life.delay == 600:
            break
    assert delays[:5] == [5, 10, 20, 40, 60]
    assert set(delays[5:-1]) == {60}
    assert 1800 <= life.now - 600 - NOW <= 1900
    assert life.condition("Stalled")["reason"] == "SubjectMismatch"
    assert len(life.writes) == 2


def test_a_streak_shows_its_first_trace_also_after_a_restart():
    life = Life()
    for number in range(4):
        life.check(entra_failure(700213, trace=f"trace-{number}"), after=60, restarted=number == 3)
    assert life.item["status"]["handshake"]["traceId"] == "trace-0"
    assert len(life.writes) == 1
    life.check(None, after=60)
    record = life.item["status"]["handshake"]
    assert (record["traceId"], record["correlationId"], record["errorCode"]) == ("", "", "")
    assert record["consecutiveFailures"] == 0


def test_the_time_of_success_is_written_at_most_every_two_hours():
    life = Life()
    for _ in range(24 * 6):
        life.check(after=600)
    assert 11 <= len(life.writes) <= 13
    assert len(life.events) == 1
    assert life.condition("Ready")["lastTransitionTime"] == "2026-11-18T11:16:40Z"


def test_an_asked_test_is_echoed_whatever_comes_out():
    life = Life()
    life.check()
    life.ask("one")
    life.check(after=5)
    record = life.item["status"]["handshake"]
    assert (record["observedTestRequest"], record["lastSuccessTime"]) == ("one", "2026-11-18T11:06:45Z")
    life.ask("two")
    life.check(BUSY, after=5)
    record = life.item["status"]["handshake"]
    assert (record["observedTestRequest"], record["consecutiveFailures"], record["errorCode"]) == ("two", 1, "HostSlow")
    assert record["lastSuccessTime"] == "2026-11-18T11:06:45Z"
    assert life.ready == ("True", "Succeeded")
    life.check(after=5)
    assert life.item["status"]["handshake"]["errorCode"] == ""
    assert life.check(after=5) is None
    assert len(life.events) == 1


def test_a_day_of_random_faults_writes_nothing_beyond_the_budget():
    life, chance = Life(), random.Random(4)
    life.check()
    in_a_row = 0
    while life.now < NOW + 86400:
        fails = in_a_row < 2 and chance.random() < 0.4
        in_a_row = in_a_row + 1 if fails else 0
        fault = chance.choice([BUSY, entra_failure(90033, f"t{life.now}")]) if fails else None
        life.check(fault, after=life.streak.failures or 300)
        assert life.ready[0] == "True"
    assert len(life.writes) <= 13
    assert len(life.events) == 1


def test_one_real_change_is_one_transition():
    life = Life()
    life.check()
    for number in range(50):
        life.check(entra_failure(700213, f"t{number}"), after=60)
    for _ in range(50):
        life.check(None, after=60)
    assert [event["reason"] for event in life.events] == ["Succeeded", "SubjectMismatch", "Succeeded"]


def test_an_old_answer_soon_after_a_change_is_no_verdict():
    life = Life()
    life.check(WRONG_SUBJECT)
    life.check(None, after=60)
    turned = life.now
    while life.now < turned + 590:
        assert life.check(WRONG_SUBJECT, after=min(life.delay, 60)) is None
    life.check(WRONG_SUBJECT, after=60)
    assert life.ready == ("False", "SubjectMismatch")


def test_what_a_change_made_unready_returns_only_after_two_minutes_without_an_old_answer():
    life = Life()
    life.check()
    for _ in range(3):
        life.check(WRONG_SUBJECT, after=3600)
    assert life.ready == ("False", "SubjectMismatch")
    assert life.check(None, after=10) is None
    assert life.delay == 10
    assert life.check(WRONG_SUBJECT, after=10) is None
    better = 0
    while life.ready[0] == "False":
        life.check(None, after=10)
        better += 10
    assert 120 <= better <= 140
    assert len(life.events) == 3


def test_an_asked_test_tells_the_truth_about_a_change_at_once():
    life = Life()
    life.check()
    life.ask("one")
    life.check(WRONG_SUBJECT, after=60)
    assert life.ready == ("False", "SubjectMismatch")
    life.ask("two")
    life.check(None, after=10)
    assert life.ready == ("True", "Succeeded")


def test_an_issuer_that_we_cannot_read_is_a_warning_while_the_handshake_works():
    life = Life()
    away = publication.UNREACHABLE.diagnose(url="https://i/x", detail="no route")
    life.check(None, issuer=away)
    assert life.ready == ("True", "Succeeded")
    assert life.condition("IssuerPublished")["reason"] == "IssuerDocumentUnreachable"
    assert "Warning: IssuerPublished is False" in life.condition("Ready")["message"]


@pytest.mark.parametrize("code", [501661, 7000272])
def test_a_cloud_that_cannot_read_the_issuer_is_told_with_our_own_look(code):
    life = Life()
    life.check(entra_failure(code), issuer=publication.REFUSED.diagnose(url="https://i/x", status="404"))
    assert "answers 404" in life.condition("Ready")["message"]
    life.check(entra_failure(code), issuer=PUBLISHED)
    assert "found both documents right" in life.condition("Ready")["message"]


def test_a_probed_secret_belongs_to_ready():
    life = Life("credential")
    life.check(outcome(secret="Secret 'p' was read."))
    assert "Secret 'p' was read." in life.condition("Ready")["message"]
    denied = keyvault.RBAC_READ.diagnose(secret="p", vault="v")
    for _ in range(3):
        life.check(outcome(secret=denied), after=3600)
    assert life.ready == ("False", "VaultDenied")
    assert life.condition("SecretReadable")["status"] == "False"


def test_a_refused_listing_is_told_and_leaves_ready_alone():
    life = Life("credential")
    life.check(outcome(listing=keyvault.RBAC_LIST.diagnose(vault="v")))
    assert life.ready == ("True", "Succeeded")
    assert life.condition("SecretsListable")["reason"] == "VaultListDenied"
    assert "Warning: SecretsListable is False (VaultListDenied)." in life.condition("Ready")["message"]


def test_the_clouds_patience_is_obeyed_within_reason():
    life = Life()
    for asked, expected in ((120.0, 120.0), (10.0**6, 600.0)):
        failure = entra.diagnose(429, b"{}", retry_after=asked)
        life.check(failure, after=10)
        assert life.delay == expected


def test_without_a_handshake_its_condition_is_unknown():
    situation = Situation.of({"metadata": {"generation": 1}}, None, now=NOW, recheck_seconds=600)
    failure = grants.refusal(503, reason="IssuerUrlMissing", detail="", remedy="")
    verdict = decide_config(situation, ConfigOutcome(failure, tested=False))
    by_type = {c.type: c for c in verdict.conditions}
    assert by_type["HandshakeSucceeded"].status == "Unknown"
    assert by_type["Ready"].reason == "IssuerUrlMissing"
    assert by_type["Stalled"].status == "True"


def handshake(status, reason, message="m", stalled=False):
    return Mirrored(Condition("HandshakeSucceeded", status, reason, message), stalled)


def outcome(handshake_=None, **fields):
    mirrored = handshake_ or handshake("True", "Succeeded", "The config works.")
    found = {"vault": "The vault answers.", "secret_untested": "s", "listing_untested": "l", **fields}
    return CredentialOutcome(resolved=("Resolved", "Uses 'azure'."), handshake=mirrored, **found)


def test_a_green_credential_says_what_was_not_tested():
    life = Life("credential")
    life.check(outcome())
    message = life.condition("Ready")["message"]
    assert message == "The config works. The vault answers. Not tested: SecretReadable, SecretsListable."
    assert life.condition("SecretReadable")["reason"] == "NotTested"
    assert life.check(outcome(), after=600) is None


def test_a_credential_follows_its_config_at_once():
    life = Life("credential")
    life.check(outcome())
    life.check(outcome(handshake("False", "SubjectMismatch", "why", stalled=True)), after=5)
    assert life.ready == ("False", "SubjectMismatch")
    assert life.condition("Stalled")["message"] == "why"
    life.check(outcome(), after=5)
    assert life.ready == ("True", "Succeeded")
    assert life.condition("HandshakeSucceeded")["status"] == "True"
    assert len(life.events) == 3


def test_a_vault_that_is_away_is_forgiven_twice():
    life = Life("credential")
    life.check(outcome())
    for _ in range(2):
        assert life.check(outcome(vault=BUSY), after=60) is None
    life.check(outcome(vault=BUSY), after=60)
    assert life.ready == ("False", "HostSlow")
    assert life.condition("VaultReachable")["status"] == "False"
    assert life.condition("Reconciling")["status"] == "True"


@pytest.mark.parametrize(
    ("reason", "status"), [("ConfigNotFound", "False"), ("AmbiguousDefault", "False"), ("NotSupportedYet", "Unknown")]
)
def test_a_refusal_is_told_at_once_and_waits_for_a_human(reason, status):
    life = Life("credential")
    life.check(outcome())
    refusal = grants.refusal(409, reason=reason, detail="What.", remedy="Do.")
    life.check(CredentialOutcome(refusal=refusal), after=5)
    assert life.ready == ("False", reason)
    assert life.condition("ConfigResolved")["status"] == status
    assert life.condition("Stalled")["message"].endswith("What. Do.")
    assert life.condition("VaultReachable")["reason"] == "NotTested"


def test_a_config_without_status_is_in_progress():
    mirrored = mirror({"metadata": {"name": "azure"}})
    assert (mirrored.condition.status, mirrored.condition.reason) == ("Unknown", "Progressing")
    assert not mirrored.is_stalled
    life = Life("credential")
    life.check(outcome(mirrored))
    assert life.condition("Reconciling")["reason"] == "Progressing"


def test_a_streak_goes_on_where_the_last_process_stopped():
    status = {
        "conditions": [{"type": "Ready", "status": "False", "observedGeneration": 3}],
        "handshake": {"consecutiveFailures": 7, "traceId": "first"},
    }
    streak = Streak.from_status(status, NOW)
    assert streak.extend(BUSY, generation=3, now=NOW + 5).failures == 8
    assert streak.extend(BUSY, generation=4, now=NOW + 5) == Streak(4, 1, NOW + 5)


def test_conditions_keep_to_their_limits():
    long = Diagnosis(row=WRONG_APP.row, cause="x" * 40000, remedy="")
    life = Life()
    life.check(long)
    assert len(life.condition("Ready")["message"]) == 32768
    assert len(life.events[0]["message"]) == 1024
