"""Which hosts are reached through a proxy, and what of its URL may be told."""

import pytest

from wi_operator.agent.proxy import DIRECT, read_proxy
from wi_operator.agent.settings import read_settings
from wi_operator.core.errors import SettingsError
from wi_operator.federation.hosts import Endpoint

VAULT = Endpoint("demo.vault.azure.net", 443)


def test_without_the_variable_everything_is_direct():
    assert read_proxy("", "x") is DIRECT
    assert DIRECT.choose(VAULT) is None


@pytest.mark.parametrize(
    ("no_proxy", "direct"),
    [
        ("", False),
        ("demo.vault.azure.net", True),
        ("vault.azure.net", True),
        (" x, .Vault.Azure.net ", True),
        ("*.azure.net", True),
        ("*", True),
        ("demo.vault.azure.net:443", True),
        ("demo.vault.azure.net:8443", False),
        ("ault.azure.net", False),
        (".demo.vault.azure.net", False),
        ("demo.vault.azure.net.evil.example", False),
        (",,", False),
    ],
)
def test_no_proxy_names_hosts_and_their_subdomains(no_proxy, direct):
    chosen = read_proxy("http://proxy.test:3128", no_proxy).choose(VAULT)
    assert (chosen is None) is direct
    if not direct:
        assert (chosen.host, chosen.port) == ("proxy.test", 3128)


def test_a_user_becomes_a_header_that_is_not_shown():
    proxy = read_proxy("http://user:p%40ss@proxy.test", "").proxy
    assert (proxy.port, proxy.authorization.reveal()) == (80, "Basic dXNlcjpwQHNz")
    assert "dXNlcjpwQHNz" not in repr(proxy)


@pytest.mark.parametrize("url", ["https://fake-user:fake-pass@proxy.test", "socks5://x", "http://", "http://x:port"])
def test_a_proxy_that_cannot_be_used_is_told_without_its_url(url):
    with pytest.raises(SettingsError, match="HTTPS_PROXY") as caught:
        read_proxy(url, "")
    assert "fake-pass" not in str(caught.value)


BASE = {"WI_DECLARATION": '{"version": 1, "containers": {}}', "WI_GRANTS_URL": "https://issuer.test",
        "WI_CA_BUNDLE": "-----BEGIN CERTIFICATE-----"}  # fmt: skip


@pytest.mark.parametrize("capitals", [str.upper, str.lower])
def test_both_spellings_are_read(capitals):
    variables = {capitals("HTTPS_PROXY"): "proxy.test:3128", capitals("NO_PROXY"): "a.test"}
    proxies = read_settings(BASE | variables).proxies
    assert (proxies.proxy.host, proxies.bypass) == ("proxy.test", ("a.test",))


def test_budgets_are_settings_with_limits():
    budgets = read_settings(BASE | {"WI_CONNECT_SECONDS": "0.5", "WI_KICKOFF_SECONDS": "60"}).budgets
    assert (budgets.connect, budgets.read, budgets.kickoff) == (0.5, 5, 15 * 4)
    for name, text in (("CONNECT", "31"), ("READ", "soon"), ("KICKOFF", "61"), ("KICKOFF", "nan"), ("READ", "0")):
        with pytest.raises(SettingsError, match=f"WI_{name}_SECONDS is '{text}'; write seconds from"):
            read_settings(BASE | {f"WI_{name}_SECONDS": text})
