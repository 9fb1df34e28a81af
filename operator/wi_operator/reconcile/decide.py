"""What a check's outcome means: conditions, hysteresis, and when to look again. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from wi_operator.api import reasons
from wi_operator.api.conditions import Condition, find_condition
from wi_operator.federation.diagnosis.base import Diagnosis, Retry
from wi_operator.reconcile.queue import backoff

FAILURES_UNTIL_NOT_READY = 3
RETRY_FIRST = 5.0
RETRY_LIMIT = 60.0
PROPAGATION_SECONDS = 1800.0
"""After that a change that should have arrived did not: a human must look. Entra needs up to 15 minutes."""
NEEDS_HUMAN = frozenset({Retry.CONFIG, Retry.BUG})
ISSUER_NOT_TESTED = "The public documents of the issuer were not fetched."
SECRET_NOT_TESTED = "No secret was read: spec.azureKeyVault.probeSecret is not used yet."  # noqa: S105
LIST_NOT_TESTED = "Secret names were not listed: spec.listSecretNames is not used yet."


@dataclass(frozen=True, slots=True)
class Streak:
    """Failures in a row of one generation; ``since`` in seconds; the ids are those of the first failure."""

    generation: int = 0
    failures: int = 0
    since: float = 0.0
    trace_id: str = ""
    correlation_id: str = ""

    @classmethod
    def from_status(cls, status: Mapping[str, Any], now: float) -> Streak:
        """Go on where the last process stopped; a start counts as the streak's first moment."""
        record = status.get("handshake") or {}
        ready = find_condition(status.get("conditions") or [], reasons.READY) or {}
        return cls(
            generation=ready.get("observedGeneration", 0),
            failures=record.get("consecutiveFailures", 0),
            since=now,
            trace_id=record.get("traceId", ""),
            correlation_id=record.get("correlationId", ""),
        )

    def extend(self, failure: Diagnosis, *, generation: int, now: float) -> Streak:
        """Count one more failure; a changed spec begins anew."""
        if generation != self.generation or not self.failures:
            return Streak(generation, 1, now, failure.trace_id[:64], failure.correlation_id[:64])
        return replace(self, failures=self.failures + 1)


@dataclass(frozen=True, slots=True)
class Situation:
    """What all judgements need beside the outcome; ``was_ready`` holds for this very generation only."""

    generation: int
    was_ready: bool
    streak: Streak
    now: float
    recheck_seconds: float

    @classmethod
    def of(cls, item: Mapping[str, Any], streak: Streak | None, *, now: float, recheck_seconds: float) -> Situation:
        """Read an object."""
        generation = item["metadata"].get("generation", 0)
        status = item.get("status") or {}
        ready = find_condition(status.get("conditions") or [], reasons.READY) or {}
        was_ready = ready.get("status") == "True" and ready.get("observedGeneration") == generation
        return cls(generation, was_ready, streak or Streak.from_status(status, now), now, recheck_seconds)


@dataclass(frozen=True, slots=True)
class Verdict:
    """``conditions`` is ``None`` while the old ones stand (hysteresis); ``delay`` is without jitter."""

    conditions: tuple[Condition, ...] | None
    failure: Diagnosis | None
    streak: Streak
    delay: float


@dataclass(frozen=True, slots=True)
class Mirrored:
    """What a credential shows of its config's handshake: a condition, and whether the config waits for a human."""

    condition: Condition
    is_stalled: bool


def decide_config(
    situation: Situation, failure: Diagnosis | None, *, ready_message: str, tested: bool = True
) -> Verdict:
    """Judge a WorkloadIdentityConfig; ``tested`` is false when there was nothing to present to the cloud."""
    issuer = Condition(reasons.ISSUER_PUBLISHED, "Unknown", reasons.NOT_TESTED, ISSUER_NOT_TESTED)
    if failure is None:
        done = Condition(reasons.HANDSHAKE_SUCCEEDED, "True", reasons.SUCCEEDED, "The cloud returned a token.")
        ready = Condition(reasons.READY, "True", reasons.SUCCEEDED, ready_message)
        return _success(situation, (issuer, done, ready))
    streak, stalled, keeps = _judge(situation, failure)
    handshake = (
        Condition(reasons.HANDSHAKE_SUCCEEDED, "False", failure.reason, failure.message)
        if tested
        else Condition(reasons.HANDSHAKE_SUCCEEDED, "Unknown", reasons.NOT_TESTED, "There was no handshake: see Ready.")
    )
    conditions = (issuer, handshake, *_not_ready(failure.reason, failure.message, stalled=stalled))
    return Verdict(None if keeps else conditions, failure, streak, _delay(situation, failure, streak, stalled))


@dataclass(frozen=True, slots=True)
class CredentialOutcome:
    """What was found of a credential, step by step; a later step is ``None`` when an earlier one ended it."""

    refusal: Diagnosis | None = None
    resolved: str = ""
    handshake: Mirrored | None = None
    asked_handshake: Diagnosis | None = None
    vault_failure: Diagnosis | None = None
    vault_message: str = ""


