"""The controller's metrics: what is configured, what checks find, and whether it keeps up."""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from prometheus_client import CollectorRegistry

from wi_operator.api import reasons
from wi_operator.api.conditions import find_condition
from wi_operator.core.clock import Clock
from wi_operator.core.metrics import Reading, Spec, StateCollector
from wi_operator.federation.certificates import expiry_time
from wi_operator.federation.diagnosis.known import bounded
from wi_operator.index.store import Index
from wi_operator.reconcile.notes import CREDENTIALS_LIMIT
from wi_operator.reconcile.queue import KeyedQueue
from wi_operator.reconcile.store import Item, Store, status_of

APPS_SHOWN = 100
"""Client ids are the tenants' to choose: the apps with the most organizations are shown, no more."""

HANDSHAKE_SECONDS = Spec(
    "wi_handshake_duration_seconds",
    "histogram",
    "Time of a config's handshake, from the question to the issuer to the cloud's answer, by outcome (succeeded, failed).",
    ("outcome",),
)
HANDSHAKE_FAILURES = Spec(
    "wi_handshake_failures_total",
    "counter",
    "Handshakes that failed, by reason of the troubleshooting table.",
    ("reason",),
)
HANDSHAKE_SUCCESS = Spec(
    "wi_handshake_last_success_timestamp_seconds",
    "gauge",
    "When any config's handshake last succeeded, 0 before the first.",
)
VAULT_SECONDS = Spec(
    "wi_vault_check_duration_seconds",
    "histogram",
    "Time of a credential's check at its vault, reads that it asks for included, by outcome (succeeded, failed).",
    ("outcome",),
)
VAULT_FAILURES = Spec(
    "wi_vault_check_failures_total",
    "counter",
    "Vault checks that failed, by reason of the troubleshooting table.",
    ("reason",),
)
VAULT_SUCCESS = Spec(
    "wi_vault_check_last_success_timestamp_seconds", "gauge", "When any vault check last succeeded, 0 before the first."
)
OBJECTS = Spec(
    "wi_objects",
    "gauge",
    "Configs and credentials by condition Ready (True, False, Unknown) and its reason.",
    ("kind", "ready", "reason"),
)
LEADER = Spec("wi_controller_leader", "gauge", "1 in the replica that holds the Lease and works; 0 in a standby.")
QUEUE = Spec(
    "wi_controller_queue_objects",
    "gauge",
    "Objects of the leader's queue by state: scheduled (for later), due, waiting (for a busy or resting tenant or vault), "
    "running.",
    ("state",),
)
LAG = Spec(
    "wi_controller_queue_lag_seconds",
    "gauge",
    "For how long the oldest due object has waited: 0 while the leader keeps up.",
)
UNSEEN = Spec(
    "wi_controller_unseen_changes",
    "gauge",
    "Objects whose change the watch had not shown at the last comparison with a list; not 0 restarts the process.",
)
PUBLISHED = Spec(
    "wi_jwks_published_match",
    "gauge",
    "1 when discovery and JWKS, as fetched through the public URL, equal what is signed with, else 0; absent before a look.",
)
ROTATION = Spec(
    "wi_signing_key_rotation_interval_seconds",
    "gauge",
    "Age at which the next signing key is made; 0: only when asked for.",
)
APP_USED = Spec(
    "wi_federated_credentials_in_use",
    "gauge",
    f"Organizations whose configs use an app; each needs a federated credential of it. The {APPS_SHOWN} apps with the most.",
    ("tenant", "client"),
)
APP_LIMIT = Spec("wi_federated_credentials_limit", "gauge", "Federated credentials that one app takes.")
SPECS = (
    HANDSHAKE_SECONDS, HANDSHAKE_FAILURES, HANDSHAKE_SUCCESS, VAULT_SECONDS, VAULT_FAILURES, VAULT_SUCCESS, OBJECTS, LEADER,
    QUEUE, LAG, UNSEEN, PUBLISHED, ROTATION, APP_USED, APP_LIMIT,
)  # fmt: skip

SUCCEEDED, FAILED = "succeeded", "failed"


