"""Write what the cluster's policies are compared with, from the chart's templates: by the issuer that of organizations, by
``kubectl wi doctor`` all of them.

The API server adds defaults to what the chart installs; they are added here too, and an integration test asks a real one.
``--check`` fails when the file is not current.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import yaml
from generated import ROOT, bring_up_to_date

TEMPLATES = ROOT / "charts/workload-identity-operator/templates"
TARGET = ROOT / "operator/wi_operator/issuer/organization_policy.json"
ALL = ROOT / "operator/wi_operator/cli/policies.json"
SELECTORS: dict[str, Any] = {"matchPolicy": "Equivalent", "namespaceSelector": {}, "objectSelector": {}}


def main() -> int:
    """Return 1 when a file is not current and was only checked."""
    policies = {name: each for file in sorted(TEMPLATES.glob("policy-*.yaml")) for name, each in _read(file).items()}
    wanted = {TARGET: policies["wi-organization"], ALL: policies}
    return bring_up_to_date({file: _write(content) for file, content in wanted.items()}, "make crds")


def _write(content: dict[str, Any]) -> str:
    return json.dumps(content, indent=1) + "\n"


def _read(file: Path) -> dict[str, dict[str, Any]]:
    """Return policy and binding of each name."""
    found: dict[str, dict[str, Any]] = {}
    for item in yaml.safe_load_all(file.read_text()):
        named = found.setdefault(item["metadata"]["name"], {})
        if item["kind"] == "ValidatingAdmissionPolicy":
            named["policy"] = _complete(item["spec"])
        else:
            named["binding"] = _complete_binding(item["spec"])
    return found


def _complete_binding(spec: dict[str, Any]) -> dict[str, Any]:
    return {**spec, "matchResources": {**SELECTORS, **spec["matchResources"]}} if "matchResources" in spec else spec


def _complete(spec: dict[str, Any]) -> dict[str, Any]:
    constraints = spec["matchConstraints"]
    rules = [{**rule, "scope": "*"} for rule in constraints["resourceRules"]]
    return {**spec, "matchConstraints": {**constraints, **SELECTORS, "resourceRules": rules}}


if __name__ == "__main__":
    sys.exit(main())
