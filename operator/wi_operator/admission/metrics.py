"""Metrics of admission; labels are few and fixed, never text from a request."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Histogram

from wi_operator.core.metrics import Reading, Spec, StateCollector

BUCKETS = (0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.1, 0.5)

REVIEWS = Spec(
    "wi_admission_reviews_total",
    "counter",
    "Admission reviews by path (mutate, validate) and outcome (changed, unchanged, denied, malformed, unready).",
    ("path", "outcome"),
)
REVIEW_SECONDS = Spec(
    "wi_admission_review_duration_seconds", "histogram", "Time to judge a review, without network and TLS.", ("path",)
)
REGISTERED = Spec(
    "wi_admission_registered",
    "gauge",
    "1 when the API server could call this webhook: it is registered, and the registered CA trusts our certificate.",
)
SPECS = (REVIEWS, REVIEW_SECONDS, REGISTERED)


class AdmissionMetrics:
    """Counts and durations of reviews, by path (``mutate``, ``validate``) and outcome."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._reviews = REVIEWS.counter(registry)
        self._seconds = REVIEW_SECONDS.histogram(registry, BUCKETS)
        self._known: dict[tuple[str, str], tuple[Counter, Histogram]] = {}

    def record(self, path: str, *, outcome: str, seconds: float) -> None:
        """Count one review."""
        review = self._known.get((path, outcome))
        if review is None:
            review = self._known[path, outcome] = (self._reviews.labels(path, outcome), self._seconds.labels(path))
        review[0].inc()
        review[1].observe(seconds)

    def refuse(self, path: str) -> None:
        """Count a review that was not judged, because the index is not complete."""
        self._reviews.labels(path, "unready").inc()


@dataclass(slots=True, eq=False)
class RegistrationMetrics(StateCollector):
    """Whether the API server could call us."""

    specs = (REGISTERED,)
    is_proven: Callable[[], bool]

    def read(self) -> Iterator[Reading]:
        """Yield the gauge."""
        yield REGISTERED, (), float(self.is_proven())