@dataclass(slots=True)
class Timer:
    """One check under way."""

    checks: Checks
    begun: float

    def end(self, reason: str = "") -> None:
        """Count it; ``reason`` is that of its failure."""
        self.checks.count(self.checks.clock.monotonic() - self.begun, reason)


class Checks:
    """Counts checks of one kind."""

    def __init__(self, registry: CollectorRegistry, clock: Clock, seconds: Spec, failures: Spec, success: Spec) -> None:
        self.clock = clock
        durations = seconds.histogram(registry)
        self._durations = {outcome: durations.labels(outcome) for outcome in (SUCCEEDED, FAILED)}
        self._failures = failures.counter(registry)
        self._success = success.gauge(registry)

    def start(self) -> Timer:
        """Begin a check."""
        return Timer(self, self.clock.monotonic())

    def count(self, seconds: float, reason: str) -> None:
        """Count a check that took ``seconds`` and failed for ``reason``, or succeeded."""
        self._durations[FAILED if reason else SUCCEEDED].observe(seconds)
        if reason:
            self._failures.labels(bounded(reason)).inc()
        else:
            self._success.set(self.clock.now())


class CheckMetrics:
    """What the controller's checks found."""

    def __init__(self, registry: CollectorRegistry, clock: Clock) -> None:
        self.handshakes = Checks(registry, clock, HANDSHAKE_SECONDS, HANDSHAKE_FAILURES, HANDSHAKE_SUCCESS)
        self.vaults = Checks(registry, clock, VAULT_SECONDS, VAULT_FAILURES, VAULT_SUCCESS)


@dataclass(slots=True, eq=False)
class AppMetrics(StateCollector):
    """How many organizations use each app registration."""

    specs = (APP_USED, APP_LIMIT)
    index: Index

    def read(self) -> Iterator[Reading]:
        """Yield the apps with the most organizations, and the limit."""
        used = [
            (len(self.index.organizations_of_app(self.index.configs[next(iter(keys))])), app)
            for app, keys in self.index.apps.items()
        ]
        for count, app in sorted(used, reverse=True)[:APPS_SHOWN]:
            yield APP_USED, app, count
        yield APP_LIMIT, (), CREDENTIALS_LIMIT


@dataclass(slots=True, eq=False)
class ObjectMetrics(StateCollector):
    """How many objects are Ready, and why the others are not."""

    specs = (OBJECTS,)
    store: Store

    def read(self) -> Iterator[Reading]:
        """Yield a count per kind, status and reason."""
        counts = Tally((ref.kind, *_ready(item)) for ref, item in self.store.items.items())
        for labels, count in counts.items():
            yield OBJECTS, labels, count


@dataclass(slots=True, eq=False)
class WorkMetrics(StateCollector):
    """Whether this replica leads, and keeps up."""

    specs = (LEADER, QUEUE, LAG, UNSEEN, PUBLISHED, ROTATION)
    queue: KeyedQueue
    is_leading: Callable[[], bool]
    unseen: Callable[[], int]
    is_published: Callable[[], bool | None]
    rotation_seconds: float

    def read(self) -> Iterator[Reading]:
        """Yield the gauges; a standby's queue only collects, so it has none."""
        leads = self.is_leading()
        yield LEADER, (), float(leads)
        yield UNSEEN, (), self.unseen()
        yield ROTATION, (), self.rotation_seconds
        if leads:
            states, lag = self.queue.look()
            for state, count in states.items():
                yield QUEUE, (state,), count
            yield LAG, (), lag
        published = self.is_published()
        if published is not None:
            yield PUBLISHED, (), float(published)


def authority_expiry(bundle: Callable[[], str]) -> Callable[[], float]:
    """Return what reads the end of the internal CA, 0 while there is none."""
    return lambda: expiry_time(bundle())


def _ready(item: Item) -> tuple[str, str]:
    condition = find_condition(status_of(item).get("conditions") or [], reasons.READY) or {}
    status = condition.get("status")
    reason = condition.get("reason", reasons.PROGRESSING)
    return (status if status in ("True", "False") else "Unknown"), bounded(reason)
