"""What a check's outcome means: conditions, hysteresis, and when to look again. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from wi_operator.api import reasons
from wi_operator.api.conditions import Condition, find_condition
from wi_operator.core.clock import parse_rfc3339
from wi_operator.federation.diagnosis.base import Diagnosis, Retry
from wi_operator.reconcile.queue import backoff

FAILURES_UNTIL_NOT_READY = 3
RETRY_FIRST = 5.0
RETRY_LIMIT = 60.0
PROPAGATION_SECONDS = 1800.0
"""After that a change that should have arrived did not: a human must look. Entra needs up to 15 minutes."""
GRACE_SECONDS = 600.0
"""While a change is arriving (Ready for less than PROPAGATION_SECONDS), old answers for less than this are no verdict."""
RECOVERY_SECONDS = 120.0
"""What a propagating change made unready is ready again after so long without an old answer: some servers lag."""
RECOVERY_RETRY = 10.0
NEEDS_HUMAN = frozenset({Retry.CONFIG, Retry.BUG})
ISSUER_NOT_TESTED = "The public documents of the issuer were not fetched: there was no assertion to compare them with."
ISSUER_REASONS = frozenset({"PublicIssuerUnreachable", "SigningKeyNotVisible"})
"""What a cloud says when it cannot read, or has not read, the public documents: our own look at them belongs to it."""

Finding = Diagnosis | str | None
"""What was found of one thing: why it failed, what was proven, or ``None`` when it was not tested."""


@dataclass(frozen=True, slots=True)
class Streak:
    """Failures in a row of one generation; ``since`` in seconds; the ids are those of the first failure.

    ``fell``: these failures, of a propagating kind, ended a Ready; ``better_since`` is the first success after them.
    """

    generation: int = 0
    failures: int = 0
    since: float = 0.0
    trace_id: str = ""
    correlation_id: str = ""
    fell: bool = False
    better_since: float | None = None

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
        return replace(self, failures=self.failures + 1, better_since=None)


@dataclass(frozen=True, slots=True)
class Situation:
    """What all judgements need beside the outcome; ``was_ready`` holds for this very generation only.

    ``ready_age`` is for how many seconds it has been so; ``asked`` is true for a test that somebody asked for.
    """

    generation: int
    was_ready: bool
    ready_age: float
    streak: Streak
    now: float
    recheck_seconds: float
    asked: bool = False

    @classmethod
    def of(
        cls,
        item: Mapping[str, Any],
        streak: Streak | None,
        *,
        now: float,
        recheck_seconds: float,
        asked: bool = False,
    ) -> Situation:
        """Read an object."""
        generation = item["metadata"].get("generation", 0)
        status = item.get("status") or {}
        ready = find_condition(status.get("conditions") or [], reasons.READY) or {}
        return cls(
            generation=generation,
            was_ready=ready.get("status") == "True" and ready.get("observedGeneration") == generation,
            ready_age=now - _moment(ready.get("lastTransitionTime"), now),
            streak=streak or Streak.from_status(status, now),
            now=now,
            recheck_seconds=recheck_seconds,
            asked=asked,
        )


def _moment(text: Any, default: float) -> float:
    try:
        return parse_rfc3339(text)
    except (ValueError, TypeError):
        return default


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


@dataclass(frozen=True, slots=True)
class ConfigOutcome:
    """What was found of a config; ``tested`` is false when there was nothing to present to the cloud."""

    failure: Diagnosis | None = None
    tested: bool = True
    issuer: Finding = None
    proof: str = ""
    notes: tuple[str, ...] = ()


def decide_config(situation: Situation, outcome: ConfigOutcome) -> Verdict:
    """Judge a WorkloadIdentityConfig."""
    issuer = _condition(reasons.ISSUER_PUBLISHED, outcome.issuer, ISSUER_NOT_TESTED)
    failure = outcome.failure
    if failure is None:
        done = Condition(reasons.HANDSHAKE_SUCCEEDED, "True", reasons.SUCCEEDED, "The cloud returned a token.")
        message = _sentences(outcome.proof, _doubt(issuer), *outcome.notes)
        ready = Condition(reasons.READY, "True", reasons.SUCCEEDED, message)
        return _success(situation, (issuer, done, ready))
    message = _sentences(failure.message, _own_look(failure, outcome.issuer), *outcome.notes)
    judgement = _judge(situation, failure)
    handshake = (
        Condition(reasons.HANDSHAKE_SUCCEEDED, "False", failure.reason, message)
        if outcome.tested
        else Condition(reasons.HANDSHAKE_SUCCEEDED, "Unknown", reasons.NOT_TESTED, "There was no handshake: see Ready.")
    )
    return _failure(situation, failure, judgement, (issuer, handshake), message)


def _doubt(issuer: Condition) -> str:
    """Return what Ready says of an issuer that was not proven: a warning, because the cloud took its word."""
    if issuer.status == "True":
        return ""
    if issuer.status == "Unknown":
        return f"Not tested: {reasons.ISSUER_PUBLISHED}."
    return f"Warning: {reasons.ISSUER_PUBLISHED} is False ({issuer.reason}): {issuer.message}"


def _own_look(failure: Diagnosis, issuer: Finding) -> str:
    if failure.reason not in ISSUER_REASONS or issuer is None:
        return ""
    if isinstance(issuer, Diagnosis):
        return f"Our own look: {issuer.message}"
    return (
        "Our own look from inside the cluster found both documents right: what keeps the cloud from them is a firewall, a "
        "private address, or a cache that has yet to expire."
    )


@dataclass(frozen=True, slots=True)
class CredentialOutcome:
    """What was found of a credential, step by step; a later step is not tested when an earlier one ended it."""

    refusal: Diagnosis | None = None
    resolved: tuple[str, str] = (reasons.RESOLVED, "")
    handshake: Mirrored | None = None
    asked_handshake: Diagnosis | None = None
    vault: Finding = None
    secret: Finding = None
    secret_untested: str = ""
    listing: Finding = None
    listing_untested: str = ""
    notes: tuple[str, ...] = ()


def decide_credential(situation: Situation, outcome: CredentialOutcome) -> Verdict:
    """Judge a SecretProviderCredential."""
    if outcome.refusal is not None or outcome.handshake is None:
        return _refused(situation, outcome)
    resolved = Condition(reasons.CONFIG_RESOLVED, "True", *outcome.resolved)
    handshake = _handshake(outcome.asked_handshake, outcome.handshake)
    vault = _condition(reasons.VAULT_REACHABLE, outcome.vault, "The vault was not asked.")
    extras = _extras(outcome)
    shown = (resolved, handshake, vault, *extras)
    if handshake.status != "True" and outcome.asked_handshake is None:
        # The config has its own hysteresis: what it says holds at once.
        streak = replace(situation.streak, generation=situation.generation, failures=0)
        tail = _not_ready(handshake.reason, handshake.message, stalled=outcome.handshake.is_stalled)
        return Verdict((*shown, *tail), None, streak, situation.recheck_seconds)
    failure = next(
        (f for f in (outcome.asked_handshake, outcome.vault, outcome.secret) if isinstance(f, Diagnosis)), None
    )
    if failure is None:
        message = _sentences(handshake.message, vault.message, *_proven(extras), *outcome.notes)
        ready = Condition(reasons.READY, "True", reasons.SUCCEEDED, message)
        return _success(situation, (*shown, ready))
    message = _sentences(failure.message, *outcome.notes)
    return _failure(situation, failure, _judge(situation, failure), shown, message)


def _extras(outcome: CredentialOutcome) -> tuple[Condition, Condition]:
    return (
        _condition(reasons.SECRET_READABLE, outcome.secret, outcome.secret_untested),
        _condition(reasons.SECRETS_LISTABLE, outcome.listing, outcome.listing_untested),
    )


def _proven(extras: tuple[Condition, ...]) -> list[str]:
    """Return what Ready says of the conditions that it does not need: green never claims more than was proven."""
    said = [extra.message for extra in extras if extra.status == "True"]
    said += [f"Warning: {extra.type} is False ({extra.reason})." for extra in extras if extra.status == "False"]
    untested = [extra.type for extra in extras if extra.status == "Unknown"]
    return said + ([f"Not tested: {', '.join(untested)}."] if untested else [])


def mirror(item: Mapping[str, Any]) -> Mirrored:
    """Read a config's handshake for the credentials that use it."""
    conditions = (item.get("status") or {}).get("conditions") or []
    ready = find_condition(conditions, reasons.READY)
    name = item["metadata"]["name"]
    if ready is None or ready.get("observedGeneration") != item["metadata"].get("generation"):
        text = f"WorkloadIdentityConfig '{name}' has not been checked yet."
        return Mirrored(Condition(reasons.HANDSHAKE_SUCCEEDED, "Unknown", reasons.PROGRESSING, text), is_stalled=False)
    text = f"WorkloadIdentityConfig '{name}': {ready.get('message', '')}"
    stalled = find_condition(conditions, reasons.STALLED) is not None
    status, reason = str(ready.get("status", "Unknown")), str(ready.get("reason", reasons.PROGRESSING))
    return Mirrored(Condition(reasons.HANDSHAKE_SUCCEEDED, status, reason, text), is_stalled=stalled)


