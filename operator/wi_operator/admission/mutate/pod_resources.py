"""Resources of the pod as a whole: raised by what the sidecar takes, so that the application keeps all of its own."""

from __future__ import annotations

from wi_operator.admission.patch import Patch
from wi_operator.admission.plan import Plan
from wi_operator.admission.quantity import add


def raise_pod_resources(plan: Plan, patch: Patch) -> None:
    """Add the sidecar's limit, else its request, to requests and limits alike: what was Guaranteed stays it.

    Without this a pod whose containers request all that the pod has would be refused. Only the first call adds: the
    sidecar of an earlier one is counted already.
    """
    of_pod = plan.spec.get("resources")
    if plan.sidecar is not None or not of_pod:
        return
    own = plan.settings.resources
    for group in ("requests", "limits"):
        present = of_pod.get(group) or {}
        for name in ("cpu", "memory"):
            amount = own.get("limits", {}).get(name) or own.get("requests", {}).get(name)
            if name in present and amount:
                # wi-env runs beside the sidecar, before the others.
                total = add(amount, amount) if plan.envfile_containers else amount
                patch.replace("spec", "resources", group, name, value=add(present[name], total))
