"""Bootstrap: every crash point, two leaders at once, and a key that is never silently replaced."""

import asyncio
import base64
import copy
import itertools
import json

import pytest
from cryptography import x509

from wi_operator.cluster.errors import ConflictError, NotFoundError, UnreachableError
from wi_operator.core.clock import FrozenClock
from wi_operator.federation import certificates
from wi_operator.federation.keys import KeySet, KeyState, generate_key_set
from wi_operator.reconcile import installation
from wi_operator.reconcile.installation import CHECK_SECONDS, INCOMPLETE_SECONDS, KID_ANNOTATION, Installation

NS = "wi-system"
SECRETS, CONFIGMAPS = f"/api/v1/namespaces/{NS}/secrets", f"/api/v1/namespaces/{NS}/configmaps"
KEYS, STATE = f"{SECRETS}/wi-issuer-keys", f"{CONFIGMAPS}/wi-issuer-state"
WEBHOOKS = "/apis/admissionregistration.k8s.io/v1/{}webhookconfigurations/wi-webhook"


class CrashError(Exception):
    pass


class Api:
    """An API server in a dictionary; crashes after its n-th write when told to."""

    def __init__(self):
        self.objects, self.calls, self.versions = {}, [], itertools.count(1)
        self.crash_after = None
        for kind in ("mutating", "validating"):
            webhook = {"name": f"{kind}.identity.crewai.com", "clientConfig": {"service": {"name": "wi-webhook"}}}
            self.store(WEBHOOKS.format(kind), {"metadata": {"name": "wi-webhook", "uid": "u"}, "webhooks": [webhook]})

    def store(self, path, item):
        item = copy.deepcopy(item)
        item["metadata"]["resourceVersion"] = str(next(self.versions))
        self.objects[path] = item
        return copy.deepcopy(item)

    async def written(self, method, path, item):
        self.calls.append((method, path))
        answer = self.store(path, item)
        if self.crash_after is not None:
            self.crash_after -= 1
            if self.crash_after < 0:
                raise CrashError
        await asyncio.sleep(0)
        return answer

    async def get(self, path):
        assert path != KEYS, "the controller's role may not read the keys"
        await asyncio.sleep(0)
        if path not in self.objects:
            raise NotFoundError("GET", 404, path)
        return copy.deepcopy(self.objects[path])

    async def read_metadata(self, path):
        await asyncio.sleep(0)
        if path not in self.objects:
            raise NotFoundError("PATCH", 404, path)
        return {"metadata": copy.deepcopy(self.objects[path]["metadata"])}

    async def create(self, path, body):
        path = f"{path}/{body['metadata']['name']}"
        if path in self.objects:
            raise ConflictError("POST", 409, path)
        return await self.written("POST", path, body)

    async def replace(self, path, body):
        if body["metadata"].get("resourceVersion") != self.objects[path]["metadata"]["resourceVersion"]:
            raise ConflictError("PUT", 409, path)
        return await self.written("PUT", path, body)

    async def apply(self, path, body, *, manager):
        assert manager == "workload-identity-operator"
        if path in self.objects and "webhooks" in body:
            merged = copy.deepcopy(self.objects[path])
            for ours, theirs in zip(body["webhooks"], merged["webhooks"], strict=True):
                assert set(ours) == {"name", "clientConfig"}
                assert ours["name"] == theirs["name"]
                theirs["clientConfig"] |= ours["clientConfig"]
            body = merged
        return await self.written("APPLY", path, body)

    def kids(self):
        """Key id in the Secret, key id recorded."""
        secret = KeySet.parse(base64.b64decode(self.objects[KEYS]["data"]["keys.json"]).decode())
        state = KeyState.parse(self.objects[STATE]["data"]["state.json"])
        return [key.kid for key in secret.keys], [entry.kid for entry in state.entries]


@pytest.fixture(autouse=True)
def ready_made_keys(monkeypatch):
    """RSA keys cost 50 ms and more each."""
    pool = itertools.cycle(POOL)
    monkeypatch.setattr(installation, "generate_key_set", lambda now: next(pool))


POOL = [generate_key_set(1_795_000_000.0) for _ in range(3)]


def make(api):
    return Installation(api, NS, FrozenClock())


async def test_a_new_installation_is_complete_and_the_second_look_writes_nothing():
    api = Api()
    own = make(api)
    assert await own.ensure() == CHECK_SECONDS
    secret, state = api.kids()
    assert secret == state
    assert api.objects[KEYS]["metadata"]["annotations"] == {KID_ANNOTATION: secret[0]}
    bundle = api.objects[f"{CONFIGMAPS}/wi-ca-bundle"]["data"]["ca.crt"]
    assert bundle == own.authority
    for name, host in (
        ("wi-issuer-tls", "wi-issuer-grants.wi-system.svc"),
        ("wi-webhook-tls", "wi-webhook.wi-system.svc"),
    ):
        data = {key: base64.b64decode(text).decode() for key, text in api.objects[f"{SECRETS}/{name}"]["data"].items()}
        assert data["ca.crt"] == bundle
        assert host in installation_names(data["tls.crt"])
    for kind in ("mutating", "validating"):
        client_config = api.objects[WEBHOOKS.format(kind)]["webhooks"][0]["clientConfig"]
        assert base64.b64decode(client_config["caBundle"]).decode() == bundle
        assert client_config["service"] == {"name": "wi-webhook"}
    api.calls.clear()
    assert await own.ensure() == CHECK_SECONDS
    assert await make(api).ensure() == CHECK_SECONDS
    assert api.calls == []


