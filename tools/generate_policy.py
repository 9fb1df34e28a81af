"""Write what the issuer compares the cluster's policy of organizations with, from the chart's template.

The API server adds defaults to what the chart installs; they are added here too, and an integration test asks a real one.
``--check`` fails when the file is not current.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parent.parent
TEMPLATE = ROOT / "charts/workload-identity-operator/templates/policy-organization.yaml"
TARGET = ROOT / "operator/wi_operator/issuer/organization_policy.json"


def main() -> int:
    """Return 1 when the file is not current and was only checked."""
    policy, binding = yaml.safe_load_all(TEMPLATE.read_text())
    text = json.dumps({"policy": _complete(policy["spec"]), "binding": binding["spec"]}, indent=1) + "\n"
    if "--check" in sys.argv:
        if TARGET.exists() and TARGET.read_text() == text:
            return 0
        print(f"{TARGET.relative_to(ROOT)} is not current; run: make crds")
        return 1
    TARGET.write_text(text)
    return 0


def _complete(spec: dict[str, Any]) -> dict[str, Any]:
    constraints = spec["matchConstraints"]
    rules = [{**rule, "scope": "*"} for rule in constraints["resourceRules"]]
    defaults = {"matchPolicy": "Equivalent", "namespaceSelector": {}, "objectSelector": {}}
    return {**spec, "matchConstraints": {**constraints, **defaults, "resourceRules": rules}}


if __name__ == "__main__":
    sys.exit(main())