def decide_credential(situation: Situation, outcome: CredentialOutcome) -> Verdict:
    """Judge a SecretProviderCredential."""
    if outcome.refusal is not None or outcome.handshake is None:
        return _refused(situation, outcome.refusal)
    resolved = Condition(reasons.CONFIG_RESOLVED, "True", reasons.RESOLVED, outcome.resolved)
    handshake, vault = _handshake(outcome, outcome.handshake), _vault(outcome)
    untested = _untested()
    failure = outcome.asked_handshake or outcome.vault_failure
    if handshake.status != "True" and outcome.asked_handshake is None:
        # The config has its own hysteresis: what it says holds at once.
        streak = replace(situation.streak, generation=situation.generation, failures=0)
        tail = _not_ready(handshake.reason, handshake.message, stalled=outcome.handshake.is_stalled)
        return Verdict((resolved, handshake, vault, *untested, *tail), None, streak, situation.recheck_seconds)
    if failure is None:
        message = f"{handshake.message} {vault.message} Not tested: {', '.join(c.type for c in untested)}."
        ready = Condition(reasons.READY, "True", reasons.SUCCEEDED, message)
        return _success(situation, (resolved, handshake, vault, *untested, ready))
    streak, stalled, keeps = _judge(situation, failure)
    conditions = (resolved, handshake, vault, *untested, *_not_ready(failure.reason, failure.message, stalled=stalled))
    return Verdict(None if keeps else conditions, failure, streak, _delay(situation, failure, streak, stalled))


def mirror(item: Mapping[str, Any]) -> Mirrored:
    """Read a config's handshake for the credentials that use it."""
    conditions = (item.get("status") or {}).get("conditions") or []
    ready = find_condition(conditions, reasons.READY)
    name = item["metadata"]["name"]
    if ready is None:
        text = f"WorkloadIdentityConfig '{name}' has not been checked yet."
        return Mirrored(Condition(reasons.HANDSHAKE_SUCCEEDED, "Unknown", reasons.PROGRESSING, text), is_stalled=False)
    text = f"WorkloadIdentityConfig '{name}': {ready.get('message', '')}"
    stalled = find_condition(conditions, reasons.STALLED) is not None
    status, reason = str(ready.get("status", "Unknown")), str(ready.get("reason", reasons.PROGRESSING))
    return Mirrored(Condition(reasons.HANDSHAKE_SUCCEEDED, status, reason, text), is_stalled=stalled)


def _handshake(outcome: CredentialOutcome, mirrored: Mirrored) -> Condition:
    asked = outcome.asked_handshake
    if asked is None:
        return mirrored.condition
    return Condition(reasons.HANDSHAKE_SUCCEEDED, "False", asked.reason, asked.message)


def _vault(outcome: CredentialOutcome) -> Condition:
    failed = outcome.vault_failure
    if failed is not None:
        return Condition(reasons.VAULT_REACHABLE, "False", failed.reason, failed.message)
    return Condition(reasons.VAULT_REACHABLE, "True", reasons.SUCCEEDED, outcome.vault_message)


def _untested() -> tuple[Condition, Condition]:
    return (
        Condition(reasons.SECRET_READABLE, "Unknown", reasons.NOT_TESTED, SECRET_NOT_TESTED),
        Condition(reasons.SECRETS_LISTABLE, "Unknown", reasons.NOT_TESTED, LIST_NOT_TESTED),
    )


def _refused(situation: Situation, refusal: Diagnosis | None) -> Verdict:
    if refusal is None:
        raise ValueError("an outcome without a link needs a refusal")
    unsupported = refusal.reason == reasons.NOT_SUPPORTED_YET
    before = "There is no WorkloadIdentityConfig to test with: see Ready."
    resolved = (
        Condition(reasons.CONFIG_RESOLVED, "Unknown", reasons.NOT_TESTED, before)
        if unsupported
        else Condition(reasons.CONFIG_RESOLVED, "False", refusal.reason, refusal.message)
    )
    not_tested = tuple(
        Condition(name, "Unknown", reasons.NOT_TESTED, before)
        for name in (reasons.HANDSHAKE_SUCCEEDED, reasons.VAULT_REACHABLE)
    )
    conditions = (resolved, *not_tested, *_untested(), *_not_ready(refusal.reason, refusal.message, stalled=True))
    streak = situation.streak.extend(refusal, generation=situation.generation, now=situation.now)
    return Verdict(conditions, refusal, streak, situation.recheck_seconds)


def _success(situation: Situation, conditions: tuple[Condition, ...]) -> Verdict:
    return Verdict(conditions, None, Streak(situation.generation), situation.recheck_seconds)


def _judge(situation: Situation, failure: Diagnosis) -> tuple[Streak, bool, bool]:
    """Return the longer streak, whether a human is needed, and whether the object stays Ready for now."""
    streak = situation.streak.extend(failure, generation=situation.generation, now=situation.now)
    needs_human = failure.row.retry in NEEDS_HUMAN
    too_long = failure.row.retry is Retry.PROPAGATION and situation.now - streak.since >= PROPAGATION_SECONDS
    keeps = situation.was_ready and not needs_human and streak.failures < FAILURES_UNTIL_NOT_READY
    return streak, needs_human or too_long, keeps


def _not_ready(reason: str, message: str, *, stalled: bool) -> tuple[Condition, Condition]:
    kind = reasons.STALLED if stalled else reasons.RECONCILING
    return Condition(reasons.READY, "False", reason, message), Condition(kind, "True", reason, message)


def _delay(situation: Situation, failure: Diagnosis, streak: Streak, stalled: bool) -> float:
    if stalled:
        return situation.recheck_seconds
    wait = backoff(streak.failures, first=RETRY_FIRST, limit=RETRY_LIMIT)
    # A cloud may ask for more patience, but not for days.
    return min(max(wait, failure.retry_after or 0.0), max(situation.recheck_seconds, wait))
