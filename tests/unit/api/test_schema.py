"""The generated schema: documented, bounded, and without a place for stored secrets."""

import pytest

from wi_operator.api.schema import KINDS, render_crd, render_schema


def walk(schema, path=""):
    yield path, schema
    for name, child in schema.get("properties", {}).items():
        yield from walk(child, f"{path}.{name}")
    if "items" in schema:
        yield from walk(schema["items"], f"{path}[]")


NODES = [
    pytest.param(node, id=f"{kind.kind}{path}")
    for kind in KINDS
    for part in ("spec", "status")
    for path, node in walk(
        render_crd(kind)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"][part], f".{part}"
    )
]


@pytest.mark.parametrize("node", NODES)
def test_every_node_is_typed_and_bounded(node):
    assert node["type"] in {"object", "array", "string", "integer", "boolean"}
    if node["type"] == "string":
        assert "maxLength" in node or "enum" in node or node.get("format") == "date-time"
    if node["type"] == "array":
        assert node["maxItems"] > 0


def test_every_field_is_described():
    for kind in KINDS:
        for path, node in walk(render_schema(kind.spec)):
            assert node.get("description") or path.endswith("[]"), path


def test_a_missing_vault_url_has_the_platforms_text():
    texts = [
        rule["message"]
        for _, node in walk(render_schema(KINDS[1].spec))
        for rule in node.get("x-kubernetes-validations", [])
    ]
    assert "azure_vault_url is required for Azure secret resolution" in texts


def test_no_field_can_hold_a_stored_secret():
    names = {path.rsplit(".", 1)[-1].lower() for kind in KINDS for path, _ in walk(render_schema(kind.spec))}
    assert not names & {"clientsecret", "password", "token", "certificate", "privatekey"}
