"""Pull secrets for the sidecar's image, appended to the pod's own."""

from __future__ import annotations

from wi_operator.admission.patch import Patch
from wi_operator.admission.plan import Plan


def append_pull_secrets(plan: Plan, patch: Patch) -> None:
    """Append the settings' names that the pod lacks."""
    secrets = plan.spec.get("imagePullSecrets")
    present = {secret.get("name") for secret in secrets or ()}
    missing = [{"name": name} for name in plan.settings.image_pull_secrets if name not in present]
    patch.extend("spec", "imagePullSecrets", values=missing, to=secrets)
