"""References that cannot mean anything."""

from __future__ import annotations

from collections.abc import Iterator

from wi_operator.admission.declaration import Entry
from wi_operator.admission.extraction import Problem
from wi_operator.admission.plan import Plan, Target
from wi_operator.api.reference import MalformedReferenceError, parse
from wi_operator.federation.diagnosis import admission as rows
from wi_operator.index.objects import AZURE_KEY_VAULT
from wi_operator.index.resolve import Refusal, find_credential
from wi_operator.index.store import Index


def malformed_references(plan: Plan) -> Iterator[str]:
    """Yield what the reading of env complained about, and what an earlier declaration should not hold."""
    for target in plan.touched:
        for problem in target.extraction.problems:
            yield problem.tell(target.label)
        for entry in target.declared:
            if not entry.is_template and (fault := _fault(entry)):
                yield Problem.malformed(entry.name, fault).tell(target.label)


def impossible_vault_names(plan: Plan, *, index: Index, namespace: str) -> Iterator[str]:
    """Yield references whose vault is known and cannot have such a name."""
    for target in plan.targets:
        impossible = [use for use in target.uses if use.impossible]
        told = _find_told(target) if impossible else set()
        for use in impossible:
            if use.variable not in told and _is_key_vault(index, namespace, use.credential):
                where = f"{target.label}, variable '{use.variable}'"
                yield rows.tell(where, rows.IMPOSSIBLE_SECRET_NAME, detail=use.impossible)


def _is_key_vault(index: Index, namespace: str, name: str) -> bool:
    credential = find_credential(index, namespace, name)
    return not isinstance(credential, Refusal) and credential.provider == AZURE_KEY_VAULT


def _find_told(target: Target) -> set[str]:
    """Variables with ``$(X)`` in their reference: that is told already, and it is no name that somebody meant."""
    return {each.variable for each in target.extraction.problems if each.row is rows.VARIABLE_IN_REFERENCE}


def _fault(entry: Entry) -> MalformedReferenceError | None:
    try:
        parse(entry.text)
    except MalformedReferenceError as error:
        return error
    return None
