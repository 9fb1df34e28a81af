"""Signing keys and their timetable."""

import base64
import hashlib
import hmac
import json

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicNumbers, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from wi_operator.federation.keys import (
    KeyEntry,
    KeysError,
    KeySet,
    KeyState,
    generate_key_set,
    initial_state,
    thumbprint,
)

NOW = 1_795_000_000.7


@pytest.fixture(scope="module")
def key_set():
    return generate_key_set(NOW)


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
    assert read.keys[0].created_at == int(NOW)
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
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda document: document.pop("keys"), "holds no keys"),
        (lambda document: document.update(keys=[]), "holds no keys"),
        (lambda document: document.update(keys=["x"]), "key 0 of keys.json has no pem"),
        (lambda document: document["keys"][0].update(pem="planted"), "not an unencrypted private key"),
        (lambda document: document["keys"][0].update(pem=pem_of(1024)), "at least 2048 bits"),
        (lambda document: document["keys"][0].update(kid="x"), "not its thumbprint"),
        (lambda document: document["keys"][0].update(createdAt="soon"), "createdAt of key 0"),
        (lambda document: document["keys"].append(document["keys"][0]), "same key twice"),
        (lambda document: document.update(fingerprintKey="AAAA"), "32 bytes"),
        (lambda document: document.update(fingerprintKey=7), "32 bytes"),
    ],
)
def test_a_bad_key_set_is_refused_without_quoting_it(key_set, change, text):
    document = json.loads(key_set.render())
    change(document)
    with pytest.raises(KeysError, match=text) as caught:
        KeySet.parse(json.dumps(document))
    assert "planted" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "[]", "{", '{"keys":[],"epoch":"1"}', '{"keys":[{}],"epoch":1}'])
def test_a_bad_state_is_refused(text):
    with pytest.raises(KeysError, match=r"state\.json"):
        KeyState.parse(text)


def test_the_first_key_signs_at_once(key_set):
    state = KeyState.parse(initial_state(key_set, NOW).render())
    assert state.published(NOW) == (key_set.keys[0].kid,)
    assert state.signing(NOW) == key_set.keys[0].kid
    assert state.epoch == 1
    assert state.signing(NOW - 10) is None


def test_a_rotation_acts_on_the_clock():
    state = KeyState((KeyEntry("old", 0, 0, retire_after=300), KeyEntry("new", 100, 200)), epoch=2)
    assert KeyState.parse(state.render()) == state
    moments = (0, 99, 100, 199, 200, 299, 300)
    assert [(state.published(now), state.signing(now)) for now in moments] == [
        (("old",), "old"),
        (("old",), "old"),
        (("old", "new"), "old"),
        (("old", "new"), "old"),
        (("old", "new"), "new"),
        (("old", "new"), "new"),
        (("new",), "new"),
    ]
