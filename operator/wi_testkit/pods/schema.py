"""The schema that an API server publishes (OpenAPI v3, ``/openapi/v3/api/v1``), and which of its fields a pod uses."""

from collections.abc import Iterator, Mapping
from typing import Any

Field = tuple[str, str]
"""Short name of a definition (``Container``) and of one of its fields."""

POD = "io.k8s.api.core.v1.Pod"
_METADATA = ("creationTimestamp", "deletionGracePeriodSeconds", "deletionTimestamp", "generation", "managedFields",
             "resourceVersion", "selfLink", "uid")  # fmt: skip
NOT_SETTABLE: Mapping[Field, str] = {
    ("Pod", "status"): "written by the kubelet",
    ("PodSpec", "ephemeralContainers"): "only through the subresource of a pod that exists",
    **{("ObjectMeta", name): "written by the API server" for name in _METADATA},
}
"""Fields that no creation of a pod can set, and why; nothing below them counts."""


class PodSchema:
    """Definitions and fields below ``Pod``."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        """Read the OpenAPI document."""
        self._schemas: Mapping[str, Any] = document["components"]["schemas"]

    def fields(self) -> set[Field]:
        """Return every field that the creation of a pod could set."""
        seen: set[str] = set()
        found: set[Field] = set()
        todo = [POD]
        while todo:
            name = todo.pop()
            if name in seen:
                continue
            seen.add(name)
            for field, schema in self.properties(name).items():
                found.add((short(name), field))
                todo += [target for target in (self.target(schema), self.target(schema.get("items", {}))) if target]
        return found

    def properties(self, name: str) -> Mapping[str, Any]:
        """Return the settable fields of a definition."""
        properties: Mapping[str, Any] = self._schemas[name].get("properties", {})
        return {field: schema for field, schema in properties.items() if (short(name), field) not in NOT_SETTABLE}

    def required(self, name: str) -> list[str]:
        """Return the names of fields that a definition must have."""
        return list(self._schemas[name].get("required", ()))

    def target(self, schema: Mapping[str, Any]) -> str:
        """Return the definition that a field refers to, empty for a plain type."""
        reference = schema.get("$ref") or next((each["$ref"] for each in schema.get("allOf", ()) if "$ref" in each), "")
        return str(reference).rpartition("/")[2]

    def used(self, pod: Mapping[str, Any]) -> set[Field]:
        """Return the fields that ``pod`` sets."""
        return set(self._walk(POD, pod))

    def _walk(self, name: str, value: Any) -> Iterator[Field]:
        properties = self.properties(name)
        if not isinstance(value, Mapping):
            return
        for field, content in value.items():
            if field not in properties:
                continue
            yield short(name), field
            schema = properties[field]
            if target := self.target(schema):
                yield from self._walk(target, content)
            elif target := self.target(schema.get("items", {})):
                for item in content or ():
                    yield from self._walk(target, item)


def short(name: str) -> str:
    """Return the last part of a definition's name."""
    return name.rpartition(".")[2]
