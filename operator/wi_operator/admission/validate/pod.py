"""Everything that makes a pod refused, in one list: the user sees all of it at once."""

from __future__ import annotations

from wi_operator.admission.plan import Plan
from wi_operator.admission.validate.commands import (
    missing_commands,
    secrets_outside_env,
    unclear_hook,
    unusable_python,
)
from wi_operator.admission.validate.delivery import (
    forbidden_files,
    foreign_files,
    nodes_without_files,
    unclear_deliveries,
)
from wi_operator.admission.validate.overrides import faulty_overrides
from wi_operator.admission.validate.platform import host_network_without_cluster_dns, static_pods, windows_pods
from wi_operator.admission.validate.process_namespace import readable_sidecars
from wi_operator.admission.validate.references import impossible_vault_names, malformed_references
from wi_operator.admission.validate.reserved import foreign_containers, foreign_mounts, foreign_volumes
from wi_operator.index.store import Index

ALWAYS = (malformed_references, foreign_containers, foreign_volumes, foreign_mounts, foreign_files)
WITH_SECRETS = (
    unclear_deliveries,
    forbidden_files,
    unusable_python,
    faulty_overrides,
    unclear_hook,
    missing_commands,
    secrets_outside_env,
    windows_pods,
    static_pods,
    host_network_without_cluster_dns,
    readable_sidecars,
)


def find_problems(plan: Plan, *, index: Index, namespace: str) -> list[str]:
    """List why the pod cannot be admitted; empty if it can."""
    checks = (*ALWAYS, *WITH_SECRETS) if plan.targets else ALWAYS
    problems = [problem for check in checks for problem in check(plan)]
    problems.extend(nodes_without_files(plan, index=index))
    problems.extend(impossible_vault_names(plan, index=index, namespace=namespace))
    return problems
