"""References that cannot mean anything."""

from __future__ import annotations

from collections.abc import Iterator

from wi_operator.admission.declaration import Entry
from wi_operator.admission.extraction import Problem
from wi_operator.admission.plan import Plan
from wi_operator.api.reference import MalformedReferenceError, Reference, azure_secret_name, parse
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
            if not entry.is_template and isinstance(outcome := _read(entry), MalformedReferenceError):
                yield Problem.malformed(entry.name, outcome).tell(target.label)


def impossible_vault_names(plan: Plan, *, index: Index, namespace: str) -> Iterator[str]:
    """Yield references whose vault is known and cannot have such a name."""
    for target in plan.targets:
        # `$(X)` in the name is already told as such: it is no name that somebody meant.
        told = {each.variable for each in target.extraction.problems if each.row is rows.VARIABLE_IN_REFERENCE}
        for entry in target.entries:
            reference = None if entry.is_template or entry.name in told else _read(entry)
            if isinstance(reference, Reference) and (problem := _impossible(reference, index, namespace=namespace)):
                yield rows.tell(f"{target.label}, variable '{entry.name}'", rows.IMPOSSIBLE_SECRET_NAME, detail=problem)


def _read(entry: Entry) -> Reference | MalformedReferenceError:
    try:
        return parse(entry.text)
    except MalformedReferenceError as error:
        return error


def _impossible(reference: Reference, index: Index, *, namespace: str) -> str:
    credential = find_credential(index, namespace, reference.credential)
    if isinstance(credential, Refusal) or credential.provider != AZURE_KEY_VAULT:
        return ""
    try:
        azure_secret_name(reference)
    except MalformedReferenceError as error:
        return error.problem
    return ""
