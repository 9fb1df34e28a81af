"""The issuer's URL is used byte for byte, so a doubtful one is refused."""

import pytest

from wi_operator.core.errors import SettingsError
from wi_operator.federation.discovery import check_issuer_url, issuer_path


@pytest.mark.parametrize(("url", "path"), [("https://id.example.com", ""), ("https://id.example.com/a/b", "/a/b")])
def test_https_with_an_optional_path_is_an_issuer(url, path):
    assert check_issuer_url(url) == url
    assert issuer_path(url) == path


@pytest.mark.parametrize(
    "url",
    [
        "http://id.example.com",
        "https://id.example.com/",
        "https://id.example.com/a/",
        "https://id.example.com/a?b",
        "id.example.com",
        "https://",
        "https://u@id.example.com",
    ],
)
def test_anything_else_is_refused_with_the_form(url):
    with pytest.raises(SettingsError):
        check_issuer_url(url)
