"""The order in which a pod is changed."""

from __future__ import annotations

from collections.abc import Sequence

from wi_operator.admission.mutate.affinity import require_linux
from wi_operator.admission.mutate.annotations import annotate
from wi_operator.admission.mutate.env import take_out_references
from wi_operator.admission.mutate.launcher import launch_commands
from wi_operator.admission.mutate.placement import place_containers
from wi_operator.admission.mutate.pod_resources import raise_pod_resources
from wi_operator.admission.mutate.pull_secrets import append_pull_secrets
from wi_operator.admission.mutate.volumes import add_volumes, mount_launchers
from wi_operator.admission.patch import Patch
from wi_operator.admission.plan import Plan

STEPS = (
    take_out_references,
    launch_commands,
    mount_launchers,
    add_volumes,
    # Last of those that write below initContainers: it shifts the positions that the others use.
    place_containers,
    require_linux,
    raise_pod_resources,
    append_pull_secrets,
)


def mutate(plan: Plan, warnings: Sequence[str]) -> Patch:
    """Return the operations that turn the pod into an injected one."""
    patch = Patch()
    if not plan.targets:
        take_out_references(plan, patch)
        return patch
    for step in STEPS:
        step(plan, patch)
    annotate(plan, warnings, patch)
    return patch
