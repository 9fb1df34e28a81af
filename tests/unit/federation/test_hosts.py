"""Which hosts may receive a token, after every way to write a host."""

import pytest

from wi_operator.federation.clouds import PUBLIC
from wi_operator.federation.hosts import ForbiddenHostError, require_allowed

GOOD = [
    "https://demo.vault.azure.net",
    "https://demo.vault.azure.net/",
    "https://DEMO.Vault.Azure.Net",
    "https://demo.vault.azure.net.",
    "https://demo.vault.azure.net:443",
    "https://login.microsoftonline.com",
]
BAD = [
    "http://demo.vault.azure.net",
    "https://vault.azure.net",
    "https://.vault.azure.net",
    "https://a.b.vault.azure.net",
    "https://demo.vault.azure.net.evil.example",
    "https://demo-vault.azure.net",
    "https://evil.example/.vault.azure.net",
    "https://evil.example#.vault.azure.net",
    "https://evil.example?.vault.azure.net",
    "https://evil.example\\.vault.azure.net",
    "https://user@demo.vault.azure.net",
    "https://demo.vault.azure.net@evil.example",
    "https://demo.vault.azure.net:8443",
    "https://demo.vault.azure.net:99999",
    "https://demo.vault.azure.net/path",
    "https://demo.vault.azure.net?x",
    "https://demo.vault.azure.net?",
    "https://demo.vault.azure.net..",
    "https://x.login.microsoftonline.com",
    "https:// demo.vault.azure.net",
    "https://demo.vault.azure.net\n",
    "https://[::1]",
    "https://169.254.169.254",
    "",
]


@pytest.mark.parametrize("url", GOOD)
def test_a_host_of_the_cloud_is_allowed(url):
    assert require_allowed(url, PUBLIC.hosts).netloc in {"demo.vault.azure.net", "login.microsoftonline.com"}


@pytest.mark.parametrize("url", BAD)
def test_everything_else_is_refused(url):
    with pytest.raises(ForbiddenHostError):
        require_allowed(url, PUBLIC.hosts)


def test_a_look_alike_is_what_dns_would_be_asked_for():
    assert require_allowed("https://demo。vault.azure.net", PUBLIC.hosts).host == "demo.vault.azure.net"


def test_a_port_must_be_listed():
    assert require_allowed("https://a.test:8443", ["a.test:8443"]).netloc == "a.test:8443"
    with pytest.raises(ForbiddenHostError):
        require_allowed("https://a.test", ["a.test:8443"])
