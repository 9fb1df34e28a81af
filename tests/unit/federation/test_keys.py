"""Signing keys."""

import base64
import hashlib
import hmac

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicNumbers, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from wi_operator.federation.keys import KeysError, KeySet, generate_key_set, thumbprint


@pytest.fixture(scope="module")
def key_set():
    return generate_key_set()


def test_the_thumbprint_is_that_of_the_example_in_rfc_7638():
    n = (
        "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknj"
        "hMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQ"
        "vRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzK"
        "nqDKgw"
    )
    modulus = int.from_bytes(base64.urlsafe_b64decode(n + "=" * (-len(n) % 4)), "big")
    assert thumbprint(RSAPublicNumbers(65537, modulus).public_key()) == "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"


def test_a_key_set_survives_rendering(key_set):
    read = KeySet.parse(key_set.render())
    assert [key.kid for key in read.keys] == [key.kid for key in key_set.keys]
    assert read.keys[0].private_key.private_numbers() == key_set.keys[0].private_key.private_numbers()
    assert read.fingerprint_key == key_set.fingerprint_key
    assert read.find(read.keys[0].kid) is read.keys[0]
    assert read.find("other") is None
    assert read.keys[0].private_key.key_size == 2048


def test_a_repr_shows_no_key(key_set):
    shown = repr(key_set) + repr(key_set.keys)
    assert "PRIVATE" not in shown
    assert repr(key_set.fingerprint_key) not in shown


def test_the_fingerprint_key_is_hkdf_of_the_organization(key_set):
    organization = "3f2504e0-4f89-41d3-9a0c-0305e82c3301"
    pseudorandom = hmac.new(bytes(32), key_set.fingerprint_key, hashlib.sha256).digest()
    info = b"workload-identity-operator fingerprint v1 " + organization.encode() + b"\x01"
    assert key_set.fingerprint_key_of(organization) == hmac.new(pseudorandom, info, hashlib.sha256).digest()
    assert key_set.fingerprint_key_of("other") != key_set.fingerprint_key_of(organization)


def pem_of(bits):
    key = generate_private_key(65537, bits)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (
            lambda entries: [entries.pop(name) for name in list(entries) if name.endswith(".pem")],
            "holds no signing key",
        ),
        (lambda entries: entries.update({"x.pem": b"planted"}), "not an unencrypted private key"),
        (lambda entries: entries.update({"x.pem": pem_of(1024)}), "at least 2048 bits"),
        (lambda entries: entries.update({"x.pem": pem_of(2048)}), "does not bear the name of its key"),
        (lambda entries: entries.update({"fingerprint.key": b"planted"}), "32 bytes"),
        (lambda entries: entries.pop("fingerprint.key"), "32 bytes"),
    ],
)
def test_a_bad_key_set_is_refused_without_quoting_it(key_set, change, text):
    entries = key_set.render()
    change(entries)
    with pytest.raises(KeysError, match=text) as caught:
        KeySet.parse(entries)
    assert "planted" not in str(caught.value)


def test_entries_of_others_are_none_of_ours(key_set):
    assert KeySet.parse(key_set.render() | {"notes.txt": b"planted"}).keys[0].kid == key_set.keys[0].kid


def test_own_keys_keep_their_order_and_a_new_first_one_keeps_the_fingerprints(key_set):
    old, new = key_set.keys[0].render().decode(), pem_of(2048).decode()
    before, after = KeySet.parse_own(old), KeySet.parse_own(f"{new}\n{old}")
    assert [key.kid for key in after.keys][1] == before.keys[0].kid
    assert after.fingerprint_key == before.fingerprint_key != key_set.fingerprint_key
    with pytest.raises(KeysError, match="no private key"):
        KeySet.parse_own("planted")
