"""One look at the public documents serves all configs, and one that fails says nothing yet."""

import json

import pytest

from wi_operator.core.clock import FrozenClock
from wi_operator.federation.diagnosis.base import Diagnosis
from wi_operator.federation.publication import Documents, Page
from wi_operator.reconcile.publication import Look, Publication

ISSUER = "https://issuer.example"
DISCOVERY = {"issuer": ISSUER, "jwks_uri": f"{ISSUER}/oauth2/jwks"}
KEYS = {"keys": [{"kid": "k1", "kty": "RSA", "n": "AAA", "e": "AQAB"}]}
OURS = Documents(json.dumps(DISCOVERY).encode(), json.dumps(KEYS).encode())


class Looking(Publication):
    """Serves ``status`` in place of the network."""

    status, looks = 200, 0

    async def _fetch_both(self, issuer, ours):
        self.looks += 1
        page = Page(f"{issuer}/x", self.status, ours.discovery)
        return Look(self.clock.monotonic(), pages=(page, Page(f"{issuer}/y", 200, ours.jwks)))


@pytest.fixture
def publication():
    return Looking(lambda: None, FrozenClock())


async def test_a_look_serves_all_for_a_minute(publication):
    assert publication.is_matching is None
    for _ in range(3):
        assert "Fetched" in await publication.check(ISSUER, OURS)
    assert publication.looks == 1
    assert publication.is_matching is True
    publication.clock.advance(61)
    await publication.check(ISSUER, OURS)
    assert publication.looks == 2


async def test_an_asked_check_looks_anew(publication):
    await publication.check(ISSUER, OURS)
    publication.clock.advance(1)
    await publication.check(ISSUER, OURS, asked=True)
    assert publication.looks == 2


async def test_a_right_copy_stays_right_until_the_third_failure(publication):
    good = await publication.check(ISSUER, OURS)
    publication.status = 503
    for expected in (str, str, Diagnosis):
        publication.clock.advance(61)
        found = await publication.check(ISSUER, OURS)
        assert isinstance(found, expected)
        assert expected is Diagnosis or found == good
    assert isinstance(await publication.check(ISSUER, OURS), Diagnosis)
    assert publication.is_matching is False
    publication.status = 200
    publication.clock.advance(61)
    assert await publication.check(ISSUER, OURS) == good


async def test_a_copy_that_was_never_right_is_told_at_once(publication):
    publication.status = 404
    assert isinstance(await publication.check(ISSUER, OURS), Diagnosis)


async def test_who_asks_is_told_at_once(publication):
    await publication.check(ISSUER, OURS)
    publication.status = 503
    publication.clock.advance(1)
    assert isinstance(await publication.check(ISSUER, OURS, asked=True), Diagnosis)