def is_checked(mirrored: Mirrored) -> bool:
    """Tell whether the config's handshake has been judged for its present spec."""
    return mirrored.condition.status != "Unknown"


def _handshake(asked: Diagnosis | None, mirrored: Mirrored) -> Condition:
    if asked is None:
        return mirrored.condition
    return Condition(reasons.HANDSHAKE_SUCCEEDED, "False", asked.reason, asked.message)


def _condition(kind: str, finding: Finding, untested: str) -> Condition:
    if finding is None:
        return Condition(kind, "Unknown", reasons.NOT_TESTED, untested)
    if isinstance(finding, str):
        return Condition(kind, "True", reasons.SUCCEEDED, finding)
    return Condition(kind, "False", finding.reason, finding.message)


def _sentences(*parts: str) -> str:
    return " ".join(part for part in parts if part)


def _refused(situation: Situation, outcome: CredentialOutcome) -> Verdict:
    refusal = outcome.refusal
    if refusal is None:
        raise ValueError("an outcome without a link needs a refusal")
    before = "There is no WorkloadIdentityConfig to test with: see Ready."
    resolved = (
        Condition(reasons.CONFIG_RESOLVED, "Unknown", reasons.NOT_TESTED, before)
        if refusal.reason == reasons.NOT_SUPPORTED_YET
        else Condition(reasons.CONFIG_RESOLVED, "False", refusal.reason, refusal.message)
    )
    not_tested = tuple(
        Condition(name, "Unknown", reasons.NOT_TESTED, before)
        for name in (
            reasons.HANDSHAKE_SUCCEEDED,
            reasons.VAULT_REACHABLE,
            reasons.SECRET_READABLE,
            reasons.SECRETS_LISTABLE,
        )
    )
    message = _sentences(refusal.message, *outcome.notes)
    conditions = (resolved, *not_tested, *_not_ready(refusal.reason, message, stalled=True))
    streak = situation.streak.extend(refusal, generation=situation.generation, now=situation.now)
    return Verdict(conditions, refusal, streak, situation.recheck_seconds)


