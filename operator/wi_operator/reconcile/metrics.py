"""The controller's metrics of what is configured."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from wi_operator.index.store import Index
from wi_operator.reconcile.notes import CREDENTIALS_LIMIT


@dataclass(slots=True, eq=False)
class AppMetrics(Collector):
    """How many organizations use each app registration; there are as many series as apps."""

    index: Index

    def collect(self) -> Iterator[Metric]:
        """Yield the gauges."""
        used = GaugeMetricFamily(
            "wi_federated_credentials_in_use",
            "Organizations whose configs use an app; each needs a federated credential of it.",
            labels=["tenant", "client"],
        )
        for app, keys in list(self.index.apps.items()):
            config = self.index.configs[next(iter(keys))]
            used.add_metric(app, len(self.index.organizations_of_app(config)))
        yield used
        yield GaugeMetricFamily(
            "wi_federated_credentials_limit", "Federated credentials that one app takes.", CREDENTIALS_LIMIT
        )
