"""kopf, and nothing but kopf: it watches, we enqueue.

Only ``on.event`` handlers: no timers or daemons (they set finalizers), no annotations, no peering.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import kopf

from wi_operator.api import names
from wi_operator.cluster.pulse import Pulse
from wi_operator.core.clock import Clock
from wi_operator.core.errors import WorkloadIdentityError
from wi_operator.reconcile.reconciler import Reconciler
from wi_operator.reconcile.store import NAMESPACE_KIND

WATCH_SECONDS = 300  # an integer: the API server parses the text
CONNECT_SECONDS = 5.0
REQUEST_SECONDS = 15.0
KINDS = (
    (names.CONFIG_KIND, names.GROUP, names.VERSION, names.CONFIG_PLURAL),
    (names.CREDENTIAL_KIND, names.GROUP, names.VERSION, names.CREDENTIAL_PLURAL),
    (NAMESPACE_KIND, "", "v1", "namespaces"),
)


class WatchEndedError(WorkloadIdentityError):
    """The watch cannot go on: the process must end and be started anew."""


def build_registry(reconciler: Reconciler, pulses: Mapping[str, Pulse]) -> kopf.OperatorRegistry:
    """Return the registry of one operator: log in, and pass events on."""
    registry = kopf.OperatorRegistry()
    kopf.on.login(registry=registry)(_log_in)
    for kind, group, version, plural in KINDS:
        kopf.on.event(group, version, plural, registry=registry, id=f"observe-{plural}")(
            _observer(reconciler, kind, pulses[plural])
        )
    return registry


def build_settings() -> kopf.OperatorSettings:
    """Return settings with every wait bounded; there is no ``batching.worker_limit`` on purpose."""
    settings = kopf.OperatorSettings()
    settings.posting.enabled = False
    settings.scanning.disabled = True  # resources are looked up once: watching CRDs would need rights on all of them
    settings.watching.server_timeout = WATCH_SECONDS
    settings.watching.client_timeout = WATCH_SECONDS + 15
    settings.watching.connect_timeout = CONNECT_SECONDS
    settings.networking.request_timeout = REQUEST_SECONDS
    settings.networking.connect_timeout = CONNECT_SECONDS
    settings.process.ultimate_exiting_timeout = 10.0
    settings.queueing.idle_timeout = 0.5  # an object's worker has nothing to wait for: its event was only passed on
    return settings


def make_pulses(clock: Clock) -> dict[str, Pulse]:
    """Return a pulse for the watch of each resource."""
    return {plural: Pulse(clock) for _, _, _, plural in KINDS}


async def watch(reconciler: Reconciler, ready: asyncio.Event, pulses: Mapping[str, Pulse]) -> None:
    """Follow the kinds until cancelled, or until the process is asked to end; ``ready`` is set once it runs.

    Raises ``WatchEndedError`` when the API server refuses what kopf asks.
    """
    try:
        await kopf.operator(
            registry=build_registry(reconciler, pulses),
            settings=build_settings(),
            # Its own guess at an identity asks for the user's name, which a container's user has none of.
            identity=reconciler.instance,  # type: ignore[arg-type] # a NewType of str that kopf does not export
            standalone=True,
            clusterwide=True,
            ready_flag=ready,
        )
    except Exception as error:  # kopf's own errors are not for import, and none of them may reach a user as a traceback
        raise WatchEndedError(f"the watch of the API server ended: {type(error).__name__}: {error}") from error


def _observer(reconciler: Reconciler, kind: str, pulse: Pulse) -> Callable[..., Any]:
    async def observe(type: str | None, body: kopf.Body, **_: Any) -> None:  # noqa: A002 - kopf's name
        pulse.beat()
        item = dict(body)
        if type == "DELETED":
            reconciler.lose(kind, item)
        else:
            reconciler.observe(kind, item)

    return observe


def _log_in(**keywords: Any) -> kopf.ConnectionInfo | None:
    return kopf.login_with_service_account(**keywords) or kopf.login_with_kubeconfig(**keywords)
