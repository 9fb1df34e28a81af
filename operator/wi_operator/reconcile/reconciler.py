"""One object's way: gather, decide, render, write, tell."""

from __future__ import annotations

import logging
import random
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from wi_operator.api import names, reasons
from wi_operator.cluster.client import KubernetesClient
from wi_operator.cluster.errors import NotFoundError
from wi_operator.cluster.paths import config_path, credential_path
from wi_operator.core.clock import Clock
from wi_operator.core.log import fields
from wi_operator.federation.diagnosis import issuer
from wi_operator.federation.diagnosis.base import Diagnosis
from wi_operator.reconcile.decide import Situation, Streak, Verdict, decide_config, decide_credential
from wi_operator.reconcile.events import post_event, render_change, render_event
from wi_operator.reconcile.gather import CredentialFacts, Gatherer, credential_extra
from wi_operator.reconcile.handshake import LaggingError
from wi_operator.reconcile.queue import KeyedQueue, Ref
from wi_operator.reconcile.render import ready_of, render_status
from wi_operator.reconcile.store import Item, Store, asked_test, is_judged, ref_of, status_of

JITTER = 0.1
SPREAD_SECONDS = 60.0
"""Objects that are Ready when we come are looked at within this time, not all in the first second."""
UNREADY_SPREAD_SECONDS = 5.0
"""Likewise those that are not: what we were started anew for, a setting perhaps, may be what they lack."""
ROLLOUT_SECONDS = 20.0
"""Until the next look after an answer that depends on the issuer's own settings: during a rollout an earlier replica gave it."""
LAG_SECONDS = 1.0
BEHIND_SECONDS = 10.0
"""When to look again at an organization that the issuer has yet to judge."""
PATIENCE_SECONDS = 20.0
"""So long a credential waits for the first judgement of its config, so that one write says all."""

