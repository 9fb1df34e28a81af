"""The internal CA."""

import ssl
import time

import pytest

from wi_operator.federation.certificates import (
    DAY,
    CertificateError,
    Pair,
    expiry_time,
    generate_authority,
    is_usable,
    issue_leaf,
    renewal_time,
)

NOW = 1_795_000_000.0
NAMES = ("wi-webhook.wi-system.svc", "wi-webhook.wi-system.svc.cluster.local")


@pytest.fixture(scope="module")
def authority():
    return generate_authority(NOW)


@pytest.fixture(scope="module")
def leaf(authority):
    return issue_leaf(authority, NAMES, now=NOW)


def test_a_leaf_is_renewed_at_two_thirds_of_its_90_days(authority, leaf):
    assert renewal_time(leaf.certificate) == pytest.approx(NOW + 60 * DAY, abs=600)
    assert is_usable(leaf, authority.certificate, NAMES, now=NOW)
    assert is_usable(leaf, authority.certificate, NAMES, now=NOW + 59.9 * DAY)
    assert not is_usable(leaf, authority.certificate, NAMES, now=NOW + 60.1 * DAY)


def test_the_end_of_a_bundle_is_that_of_its_last_certificate(authority, leaf):
    assert expiry_time(leaf.certificate) == pytest.approx(NOW + 90 * DAY, abs=1)
    for bundle in (leaf.certificate + authority.certificate, authority.certificate + leaf.certificate):
        assert expiry_time(bundle) == pytest.approx(NOW + 3650 * DAY, abs=1)
    assert expiry_time("") == expiry_time("planted") == 0.0


def test_the_authority_lives_ten_years(authority):
    assert renewal_time(authority.certificate) > NOW + 6 * 365 * DAY


def test_a_leaf_that_does_not_fit_is_not_usable(authority, leaf):
    other = generate_authority(NOW)
    stranger = issue_leaf(other, NAMES, now=NOW)
    assert not is_usable(leaf, other.certificate, NAMES, now=NOW)
    assert not is_usable(leaf, authority.certificate, NAMES[:1], now=NOW)
    assert not is_usable(Pair(leaf.certificate, stranger.key), authority.certificate, NAMES, now=NOW)
    assert not is_usable(Pair("planted", leaf.key), authority.certificate, NAMES, now=NOW)
    assert not is_usable(Pair(leaf.certificate, ""), authority.certificate, NAMES, now=NOW)


def test_an_unusable_authority_is_an_error_without_its_key(authority):
    with pytest.raises(CertificateError) as caught:
        issue_leaf(Pair(authority.certificate, "planted"), NAMES, now=NOW)
    assert "planted" not in str(caught.value)
    assert authority.key not in repr(authority)


def shake_hands(authority, leaf, host, tmp_path):
    """Do a TLS handshake in memory; raises ssl.SSLError."""
    (tmp_path / "crt").write_text(leaf.certificate)
    (tmp_path / "key").write_text(leaf.key)
    server_context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server_context.load_cert_chain(tmp_path / "crt", tmp_path / "key")
    client_context = ssl.create_default_context(cadata=authority.certificate)
    client_context.verify_flags |= ssl.VERIFY_X509_STRICT
    pipes = [ssl.MemoryBIO() for _ in range(2)]
    server = server_context.wrap_bio(pipes[0], pipes[1], server_side=True)
    client = client_context.wrap_bio(pipes[1], pipes[0], server_hostname=host)
    for side in (client, server, client, server):
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            continue


def test_strict_tls_takes_the_leaf_for_its_names_only(tmp_path):
    authority = generate_authority(time.time())
    leaf = issue_leaf(authority, NAMES, now=time.time())
    for name in NAMES:
        shake_hands(authority, leaf, name, tmp_path)
    with pytest.raises(ssl.SSLCertVerificationError):
        shake_hands(authority, leaf, "wi-issuer.wi-system.svc", tmp_path)
