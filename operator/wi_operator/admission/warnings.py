"""What is wrong with the credentials of a pod; told as warnings, because it may be put right before the kickoff. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from wi_operator.admission.plan import Plan
from wi_operator.admission.validate.process_namespace import shares_processes
from wi_operator.index.resolve import Link, Refusal, check_service_account, resolve
from wi_operator.index.store import Index

# A condition's message may be long; the API server cuts all warnings together at 4096 characters.
MAXIMUM = 512
DEFAULT_ACCOUNT = "default"


def find_warnings(plan: Plan, *, index: Index, namespace: str) -> list[str]:
    """List the warnings of a plan without problems, one per credential and cause."""
    account = plan.spec.get("serviceAccountName") or DEFAULT_ACCOUNT
    warnings = [
        _shorten(f"{text} (needed by {', '.join(variables)})")
        for credential, variables in _used(plan).items()
        for text in _judge(resolve(index, namespace, credential), account)
    ]
    return [*warnings, *_pod_warnings(plan)]


def _used(plan: Plan) -> dict[str, list[str]]:
    used: dict[str, list[str]] = {}
    for target in plan.targets:
        for use in target.uses:
            used.setdefault(use.credential, []).append(f"{target.name}/{use.variable}")
    return used


def _judge(outcome: Link | Refusal, account: str) -> Iterator[str]:
    if isinstance(outcome, Refusal):
        yield f"{outcome.reason}: {outcome.message}"
        return
    credential = outcome.credential
    if not credential.readiness.is_ready:
        reason = credential.readiness.reason or "NotTested"
        detail = credential.readiness.message or "It was not judged yet."
        yield f"{reason}: SecretProviderCredential '{credential.key}' is not Ready: {detail}"
    if refusal := check_service_account(credential, account):
        yield f"{refusal.reason}: {refusal.message}"


def _pod_warnings(plan: Plan) -> Iterator[str]:
    if shares_processes(plan.spec):
        yield "the pod shares its process namespace: its containers see the sidecar's process"
    if plan.spec.get("dnsPolicy") == "Default" and not plan.spec.get("hostNetwork"):
        yield "dnsPolicy: Default asks the node's DNS: the sidecar finds the issuer only if that knows the cluster's names"


def _shorten(text: str) -> str:
    return text if len(text) <= MAXIMUM else text[: MAXIMUM - 1] + "…"