def _success(situation: Situation, conditions: tuple[Condition, ...]) -> Verdict:
    """Ready, unless a change that just made it unready may not have arrived at every server of the cloud yet."""
    streak = situation.streak
    if streak.fell and streak.generation == situation.generation and not situation.was_ready and not situation.asked:
        better_since = situation.now if streak.better_since is None else streak.better_since
        if situation.now - better_since < RECOVERY_SECONDS:
            return Verdict(None, None, replace(streak, better_since=better_since), RECOVERY_RETRY)
    return Verdict(conditions, None, Streak(situation.generation), situation.recheck_seconds)


@dataclass(frozen=True, slots=True)
class _Judgement:
    """The longer streak, whether a human is needed, and whether the object stays Ready for now."""

    streak: Streak
    stalled: bool
    keeps: bool


def _judge(situation: Situation, failure: Diagnosis) -> _Judgement:
    streak = situation.streak.extend(failure, generation=situation.generation, now=situation.now)
    propagating = failure.row.retry is Retry.PROPAGATION
    needs_human = failure.row.retry in NEEDS_HUMAN
    lasted = situation.now - streak.since
    if not situation.was_ready or needs_human or (propagating and situation.asked):
        keeps = False
    elif propagating and situation.ready_age < PROPAGATION_SECONDS:
        keeps = lasted < GRACE_SECONDS
    else:
        keeps = streak.failures < FAILURES_UNTIL_NOT_READY
    if situation.was_ready and not keeps:
        streak = replace(streak, fell=propagating)
    return _Judgement(streak, needs_human or (propagating and lasted >= PROPAGATION_SECONDS), keeps)


def _failure(
    situation: Situation, failure: Diagnosis, judgement: _Judgement, shown: tuple[Condition, ...], message: str
) -> Verdict:
    conditions = (*shown, *_not_ready(failure.reason, message, stalled=judgement.stalled))
    delay = _delay(situation, failure, judgement)
    return Verdict(None if judgement.keeps else conditions, failure, judgement.streak, delay)


def _not_ready(reason: str, message: str, *, stalled: bool) -> tuple[Condition, Condition]:
    kind = reasons.STALLED if stalled else reasons.RECONCILING
    return Condition(reasons.READY, "False", reason, message), Condition(kind, "True", reason, message)


def _delay(situation: Situation, failure: Diagnosis, judgement: _Judgement) -> float:
    if judgement.stalled:
        return situation.recheck_seconds
    wait = backoff(judgement.streak.failures, first=RETRY_FIRST, limit=RETRY_LIMIT)
    # A cloud may ask for more patience, but not for days.
    return min(max(wait, failure.retry_after or 0.0), max(situation.recheck_seconds, wait))