THROTTLED = {"IdentityThrottled": "login", "VaultThrottled": "vault"}
"""Reason of a throttled answer → kind of the lane that rests."""

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Reconciler:
    """Judges objects; keeps each one's streak of failures in memory, and knows who depends on whom."""

    client: KubernetesClient
    store: Store
    queue: KeyedQueue
    gatherer: Gatherer
    clock: Clock
    recheck_seconds: float
    instance: str
    spread: random.Random = field(default_factory=random.SystemRandom)
    _streaks: dict[Ref, Streak] = field(default_factory=dict)
    _uids: dict[Ref, str] = field(default_factory=dict)
    _waiting_since: dict[Ref, float] = field(default_factory=dict)

    def observe(self, kind: str, item: Item) -> None:
        """Take an object that the watch shows; whatever it changes becomes due."""
        itself = ref_of(kind, item)
        for ref in self.store.put(kind, item):
            first_seen = ref == itself and ref not in self._uids
            if first_seen:
                self._uids[ref] = item["metadata"].get("uid", "")
            if first_seen and is_judged(item):
                is_ready = ready_of(status_of(item)).get("status") == "True"
                limit = SPREAD_SECONDS if is_ready else UNREADY_SPREAD_SECONDS
                self.queue.enqueue(ref, self.spread.uniform(0.0, min(limit, self.recheck_seconds)))
            else:
                self.queue.enqueue(ref)

    def lose(self, kind: str, item: Item) -> None:
        """Take the deletion of an object."""
        ref = ref_of(kind, item)
        self.queue.forget(ref)
        self._streaks.pop(ref, None)
        self._uids.pop(ref, None)
        self._waiting_since.pop(ref, None)
        self.gatherer.forget(item["metadata"].get("uid", ""))
        for affected in self.store.drop(kind, item):
            self.queue.enqueue(affected)

    async def reconcile(self, ref: Ref) -> float | None:
        """Judge one object; return seconds until the next look. Raises ``ApiError``."""
        item = self.store.items.get(ref)
        if item is None:
            return None
        if self._uids.get(ref) != item["metadata"].get("uid", ""):
            # Deleted and made anew under the same name: its failures are not the old one's.
            self._streaks.pop(ref, None)
            self._uids[ref] = item["metadata"].get("uid", "")
        asked = _is_asked(item)
        try:
            verdict, extra, told = await self._judge(ref, item, asked=asked)
        except LaggingError:
            self._waiting_since.setdefault(ref, self.clock.monotonic())
            return LAG_SECONDS
        self._waiting_since.pop(ref, None)
        self._pace(ref, verdict.failure)
        now = self.clock.now()
        status = render_status(item, verdict, now=now, asked=asked_test(item), extra=extra)
        if status is not None:
            try:
                await self._write(ref, item, status, now=now)
            except NotFoundError:
                self.lose(ref.kind, item)
                return None
            for event in told:
                await post_event(self.client, event)
        self._streaks[ref] = verdict.streak
        return _delay(verdict) * self.spread.uniform(1 - JITTER, 1 + JITTER)

    async def _judge(
        self, ref: Ref, item: Item, *, asked: bool
    ) -> tuple[Verdict, Mapping[str, Any], list[dict[str, Any]]]:
        """Return the verdict, the kind's own status fields, and events beside the one about Ready."""
        if ref.kind == names.CONFIG_KIND:
            facts = await self.gatherer.gather_config(item, asked=asked)
            verdict = decide_config(self._situation(ref, item, asked=asked), facts.outcome)
            if facts.is_behind:
                verdict = replace(verdict, delay=min(verdict.delay, BEHIND_SECONDS))
            told = [*self._tell_organization(item, facts.federation), *self._tell_dispute(item, facts.disputed)]
            return verdict, {"federation": facts.federation}, told
        found = await self.gatherer.gather_credential(item, asked=asked, patient=self._is_patient(ref))
        if asked and found.config is not None:
            # Its config shall show what the asked test found.
            self.queue.enqueue(Ref(names.CONFIG_KIND, found.config.key.namespace, found.config.key.name))
        verdict = decide_credential(self._situation(ref, item, asked=asked), found.outcome)
        return verdict, credential_extra(item, found), self._tell_default(item, found)

    def _is_patient(self, ref: Ref) -> bool:
        since = self._waiting_since.get(ref)
        return since is None or self.clock.monotonic() - since < PATIENCE_SECONDS

    def _tell_organization(self, item: Item, federation: Mapping[str, str]) -> list[dict[str, Any]]:
        """Return the event of a changed organization: the federated credentials of the old one serve no longer."""
        before = (status_of(item).get("federation") or {}).get("subject", "")
        subject = federation["subject"]
        if not before or not subject or before == subject:
            return []
        message = (
            f"The organization of namespace '{item['metadata']['namespace']}' changed: assertions have the subject '{subject}' "
            f"now, and not '{before}' any more. Create a federated credential for it."
        )
        now, reason = self.clock.now(), reasons.ORGANIZATION_CHANGED
        return [render_change(names.CONFIG_KIND, item, reason, message, instance=self.instance, now=now)]

    def _tell_dispute(self, item: Item, disputed: str) -> list[dict[str, Any]]:
        """Return the event of an organization that is not believed, once: the condition's message says it from then on."""
        reason = issuer.ORGANIZATION_DISPUTED.reason
        if not disputed or reason in ready_of(status_of(item)).get("message", ""):
            return []
        now = self.clock.now()
        return [render_change(names.CONFIG_KIND, item, reason, disputed, instance=self.instance, now=now)]

    def _tell_default(self, item: Item, found: CredentialFacts) -> list[dict[str, Any]]:
        """Return the events of a changed default: on the credential, and on the config that serves it now."""
        if not found.default_changed or found.config is None:
            return []
        key = found.config.key
        config = self.store.config_item(key)
        told = [(names.CREDENTIAL_KIND, item), *([(names.CONFIG_KIND, config)] if config else [])]
        message = (
            f"SecretProviderCredential '{item['metadata']['name']}' uses WorkloadIdentityConfig '{key.name}' now: the default "
            f"of namespace '{key.namespace}' changed from '{found.default_changed}'."
        )
        return [
            render_change(kind, about, reasons.DEFAULT_CHANGED, message, instance=self.instance, now=self.clock.now())
            for kind, about in told
        ]

    def _pace(self, ref: Ref, failure: Diagnosis | None) -> None:
        """Let a tenant or vault that throttles rest for all objects, not for this one only."""
        lanes, now = self.queue.lanes_of(ref), self.clock.monotonic()
        reason = failure.reason if failure is not None else ""
        for lane in lanes:
            if failure is not None and THROTTLED.get(reason) == lane.partition(":")[0]:
                self.queue.lanes.rest(lane, now, failure.retry_after, self.recheck_seconds)
            else:
                self.queue.lanes.recover(lane)

    def _situation(self, ref: Ref, item: Item, *, asked: bool) -> Situation:
        return Situation.of(
            item,
            self._streaks.get(ref),
            now=self.clock.now(),
            recheck_seconds=self.recheck_seconds,
            asked=asked,
        )

    async def _write(self, ref: Ref, item: Item, status: dict[str, Any], *, now: float) -> None:
        path = (config_path if ref.kind == names.CONFIG_KIND else credential_path)(ref.namespace, ref.name)
        metadata = item["metadata"]
        body = {
            "apiVersion": names.API_VERSION,
            "kind": ref.kind,
            # The version guards: what was judged is what is written about.
            "metadata": {"name": ref.name, "namespace": ref.namespace, "resourceVersion": metadata["resourceVersion"]},
            "status": status,
        }
        written = await self.client.apply(f"{path}/status", body, manager=names.FIELD_MANAGER)
        ready = ready_of(status)
        log.info(
            "judged",
            extra=fields(object=str(ref), ready=ready.get("status"), reason=ready.get("reason")),
        )
        event = render_event(ref.kind, item, status, instance=self.instance, now=now)
        self.observe(ref.kind, written)
        if event is not None:
            await post_event(self.client, event)


def _delay(verdict: Verdict) -> float:
    is_setting = verdict.failure is not None and verdict.failure.reason == reasons.ISSUER_URL_MISSING
    return min(verdict.delay, ROLLOUT_SECONDS) if is_setting else verdict.delay


def _is_asked(item: Item) -> bool:
    return bool(asked_test(item) != (status_of(item).get("handshake") or {}).get("observedTestRequest", ""))
