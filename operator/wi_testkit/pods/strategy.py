"""Hypothesis strategies built from the schema: every definition becomes one."""

from functools import cache
from typing import Any

from hypothesis import strategies as st

from wi_testkit.pods import rules
from wi_testkit.pods.finish import finish
from wi_testkit.pods.schema import POD, PodSchema, short

_DEFAULT_WIDTH = 4


class PodStrategies:
    """Strategies for the definitions of ``schema``."""

    def __init__(self, schema: PodSchema) -> None:
        """Build lazily: a definition's strategy is made when it is drawn first."""
        self._schema = schema
        self.definition = cache(self._make_definition)
        self.field = cache(self._make_field)

    def pods(self) -> st.SearchStrategy[dict[str, Any]]:
        """Return pods of every shape, most of which an API server accepts."""
        return self.definition(POD).map(finish)

    def _make_definition(self, name: str) -> st.SearchStrategy[Any]:
        kind = short(name)
        if kind in rules.VALUES:
            return st.sampled_from(rules.VALUES[kind])
        properties = self._schema.properties(name)
        chosen = rules.ONE_OF.get(kind, ())
        if kind == "Volume":
            chosen = [*(field for field in properties if field != "name"), *rules.FREQUENT_VOLUMES]
        needed = list(dict.fromkeys([*self._schema.required(name), *rules.NEEDED.get(kind, ())]))
        optional = sorted(set(properties) - set(chosen) - set(needed))
        return self._objects(name, tuple(needed), tuple(chosen), tuple(optional))

    def _objects(
        self, name: str, needed: tuple[str, ...], chosen: tuple[str, ...], optional: tuple[str, ...]
    ) -> st.SearchStrategy[Any]:
        kind = short(name)
        width = min(len(optional), rules.WIDTHS.get(kind, _DEFAULT_WIDTH))
        subsets = (
            st.lists(st.sampled_from(optional), unique=True, min_size=width // 2, max_size=width)
            if optional
            else st.just([])
        )
        fix = rules.FIXES.get(kind)

        @st.composite
        def build(draw: st.DrawFn) -> dict[str, Any]:
            fields = [*needed, *draw(subsets)]
            if chosen:
                fields.append(draw(st.sampled_from(chosen)))
            value = {field: draw(self.field(name, field)) for field in fields}
            if fix:
                fix(value)
            return value

        return build()

    def _make_field(self, name: str, field: str) -> st.SearchStrategy[Any]:
        schema = self._schema.properties(name)[field]
        values = rules.VALUES.get(f"{short(name)}.{field}") or rules.VALUES.get(f".{field}")
        if values:
            return st.sampled_from(values).map(_copy)
        return self._make_typed(schema)

    def _make_typed(self, schema: dict[str, Any]) -> st.SearchStrategy[Any]:
        if target := self._schema.target(schema):
            return st.deferred(lambda: self.definition(target))
        if "enum" in schema:
            return st.sampled_from([value for value in schema["enum"] if value])
        match schema.get("type"):
            case "array":
                items = self._make_typed(schema["items"])
                is_plain = schema["items"].get("type") in {"string", "integer"}
                return st.lists(items, min_size=1, max_size=2, unique=True) if is_plain else st.lists(
                    items, min_size=1, max_size=2
                )  # fmt: skip
            case "object":
                return st.sampled_from([{}, {"a": "b"}]).map(dict)
            case kind:
                return st.sampled_from(rules.VALUES[str(kind)])


def _copy(value: Any) -> Any:
    """Return a value that the rest may change: the rules' own must stay as they are."""
    if isinstance(value, dict):
        return {key: _copy(each) for key, each in value.items()}
    return [_copy(each) for each in value] if isinstance(value, list) else value
