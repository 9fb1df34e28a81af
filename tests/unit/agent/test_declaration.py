"""What the sidecar is told at its start."""

import json

import pytest

from wi_operator.agent.declaration import Template, Variable, parse_declaration
from wi_operator.agent.settings import read_settings
from wi_operator.api.names import TOKEN_DIR
from wi_operator.api.reference import Reference
from wi_operator.core.errors import SettingsError

ENVIRON = {
    "WI_DECLARATION": '{"version":1,"containers":{}}',
    "WI_GRANTS_URL": "https://wi-issuer-grants.wi-system.svc",
    "WI_CA_BUNDLE": "-----BEGIN CERTIFICATE-----\n",
}


def declare(*entries, container="app", version=1):
    return json.dumps({"version": version, "containers": {container: {"entries": list(entries)}}})


def test_entries_keep_their_order_and_kind():
    text = declare({"name": "B", "template": "$(A)"}, {"name": "A", "reference": "secret://demo/x?version=1#k"})
    assert parse_declaration(text) == {"app": (Template("B", "$(A)"), Variable("A", Reference("demo", "x", "1", "k")))}


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("", "not a declaration"),
        ("[]", "not a declaration"),
        ('{"version":1}', "not a declaration"),
        ("[" * 100_000, "not a declaration"),
        (declare(version=2), "version 2"),
        (declare({"name": "A"}), "not a declaration"),
        (declare({"name": "A=B", "reference": "secret://demo/x"}), "not a variable's name"),
        (declare({"name": "A=B", "template": "x"}), "not a variable's name"),
        (declare({"name": "A", "template": "\0"}), "not a declaration"),
        (declare({"name": "A", "template": "\ud800"}), "not a declaration"),
        (declare({"name": "A", "template": ["x"]}), "not a declaration"),
        (declare({"name": "A", "reference": {"x": "y"}}), "not a declaration"),
        (declare({"name": "A", "reference": "secret://demo"}), "app, entry 0, A: the secret's name is missing"),
        (declare(container="../etc"), "not a container's name"),
    ],
)
def test_what_cannot_be_used_is_named(text, word):
    with pytest.raises(SettingsError, match=word):
        parse_declaration(text)


def test_settings_have_the_webhooks_defaults():
    settings = read_settings(ENVIRON)
    assert (settings.token_file, settings.run_dir, settings.log_level) == (f"{TOKEN_DIR}/token", "/run/wi", "INFO")
    assert settings.grants.host == "wi-issuer-grants.wi-system.svc"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("WI_DECLARATION", ""),
        ("WI_GRANTS_URL", ""),
        ("WI_GRANTS_URL", "http://plain"),
        ("WI_CA_BUNDLE", ""),
        ("WI_CA_BUNDLE", "x"),
        ("WI_LOG_LEVEL", "LOUD"),
    ],
)
def test_a_setting_that_cannot_be_used_is_named(name, value):
    with pytest.raises(SettingsError, match=name):
        read_settings({**ENVIRON, name: value})