def installation_names(certificate):
    parsed = x509.load_pem_x509_certificate(certificate.encode())
    return parsed.extensions.get_extension_for_class(x509.SubjectAlternativeName).value.get_values_for_type(
        x509.DNSName
    )


@pytest.mark.parametrize("writes", range(8))
async def test_a_crash_after_any_write_is_healed_by_the_next_process(writes):
    api = Api()
    api.crash_after = writes
    with pytest.raises(CrashError):
        await make(api).ensure()
    api.crash_after = None
    assert await make(api).ensure() == CHECK_SECONDS
    secret, state = api.kids()
    assert secret == state
    created = [path for method, path in api.calls if method == "POST"]
    assert len(created) == len(set(created)) == 5


async def test_two_leaders_at_once_agree():
    api = Api()
    outcomes = await asyncio.gather(*(make(api).ensure() for _ in range(2)), return_exceptions=True)
    assert all(isinstance(outcome, float | ConflictError) for outcome in outcomes)
    for _ in range(2):
        assert await make(api).ensure() == CHECK_SECONDS
    secret, state = api.kids()
    assert secret == state


async def test_a_lost_key_is_never_replaced(caplog):
    api = Api()
    await make(api).ensure()
    state = api.objects[STATE]
    del api.objects[KEYS]
    assert await make(api).ensure() == INCOMPLETE_SECONDS
    assert KEYS not in api.objects
    assert api.objects[STATE] == state
    assert "the signing key is lost" in caplog.text


async def test_an_unreadable_record_is_not_an_absent_one(caplog):
    api = Api()
    await make(api).ensure()
    api.objects[STATE]["data"] = {"state.json": "{"}
    del api.objects[KEYS]
    assert await make(api).ensure() == INCOMPLETE_SECONDS
    assert KEYS not in api.objects
    assert "unreadable" in caplog.text


async def test_a_key_other_than_the_recorded_is_told(caplog):
    api = Api()
    await make(api).ensure()
    api.objects[KEYS]["metadata"]["annotations"][KID_ANNOTATION] = "planted"
    assert await make(api).ensure() == INCOMPLETE_SECONDS
    assert "another signing key" in caplog.text


async def test_keys_of_an_administrator_are_left_alone(caplog):
    api = Api()
    api.store(KEYS, {"metadata": {"name": "wi-issuer-keys"}, "data": {}})
    assert await make(api).ensure() == INCOMPLETE_SECONDS
    assert STATE not in api.objects
    assert "not made by this operator" in caplog.text


async def test_leaves_are_renewed_before_their_end_and_nothing_else():
    api = Api()
    own = make(api)
    await own.ensure()
    before = copy.deepcopy(api.objects)
    own.clock.advance(61 * certificates.DAY)
    await own.ensure()
    changed = {path for path in api.objects if api.objects[path] != before[path]}
    assert changed == {f"{SECRETS}/wi-issuer-tls", f"{SECRETS}/wi-webhook-tls"}
    leaf = api.objects[f"{SECRETS}/wi-issuer-tls"]["data"]["tls.crt"]
    assert certificates.renewal_time(base64.b64decode(leaf).decode()) > own.clock.now() + 59 * certificates.DAY


async def test_without_webhook_configurations_it_looks_again_soon():
    api = Api()
    del api.objects[WEBHOOKS.format("validating")]
    own = make(api)
    assert await own.ensure() == INCOMPLETE_SECONDS
    assert own.authority
    assert WEBHOOKS.format("validating") not in api.objects


async def test_an_outage_is_survived(monkeypatch):
    api = Api()
    own = make(api)
    waits = []

    async def sleep(seconds):
        waits.append(seconds)
        if len(waits) == 3:
            raise CrashError

    async def refuse(path):
        raise UnreachableError("GET", 0, path)

    await own.ensure()
    monkeypatch.setattr(api, "get", refuse)
    monkeypatch.setattr(installation.asyncio, "sleep", sleep)
    with pytest.raises(CrashError):
        await own.keep()
    assert waits == [INCOMPLETE_SECONDS] * 3


def test_the_private_parts_stay_out_of_json():
    pair = certificates.generate_authority(FrozenClock().now())
    assert "PRIVATE" not in json.dumps(repr(pair))
