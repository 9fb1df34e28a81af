"""Objects of both kinds whose statuses the product's own judgement and rendering wrote, through a short life."""

from wi_operator.api import names, reasons
from wi_operator.api.conditions import Condition
from wi_operator.federation.diagnosis.base import Retry, Surface
from wi_operator.federation.diagnosis.table import ROWS
from wi_operator.reconcile.decide import (
    ConfigOutcome,
    CredentialOutcome,
    Mirrored,
    Situation,
    decide_config,
    decide_credential,
)
from wi_operator.reconcile.render import render_status

NOW = 1_795_000_000.0
SURFACES = {names.CONFIG_KIND: Surface.CONFIG, names.CREDENTIAL_KIND: Surface.CREDENTIAL}
ROW_BY_KIND = [(kind, row) for kind, surface in SURFACES.items() for row in ROWS if surface in row.surfaces]
LINKED = Mirrored(Condition(reasons.HANDSHAKE_SUCCEEDED, "True", reasons.SUCCEEDED, "It works."), is_stalled=False)


class Life:
    """One object; each ``check`` is a look of the controller, and ``item`` what the API server would show then."""

    def __init__(self, kind):
        metadata = {"name": "azure", "namespace": "team-a", "uid": "u", "generation": 1}
        self.item = {"apiVersion": names.API_VERSION, "kind": kind, "metadata": metadata, "spec": {"provider": "Azure"}}
        self.streak, self.now = None, NOW

    def check(self, failure=None, *, mirrored=LINKED, after=0.0):
        """Judge: the cloud answered well, or with ``failure``; a config also through what a credential mirrors."""
        self.now += after
        situation = Situation.of(self.item, self.streak, now=self.now, recheck_seconds=600)
        if self.item["kind"] == names.CONFIG_KIND:
            verdict = decide_config(situation, ConfigOutcome(failure, issuer="Equal.", proof="A token came back."))
        else:
            vault = "The vault answered." if failure is None else failure
            verdict = decide_credential(situation, CredentialOutcome(handshake=mirrored, vault=vault))
        status = render_status(self.item, verdict, now=self.now, asked="", extra={})
        self.streak = verdict.streak
        if status is not None:
            self.item = self.item | {"status": status}
        return self

    def change(self):
        """Change the spec; the status still speaks of the old one."""
        metadata = self.item["metadata"]
        self.item = self.item | {"metadata": metadata | {"generation": metadata["generation"] + 1}}
        return self

    def refuse(self, row):
        """Judge a credential that leads to no config."""
        situation = Situation.of(self.item, self.streak, now=self.now, recheck_seconds=600)
        verdict = decide_credential(situation, CredentialOutcome(refusal=row.diagnose()))
        self.item = self.item | {"status": render_status(self.item, verdict, now=self.now, asked="", extra={})}
        return self


def needs_human(row):
    """Tell whether time cures it."""
    return row.retry in (Retry.CONFIG, Retry.BUG)
