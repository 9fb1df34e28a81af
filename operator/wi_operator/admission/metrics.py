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

    def record(self, path: str, *, outcome: str, seconds: float) -> None:
        """Count one review."""
        self._reviews.labels(path, outcome).inc()
        self._seconds.labels(path).observe(seconds)
