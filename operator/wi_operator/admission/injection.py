"""From a pod to a verdict: refused with reasons, changed by a patch, or left alone. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from wi_operator.admission.mutate.pod import mutate
from wi_operator.admission.patch import Operations
from wi_operator.admission.plan import make_plan
from wi_operator.admission.settings import InjectionSettings
from wi_operator.admission.validate.pod import find_problems
from wi_operator.admission.warnings import find_warnings
from wi_operator.api import names
from wi_operator.index.store import Index


class Verdict(NamedTuple):
    """The answer to one review; with ``problems`` it is a refusal."""

    problems: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    operations: Operations = ()

    @property
    def outcome(self) -> str:
        """One of ``denied``, ``changed``, ``unchanged``."""
        if self.problems:
            return "denied"
        return "changed" if self.operations else "unchanged"


def wants_injection(pod: Mapping[str, Any]) -> bool:
    """Tell whether the pod carries the label."""
    labels = pod["metadata"].get("labels") or {}
    return bool(labels.get(names.INJECT_LABEL) == "true")


def inject(pod: Mapping[str, Any], *, namespace: str, index: Index, settings: InjectionSettings) -> Verdict:
    """Judge a pod that is created in ``namespace``; it is only read."""
    if not wants_injection(pod):
        return Verdict()
    plan = make_plan(pod, settings)
    if not plan.concerns_us:
        return Verdict()
    if problems := find_problems(plan, index=index, namespace=namespace):
        return Verdict(problems=tuple(problems))
    warnings = find_warnings(plan, index=index, namespace=namespace) if plan.targets else []
    return Verdict(warnings=tuple(warnings), operations=mutate(plan, warnings).operations)
