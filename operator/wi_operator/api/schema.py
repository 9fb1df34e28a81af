"""From models to CustomResourceDefinitions: the structural schema that the API server accepts."""

from __future__ import annotations

from typing import Any

from wi_operator.api import names
from wi_operator.api.v1alpha1.common import Kind, PrinterColumn, Strict
from wi_operator.api.v1alpha1.secret_provider_credential import SECRET_PROVIDER_CREDENTIAL
from wi_operator.api.v1alpha1.workload_identity_config import WORKLOAD_IDENTITY_CONFIG

KINDS = (WORKLOAD_IDENTITY_CONFIG, SECRET_PROVIDER_CREDENTIAL)

UNSEEN = {"observedGeneration": -1}
"""Status of an object that no controller has looked at: tools that follow kstatus would call it current without one."""

_KEPT = (
    "type", "description", "enum", "pattern", "maxLength", "minLength", "maxItems", "minimum", "format", "default",
    "x-kubernetes-list-type", "x-kubernetes-list-map-keys", "x-kubernetes-validations",
)  # fmt: skip


def render_crd(kind: Kind) -> dict[str, Any]:
    """Return the CustomResourceDefinition of ``kind`` as JSON."""
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{kind.plural}.{names.GROUP}"},
        "spec": {
            "group": names.GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": kind.kind,
                "listKind": f"{kind.kind}List",
                "plural": kind.plural,
                "singular": kind.kind.lower(),
                "shortNames": [kind.short_name],
                "categories": [names.CATEGORY],
            },
            "versions": [_render_version(kind)],
        },
    }


def _render_version(kind: Kind) -> dict[str, Any]:
    return {
        "name": names.VERSION,
        "served": True,
        "storage": True,
        "subresources": {"status": {}},
        "additionalPrinterColumns": [_render_column(column) for column in kind.columns],
        "schema": {
            "openAPIV3Schema": {
                "type": "object",
                "description": kind.description,
                "required": ["spec"],
                "properties": {
                    "apiVersion": {"type": "string"},
                    "kind": {"type": "string"},
                    "metadata": {"type": "object"},
                    "spec": render_schema(kind.spec),
                    "status": render_schema(kind.status) | {"default": UNSEEN},
                },
            }
        },
    }


def _render_column(column: PrinterColumn) -> dict[str, Any]:
    rendered: dict[str, Any] = {"name": column.name, "type": column.type, "jsonPath": column.json_path}
    return rendered | ({"priority": column.priority} if column.priority else {})


def render_schema(model: type[Strict]) -> dict[str, Any]:
    """Return the structural schema of ``model``: no ``$ref``, no ``anyOf``, rules as CEL."""
    properties = {
        field.alias or name: _render_field(model, name, field.description or "")
        for name, field in model.model_fields.items()
    }
    required = [field.alias or name for name, field in model.model_fields.items() if field.is_required()]
    schema: dict[str, Any] = {"type": "object", "description": _first_paragraph(model), "properties": properties}
    if required:
        schema["required"] = required
    if model.rules:
        schema["x-kubernetes-validations"] = [{"rule": r.expression, "message": r.message} for r in model.rules]
    return schema


def _first_paragraph(model: type[Strict]) -> str:
    return " ".join((model.__doc__ or "").split("\n\n")[0].split())


def _render_field(model: type[Strict], name: str, description: str) -> dict[str, Any]:
    """Render one field from pydantic's own JSON schema, with nested models inlined."""
    document = model.model_json_schema(by_alias=True)
    alias = model.model_fields[name].alias or name
    rendered = _render_node(document["properties"][alias], _models_of(model), document)
    return {**rendered, "description": description}


def _models_of(model: type[Strict]) -> dict[str, type[Strict]]:
    """All models reachable from ``model`` by name, to give nested schemas their rules."""
    found: dict[str, type[Strict]] = {}
    pending: list[Any] = [field.annotation for field in model.model_fields.values()]
    while pending:
        annotation = pending.pop()
        pending.extend(getattr(annotation, "__args__", ()))
        if isinstance(annotation, type) and issubclass(annotation, Strict):
            found[annotation.__name__] = annotation
    return found


def _render_node(node: dict[str, Any], models: dict[str, type[Strict]], document: dict[str, Any]) -> dict[str, Any]:
    if "anyOf" in node:  # Optional[X]: absent instead of null
        variant = next(option for option in node["anyOf"] if option.get("type") != "null")
        return _render_node(variant, models, document)
    if "$ref" in node:
        return render_schema(models[node["$ref"].rsplit("/", 1)[1]])
    rendered = {key: node[key] for key in _KEPT if key in node and node[key] is not None}
    if "const" in node:
        rendered["enum"] = [node["const"]]
    if rendered.get("default") in ("", [], 0):  # an empty default is noise in every stored object
        del rendered["default"]
    if node.get("type") == "array":
        rendered["items"] = _render_node(node["items"], models, document)
    if node.get("type") == "integer":
        rendered["format"] = "int64"
    return rendered
