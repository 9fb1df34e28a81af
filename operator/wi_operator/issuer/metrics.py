"""The issuer's metrics; no label holds a text that a tenant can choose."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from wi_operator.core.clock import Clock
from wi_operator.issuer.callers import CallerReviews
from wi_operator.issuer.keyring import Keyring
from wi_operator.issuer.organizations import Organizations


class RequestMetrics:
    """Counts answers by door (``grants``, ``handshakes``, ``public``) and outcome (a reason, or ``granted`` and the like)."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._answers = Counter(
            "wi_issuer_answers", "Answers of the issuer by door and outcome.", ["door", "outcome"], registry=registry
        )

    def count(self, door: str, outcome: str) -> None:
        """Count one answer."""
        self._answers.labels(door, outcome).inc()


@dataclass(slots=True, eq=False)
class StateMetrics(Collector):
    """What the issuer knows at the moment of the scrape."""

    keyring: Keyring
    organizations: Organizations
    reviews: CallerReviews
    clock: Clock

    def collect(self) -> Iterator[Metric]:
        """Yield the gauges."""
        since = self.keyring.signing_since()
        age = self.clock.now() - since if since else 0.0
        yield GaugeMetricFamily("wi_issuer_signing_key_age_seconds", "Age of the key that signs, 0 without one.", age)
        yield GaugeMetricFamily("wi_issuer_published_keys", "Keys in the key set.", len(self.keyring.published()))
        yield GaugeMetricFamily(
            "wi_issuer_key_lost", "1 while recorded keys are not in the Secret.", self.keyring.is_lost
        )
        yield GaugeMetricFamily(
            "wi_issuer_organization_policy_in_force",
            "0 while the policy of organizations is missing or modified.",
            float(not self.organizations.fault),
        )
        yield GaugeMetricFamily(
            "wi_issuer_organizations_disputed",
            "Namespaces whose annotation is not believed.",
            len(self.organizations.disputed),
        )
        yield GaugeMetricFamily("wi_issuer_token_reviews_asked", "Token reviews asked for.", self.reviews.asked)
