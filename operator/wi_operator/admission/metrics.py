"""Metrics of admission; labels are few and fixed, never text from a request."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Histogram

BUCKETS = (0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.1, 0.5)


class AdmissionMetrics:
    """Counts and durations of reviews, by path (``mutate``, ``validate``) and outcome."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._reviews = Counter(
            "wi_admission_reviews",
            "Admission reviews answered, by outcome (changed, unchanged, denied, malformed).",
            ("path", "outcome"),
            registry=registry,
        )
        self._seconds = Histogram(
            "wi_admission_review_seconds", "Time to answer a review.", ("path",), buckets=BUCKETS, registry=registry
        )

        self._known: dict[tuple[str, str], tuple[Counter, Histogram]] = {}

    def record(self, path: str, *, outcome: str, seconds: float) -> None:
        """Count one review."""
        review = self._known.get((path, outcome))
        if review is None:
            review = self._known[path, outcome] = (self._reviews.labels(path, outcome), self._seconds.labels(path))
        review[0].inc()
        review[1].observe(seconds)
