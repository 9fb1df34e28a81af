"""The issuer's metrics; no label holds a text that a tenant can choose."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from prometheus_client import CollectorRegistry

from wi_operator.core.clock import Clock
from wi_operator.core.metrics import Reading, Spec, StateCollector
from wi_operator.federation.diagnosis.known import bounded
from wi_operator.issuer.callers import CallerReviews
from wi_operator.issuer.keyring import Keyring
from wi_operator.issuer.organizations import Organizations

ANSWERS = Spec(
    "wi_issuer_answers_total",
    "counter",
    "Answers of the issuer by door (public, grants, handshakes; internal: others of the internal port) and outcome: "
    "answered, unchanged, or the problem's reason.",
    ("door", "outcome"),
)
ANSWER_SECONDS = Spec(
    "wi_issuer_answer_duration_seconds",
    "histogram",
    "Time to answer a question, token review included, by door.",
    ("door",),
)
GRANTS = Spec(
    "wi_grants_total",
    "counter",
    "Credentials that pods asked for, by outcome: granted, unchanged, or the reason of the refusal.",
    ("outcome",),
)
KICKOFF_SECONDS = Spec(
    "wi_kickoff_resolve_duration_seconds",
    "histogram",
    "Time in which a sidecar resolved the secrets of a kickoff, by outcome (succeeded, failed). Reported by sidecars: a pod can "
    "lie about its own. Told with the next kickoff, the renewal of the grant, or at the pod's end.",
    ("outcome",),
)
KICKOFF_FAILURES = Spec(
    "wi_kickoff_failures_total",
    "counter",
    "Kickoffs that failed, by reason of the troubleshooting table. Reported by sidecars: a pod can lie about its own.",
    ("reason",),
)
KEY_AGE = Spec(
    "wi_signing_key_age_seconds", "gauge", "Age of the key that signs since it was published, 0 without one."
)
PUBLISHED_KEYS = Spec("wi_issuer_published_keys", "gauge", "Keys in the key set.")
KEY_LOST = Spec(
    "wi_issuer_key_lost", "gauge", "1 while the recorded signing keys are not in the Secret: nothing is minted."
)
POLICY = Spec(
    "wi_issuer_organization_policy_in_force",
    "gauge",
    "0 while the admission policy of organizations is missing or modified: changed annotations are not believed.",
)
DISPUTED = Spec(
    "wi_issuer_organizations_disputed", "gauge", "Namespaces whose organization's annotation is not believed."
)
REVIEWS = Spec(
    "wi_token_reviews_total",
    "counter",
    "Token reviews that the API server was asked for, by outcome (accepted, rejected, unavailable).",
    ("outcome",),
)
SPECS = (
    ANSWERS, ANSWER_SECONDS, GRANTS, KICKOFF_SECONDS, KICKOFF_FAILURES, KEY_AGE, PUBLISHED_KEYS, KEY_LOST, POLICY, DISPUTED,
    REVIEWS,
)  # fmt: skip

ANSWER_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 2.5)
KICKOFF_BUCKETS = (0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0)
REPORT_HEADER = "wi-kickoffs"
REPORTED = 16
"""Kickoffs of one report that are counted."""
LONGEST_MS = 120_000
SUCCEEDED, FAILED = "succeeded", "failed"
_ENTRY = re.compile(r"([A-Za-z]{1,64}) ([0-9]{1,9})")

Kickoff = tuple[str, float]
"""The reason of a failure, or ``succeeded``; and seconds."""


class RequestMetrics:
    """Counts answers by door, grants, and the kickoffs that sidecars report."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._answers = ANSWERS.counter(registry)
        self._seconds = ANSWER_SECONDS.histogram(registry, ANSWER_BUCKETS)
        self._grants = GRANTS.counter(registry)
        self._kickoffs = KICKOFF_SECONDS.histogram(registry, KICKOFF_BUCKETS)
        self._failures = KICKOFF_FAILURES.counter(registry)

    @classmethod
    def unread(cls) -> RequestMetrics:
        """Return metrics that nobody scrapes."""
        return cls(CollectorRegistry())

    def count(self, door: str, outcome: str, seconds: float) -> None:
        """Count one answer."""
        self._answers.labels(door, outcome).inc()
        self._seconds.labels(door).observe(seconds)

    def count_grant(self, outcome: str) -> None:
        """Count one credential of a question for grants: ``granted``, ``unchanged``, or a refusal's reason."""
        self._grants.labels(outcome if outcome in ("granted", "unchanged") else bounded(outcome)).inc()

    def count_kickoffs(self, report: str) -> None:
        """Count what a sidecar reports; what is malformed is not counted."""
        for reason, seconds in read_report(report):
            self._kickoffs.labels(SUCCEEDED if reason == SUCCEEDED else FAILED).observe(seconds)
            if reason != SUCCEEDED:
                self._failures.labels(bounded(reason)).inc()


def read_report(text: str) -> list[Kickoff]:
    """Read ``succeeded 12,SecretNotFound 340``: outcome and milliseconds, clamped; whatever else there is is left out."""
    entries = (_ENTRY.fullmatch(part.strip()) for part in text.split(",", REPORTED)[:REPORTED])
    return [(entry[1], min(int(entry[2]), LONGEST_MS) / 1000) for entry in entries if entry]


@dataclass(slots=True, eq=False)
class StateMetrics(StateCollector):
    """What the issuer knows at the moment of the scrape."""

    specs = (KEY_AGE, PUBLISHED_KEYS, KEY_LOST, POLICY, DISPUTED, REVIEWS)
    keyring: Keyring
    organizations: Organizations
    reviews: CallerReviews
    clock: Clock

    def read(self) -> Iterator[Reading]:
        """Yield the gauges, and the reviews."""
        since = self.keyring.signing_since()
        yield KEY_AGE, (), self.clock.now() - since if since else 0.0
        yield PUBLISHED_KEYS, (), len(self.keyring.published())
        yield KEY_LOST, (), float(self.keyring.is_lost)
        yield POLICY, (), float(not self.organizations.fault)
        yield DISPUTED, (), len(self.organizations.disputed)
        for outcome, count in self.reviews.outcomes.items():
            yield REVIEWS, (outcome,), count
