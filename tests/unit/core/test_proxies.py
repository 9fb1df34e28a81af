"""Whether the environment names a proxy."""

import pytest

from wi_operator.core.proxies import is_proxied


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, False),
        ({"NO_PROXY": "127.0.0.1"}, False),
        ({"HTTPS_PROXY": "http://proxy.example:3128"}, True),
        ({"https_proxy": "http://proxy.example:3128", "no_proxy": "10.0.0.0/8"}, True),
    ],
)
def test_only_a_proxy_counts(monkeypatch, variables, expected):
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert is_proxied() is expected
