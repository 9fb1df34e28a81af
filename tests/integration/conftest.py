"""What several integration tests share."""

import json

import pytest

from wi_testkit.lab import Lab


@pytest.fixture(scope="session")
def lab(test_ca, entra):
    """The operator's processes on a bare plane; a key is published for three seconds before it signs."""
    settings = {
        "WI_ALLOWED_HOSTS": json.dumps([entra.url.removeprefix("https://")]),
        "WI_POD_RATE": "100",
        "WI_REVIEW_CACHE_SECONDS": "2",
        "WI_PUBLISH_BEFORE_SECONDS": "3",
    }
    with Lab(test_ca, settings=settings) as lab:
        yield lab
