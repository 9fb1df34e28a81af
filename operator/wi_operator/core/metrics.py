"""What the metrics of all processes share: a metric described once, read at the scrape or counted as things happen.

Labels take values from fixed sets only; a reason that is in no table of ours is ``Other`` (``federation.diagnosis.known``).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import ClassVar, Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, disable_created_metrics
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

DISTRIBUTION = "workload-identity-operator"

SECONDS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0)
"""Upper bounds of what waits for a cloud."""

Kind = Literal["counter", "gauge", "histogram"]
Reading = tuple["Spec", tuple[str, ...], float]


@dataclass(frozen=True, slots=True)
class Spec:
    """A metric: its name as scraped, its type, its labels, and what an administrator learns from it."""

    name: str
    kind: Kind
    text: str
    labels: tuple[str, ...] = ()

    def family(self) -> CounterMetricFamily | GaugeMetricFamily:
        """Return an empty family, for a collector."""
        build = CounterMetricFamily if self.kind == "counter" else GaugeMetricFamily
        return build(self.name, self.text, labels=self.labels)

    def counter(self, registry: CollectorRegistry) -> Counter:
        """Return a counter that is in ``registry``."""
        return Counter(self.name, self.text, self.labels, registry=registry)

    def gauge(self, registry: CollectorRegistry) -> Gauge:
        """Return a gauge that is in ``registry``."""
        return Gauge(self.name, self.text, self.labels, registry=registry)

    def histogram(self, registry: CollectorRegistry, buckets: tuple[float, ...] = SECONDS) -> Histogram:
        """Return a histogram that is in ``registry``."""
        return Histogram(self.name, self.text, self.labels, registry=registry, buckets=buckets)


BUILD = Spec("wi_build_info", "gauge", "Always 1: which process this is, and of which version.", ("process", "version"))
READY = Spec("wi_process_ready", "gauge", "1 while /readyz answers 200: this process does its work.", ("process",))
CERTIFICATE = Spec(
    "wi_certificate_expiry_timestamp_seconds",
    "gauge",
    "When a certificate ends. The controller renews internal ones when a third of their life is left.",
    ("certificate",),
)
SPECS = (BUILD, READY, CERTIFICATE)


class StateCollector(Collector):
    """Gauges and counters that are read at the moment of the scrape: ``read`` yields metric, labels and value."""

    specs: ClassVar[tuple[Spec, ...]]

    @abstractmethod
    def read(self) -> Iterable[Reading]:
        """Yield what there is now; metrics must stand in ``specs``."""

    def describe(self) -> Iterable[Metric]:
        """Return the empty families: registration need not read."""
        return [spec.family() for spec in self.specs]

    def collect(self) -> Iterator[Metric]:
        """Yield the families."""
        families = {spec: spec.family() for spec in self.specs}
        for spec, labels, value in self.read():
            families[spec].add_metric(labels, value)
        yield from families.values()


@dataclass(slots=True, eq=False)
class Certificates(StateCollector):
    """When certificates end: name → what returns seconds since the epoch, 0 while there is none."""

    specs = (CERTIFICATE,)
    expiries: Mapping[str, Callable[[], float]]

    def read(self) -> Iterator[Reading]:
        """Yield an expiry per certificate."""
        for name, expiry in self.expiries.items():
            if end := expiry():
                yield CERTIFICATE, (name,), end


def open_registry(process: str) -> CollectorRegistry:
    """Return the registry of a process, with what is measured of every process."""
    # Two more series for each one, which no query asks for.
    disable_created_metrics()  # type: ignore[no-untyped-call]
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    BUILD.gauge(registry).labels(process, _version()).set(1)
    return registry


def _version() -> str:
    try:
        return version(DISTRIBUTION)
    except PackageNotFoundError:  # a source tree that is not installed
        return "unknown"
