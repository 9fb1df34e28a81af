"""Pull secrets for the sidecar's image, appended to the pod's own."""

from __future__ import annotations

from wi_operator.admission.patch import Patch
from wi_operator.admission.plan import Plan


def append_pull_secrets(plan: Plan, patch: Patch) -> None:
    """Append the settings' names that the pod lacks."""
    secrets = list(plan.spec.get("imagePullSecrets") or ())
    present = {secret.get("name") for secret in secrets}
    for name in plan.settings.image_pull_secrets:
        if name not in present:
            patch.append("spec", "imagePullSecrets", value={"name": name}, to=secrets)
            secrets.append({"name": name})
