"""Settings come from WI_* variables; a wrong one is named with its fault."""

import pytest

from wi_operator.core.clock import SystemClock
from wi_operator.core.errors import SettingsError
from wi_operator.federation.keys import generate_signing_key
from wi_operator.processes.controller import render_settings
from wi_operator.processes.issuer import open_keyring
from wi_operator.settings import ControllerProcessSettings, IssuerProcessSettings, WebhookProcessSettings, load


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    monkeypatch.setenv("WI_SIDECAR_IMAGE", "registry.test/wi@sha256:00")
    return monkeypatch


def test_lists_are_json_and_empty_values_are_defaults(environment):
    environment.setenv("WI_ALLOWED_HOSTS", '["login.test:8443"]')
    environment.setenv("WI_PUBLIC_URL", "")
    settings = load(WebhookProcessSettings)
    assert settings.allowed_hosts == ("login.test:8443",)
    assert settings.public_url == ""


def test_null_lets_the_platform_choose_the_sidecars_user(environment):
    environment.setenv("WI_SIDECAR_UID", "null")
    assert load(WebhookProcessSettings).sidecar_uid is None


def test_the_platforms_name_of_the_issuer_url_is_known(environment):
    environment.setenv("OIDC_ISSUER", "https://identity.example.com")
    assert load(IssuerProcessSettings).public_url == "https://identity.example.com"


@pytest.mark.parametrize(
    ("name", "value"), [("WI_LOG_LEVEL", "LOUD"), ("WI_PORT", "0"), ("WI_ALLOWED_HOSTS", "a.test")]
)
def test_a_wrong_setting_is_named(environment, name, value):
    environment.setenv(name, value)
    with pytest.raises(SettingsError) as refused:
        load(WebhookProcessSettings)
    assert name.removeprefix("WI_").lower() in str(refused.value).lower()


def test_a_missing_file_is_named(environment, tmp_path):
    environment.setenv("WI_EXTRA_CA_FILE", str(tmp_path / "none.crt"))
    with pytest.raises(SettingsError, match=r"none\.crt"):
        _ = load(IssuerProcessSettings).extra_ca


def test_a_key_never_retires_before_its_last_token_ends(environment):
    environment.setenv("WI_GRANT_SECONDS", "7201")
    with pytest.raises(SettingsError, match=r"^WI_RETIRE_AFTER_SECONDS must not be less than WI_GRANT_SECONDS"):
        load(ControllerProcessSettings)
    environment.setenv("WI_RETIRE_AFTER_SECONDS", "7201")
    assert load(ControllerProcessSettings).retire_after_seconds == 7201


def test_the_platforms_name_of_the_signing_key_is_known_and_not_shown(environment, tmp_path):
    key = generate_signing_key()
    environment.setenv("OIDC_PRIVATE_KEY", key.render().decode())
    settings = load(IssuerProcessSettings)
    assert "PRIVATE" not in repr(settings)
    mounted, keyring = open_keyring(settings, SystemClock())
    assert mounted is None
    assert keyring.signing().kid == key.kid
    (tmp_path / "key.pem").write_bytes(generate_signing_key().render())
    environment.setenv("WI_PRIVATE_KEY_FILE", str(tmp_path / "key.pem"))
    _, ring = open_keyring(load(IssuerProcessSettings), SystemClock())
    assert ring.signing().kid != key.kid
    (tmp_path / "key.pem").write_bytes(key.render())
    ring.load()
    assert ring.signing().kid == key.kid
    (tmp_path / "key.pem").unlink()
    ring.load()
    assert ring.signing().kid == key.kid, "a file that is away for a moment leaves the last good key"


def test_the_durations_of_rotations_reach_the_controller(environment):
    durations = {"ROTATE": 11, "PUBLISH_BEFORE": 22, "RETIRE_AFTER": 3700, "CA_SETTLE": 44, "CA_OVERLAP": 55}
    usual = render_settings(load(ControllerProcessSettings))
    assert (usual.authority.settle, usual.authority.overlap) == (180, 86400)
    for name, seconds in durations.items():
        environment.setenv(f"WI_{name}_SECONDS", str(seconds))
    told = render_settings(load(ControllerProcessSettings))
    keys, ca = told.rotation, told.authority
    assert [keys.every, keys.publish_before, keys.retire_after, ca.settle, ca.overlap] == list(durations.values())
