"""Bootstrap: every crash point, two leaders at once, and a key that is never silently replaced."""

import asyncio
import base64
import contextlib
import copy
import hashlib
import itertools
import json

import pytest
from cryptography import x509

from wi_operator.api import names
from wi_operator.cluster.errors import ConflictError, NotFoundError, UnreachableError
from wi_operator.core.clock import FrozenClock
from wi_operator.federation import certificates
from wi_operator.federation.keys import KeySet, generate_key_set
from wi_operator.federation.rotation import RotationSettings
from wi_operator.federation.timetable import Timetable
from wi_operator.reconcile import installation, signing_keys
from wi_operator.reconcile.authority import AuthoritySettings
from wi_operator.reconcile.installation import CHECK_SECONDS, INCOMPLETE_SECONDS, Installation
from wi_operator.reconcile.public_keys import PublicKeysError
from wi_operator.reconcile.signing_keys import SigningKeys

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
        self.crash_after, self.pods, self.told = None, [], []
        for kind in ("mutating", "validating"):
            webhook = {"name": f"{kind}.identity.crewai.com", "clientConfig": {"service": {"name": "wi-webhook"}}}
            self.store(WEBHOOKS.format(kind), {"metadata": {"name": "wi-webhook", "uid": "u"}, "webhooks": [webhook]})

    def store(self, path, item):
        item = copy.deepcopy(item)
        item["metadata"] |= {"resourceVersion": str(next(self.versions)), "uid": "u"}
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
        if path.endswith("/events"):
            self.told.append(body["reason"])
            return body
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

    async def merge(self, path, body):
        if body["metadata"]["resourceVersion"] != self.objects[path]["metadata"]["resourceVersion"]:
            raise ConflictError("PATCH", 409, path)
        merged = copy.deepcopy(self.objects[path])
        merged["metadata"].setdefault("annotations", {}).update(body["metadata"].get("annotations", {}))
        for name, value in body["data"].items():
            if value is None:
                merged["data"].pop(name, None)
            else:
                merged["data"][name] = value
        return await self.written("PATCH", path, merged)

    async def merge_blind(self, path, body):
        return {"metadata": (await self.merge(path, body))["metadata"]}

    async def list(self, path, *, metadata_only, selectors):
        assert metadata_only
        assert (path, selectors["labelSelector"]) == ("/api/v1/pods", "identity.crewai.com/inject=true")
        return copy.deepcopy(self.pods), "1"

    def annotate(self, path, **annotations):
        item = self.objects[path]
        item["metadata"].setdefault("annotations", {}).update(
            {f"identity.crewai.com/{name.replace('_', '-')}": value for name, value in annotations.items()}
        )
        self.store(path, item)

    def kids(self):
        """Key ids in the Secret, key ids recorded."""
        entries = {name: base64.b64decode(text) for name, text in self.objects[KEYS]["data"].items()}
        return [key.kid for key in KeySet.parse(entries).keys], [entry.kid for entry in self.timetable().entries]

    def timetable(self):
        return Timetable.parse(self.objects[STATE]["data"]["state.json"])


@pytest.fixture(autouse=True)
def ready_made_keys(monkeypatch):
    """RSA keys cost 50 ms and more each."""
    pool, more = itertools.cycle(POOL), itertools.cycle(POOL[::-1])
    monkeypatch.setattr(signing_keys, "generate_key_set", lambda: next(pool))
    monkeypatch.setattr(signing_keys, "generate_signing_key", lambda: next(more).keys[0])


POOL = [generate_key_set() for _ in range(4)]


class World:
    """What the public URL shows, and how long a rotation takes."""

    def __init__(self):
        self.shown, self.fetches, self.clock = set(), 0, FrozenClock()

    async def fetch(self):
        self.fetches += 1
        if self.shown is None:
            raise PublicKeysError("https://identity.example.com/oauth2/jwks: 502")
        return frozenset(self.shown)


def make(api, world=None):
    world = world or World()
    settings = RotationSettings(every=1000.0, publish_before=30.0, retire_after=60.0)
    return Installation(api, NS, world.clock, SigningKeys(api, NS, world.clock, settings, world.fetch))


async def test_a_webhook_certificate_of_others_is_left_alone():
    api = Api()
    own = Installation(api, NS, World().clock, keeps_webhook=False)
    assert await own.ensure() == CHECK_SECONDS
    written = {path.rsplit("/", 1)[-1] for _, path in api.calls}
    assert written == {"wi-internal-ca", "wi-ca-bundle", "wi-issuer-tls"}
    for kind in ("mutating", "validating"):
        (webhook,) = api.objects[WEBHOOKS.format(kind)]["webhooks"]
        assert "caBundle" not in webhook["clientConfig"]


async def test_a_new_installation_is_complete_and_the_second_look_writes_nothing():
    api = Api()
    own = make(api)
    assert await own.ensure() == CHECK_SECONDS
    secret, state = api.kids()
    assert secret == state
    assert api.objects[KEYS]["metadata"]["annotations"] == {names.KIDS_ANNOTATION: secret[0]}
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
    assert "a signing key is lost" in caplog.text
    assert api.told == ["KeyLost"]


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
    api.objects[KEYS]["metadata"]["annotations"][names.KIDS_ANNOTATION] = "planted"
    assert await make(api).ensure() == INCOMPLETE_SECONDS
    assert "a signing key is lost" in caplog.text


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
    own.keys.settings = RotationSettings(every=0)
    own.clock.advance(61 * certificates.DAY)
    await own.ensure()
    changed = {path for path in api.objects if api.objects[path] != before[path]}
    assert changed == {f"{SECRETS}/wi-issuer-tls", f"{SECRETS}/wi-webhook-tls"}
    leaf = api.objects[f"{SECRETS}/wi-issuer-tls"]["data"]["tls.crt"]
    assert certificates.renewal_time(base64.b64decode(leaf).decode()) > own.clock.now() + 59 * certificates.DAY


async def test_the_loss_of_a_key_is_accepted_by_naming_it():
    api, world = Api(), World()
    own = make(api, world)
    await own.ensure()
    lost = api.timetable().entries[0].kid
    del api.objects[KEYS]
    api.annotate(STATE, accept_key_loss="another")
    assert await own.ensure() == INCOMPLETE_SECONDS
    assert KEYS not in api.objects
    api.annotate(STATE, accept_key_loss=lost)
    assert await own.ensure() == CHECK_SECONDS
    secret, state = api.kids()
    assert secret == state != [lost]
    assert api.timetable().signers(world.clock.now()) == tuple(state)
    assert api.timetable().epoch == 2


async def rotate(own, api, world):
    """Ask for a rotation; return the old and the new key id."""
    old = api.timetable().entries[0].kid
    api.annotate(KEYS, rotate="please")
    await own.ensure()
    secret, state = api.kids()
    assert secret == sorted(state)
    assert state[0] == old
    return old, state[1]


async def test_a_new_key_is_published_seen_signs_and_its_predecessor_retires():
    api, world = Api(), World()
    own = make(api, world)
    await own.ensure()
    old, new = await rotate(own, api, world)
    for shown in (set(), {old}, None):
        world.shown, world.fetches = shown, 0
        await own.ensure()
        assert api.timetable().find(new).sign_after is None
        assert world.fetches == 1
    world.shown, world.fetches = {old, new}, 0
    await own.ensure()
    now = float(int(world.clock.now()))
    assert world.fetches == signing_keys.CONFIRMATIONS
    assert api.timetable().find(new).sign_after == now + 30
    assert api.timetable().find(old).retire_after == now + 90
    world.clock.advance(91)
    await own.ensure()
    await own.ensure()
    assert api.kids() == ([new], [new])
    api.calls.clear()
    await own.ensure()
    assert api.calls == []


async def test_one_replica_that_lacks_the_key_stops_it():
    api, world = Api(), World()
    own = make(api, world)
    await own.ensure()
    old, new = await rotate(own, api, world)
    answers = itertools.cycle([{old, new}] * 7 + [{old}])

    async def fetch():
        return frozenset(next(answers))

    own.keys.fetch_kids = fetch
    for _ in range(3):
        await own.ensure()
        assert api.timetable().find(new).sign_after is None


async def test_an_administrator_confirms_what_the_cluster_cannot_see():
    api, world = Api(), World()
    own = make(api, world)
    await own.ensure()
    _, new = await rotate(own, api, world)
    world.shown = None
    api.annotate(KEYS, confirm_published="another")
    await own.ensure()
    assert api.timetable().find(new).sign_after is None
    api.annotate(KEYS, confirm_published=new)
    await own.ensure()
    assert api.timetable().find(new).sign_after is not None


async def test_a_tainted_key_leaves_record_and_secret_and_a_new_one_follows():
    api, world = Api(), World()
    own = make(api, world)
    await own.ensure()
    bad = api.timetable().entries[0].kid
    api.annotate(KEYS, taint=bad)
    await own.ensure()
    assert (api.timetable().entries, api.timetable().epoch) == ((), 2)
    await own.ensure()
    assert secret_entries(api) == ["fingerprint.key"]
    await own.ensure()
    (new,) = api.kids()[1]
    assert new != bad
    world.shown = {new}
    await own.ensure()
    assert api.timetable().signers(world.clock.now()) == (new,)


def secret_entries(api):
    return sorted(api.objects[KEYS]["data"])


@pytest.mark.parametrize("writes", range(2))
async def test_a_crash_in_a_rotation_leaves_no_key_behind(writes):
    api, world = Api(), World()
    own = make(api, world)
    await own.ensure()
    api.annotate(KEYS, rotate="please")
    api.crash_after = writes
    with pytest.raises(CrashError):
        await own.ensure()
    api.crash_after = None
    for _ in range(3):
        await make(api, world).ensure()
    secret, state = api.kids()
    assert (len(secret), secret) == (2, sorted(state))


CA = f"{SECRETS}/wi-internal-ca"
BUNDLE = f"{CONFIGMAPS}/wi-ca-bundle"


def certificates_in(api):
    return x509.load_pem_x509_certificates(api.objects[BUNDLE]["data"]["ca.crt"].encode())


def signer_of(api, name):
    leaf = x509.load_pem_x509_certificate(base64.b64decode(api.objects[f"{SECRETS}/{name}"]["data"]["tls.crt"]))
    for each in certificates_in(api):
        try:
            leaf.verify_directly_issued_by(each)
        except Exception:
            continue
        return each
    raise AssertionError("the leaf is of no authority in the bundle")


def pod(bundle):
    digest = hashlib.sha256(bundle.encode()).hexdigest()
    return {"metadata": {"name": "p", "annotations": {"identity.crewai.com/ca-sha256": digest}}}


async def test_the_next_ca_signs_when_every_running_pod_knows_it():
    api, world = Api(), World()
    own = make(api, world)
    await own.ensure()
    (first,) = certificates_in(api)
    api.pods = [pod(own.authority)]
    api.annotate(CA, rotate="please")
    await own.ensure()
    assert certificates_in(api)[0] == first
    assert len(certificates_in(api)) == 2
    assert base64.b64decode(api.objects[WEBHOOKS.format("mutating")]["webhooks"][0]["clientConfig"]["caBundle"]) == (
        own.authority.encode()
    )
    world.clock.advance(180)
    await own.ensure()
    assert signer_of(api, "wi-issuer-tls") == first, "a running pod knows the first one only"
    # Labelled and never injected: it has no sidecar that would have to know.
    api.pods = [pod(own.authority), {"metadata": {"name": "q"}}, {"metadata": {"name": "r", "annotations": {"a": "b"}}}]
    await own.ensure()
    second = signer_of(api, "wi-issuer-tls")
    assert second != first
    assert certificates_in(api) == [second, first]
    world.clock.advance(86400)
    await own.ensure()
    assert certificates_in(api) == [second]
    api.calls.clear()
    await own.ensure()
    assert api.calls == []


@pytest.mark.parametrize(("settle", "overlap"), [(180, 86400), (3, 5)])
async def test_a_fresh_bundle_waits_for_the_webhooks_to_get_it_and_leaves_when_all_listeners_have_followed(
    settle, overlap
):
    api, world = Api(), World()
    own = Installation(api, NS, world.clock, rotation=AuthoritySettings(settle=settle, overlap=overlap))
    await own.ensure()
    (first,) = certificates_in(api)
    api.annotate(CA, rotate="please")
    await own.ensure()
    world.clock.advance(settle - 1)
    await own.ensure()
    assert signer_of(api, "wi-webhook-tls") == first
    world.clock.advance(1)
    await own.ensure()
    assert signer_of(api, "wi-webhook-tls") != first
    world.clock.advance(overlap - 1)
    await own.ensure()
    assert first in certificates_in(api)
    world.clock.advance(1)
    await own.ensure()
    assert first not in certificates_in(api)


async def test_an_administrator_does_not_wait_for_pods(caplog):
    api, world = Api(), World()
    own = make(api, world)
    await own.ensure()
    (first,) = certificates_in(api)
    api.pods = [pod(own.authority)]
    api.annotate(CA, rotate="please")
    await own.ensure()
    api.annotate(CA, rotate_now="yes")
    await own.ensure()
    assert signer_of(api, "wi-issuer-tls") != first
    assert "by an administrator's word" in caplog.text


@pytest.mark.parametrize("writes", range(5))
async def test_a_crash_in_a_ca_rotation_is_healed(writes):
    api, world = Api(), World()
    await make(api, world).ensure()
    api.annotate(CA, rotate="please", rotate_now="yes")
    api.crash_after = writes
    with contextlib.suppress(CrashError):
        for _ in range(3):
            await make(api, world).ensure()
    api.crash_after = None
    for _ in range(3):
        await make(api, world).ensure()
    assert len(certificates_in(api)) == 2
    assert signer_of(api, "wi-issuer-tls") == signer_of(api, "wi-webhook-tls") == certificates_in(api)[0]


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


async def test_signing_keys_are_looked_at_again_and_again_also_after_an_error(monkeypatch):
    looks = []

    async def ensure(self):
        looks.append(self)
        if len(looks) == 1:
            raise UnreachableError("GET keys", 0, "down")
        if len(looks) == 3:
            raise asyncio.CancelledError

    monkeypatch.setattr(signing_keys, "LOOK_SECONDS", 0.0)
    monkeypatch.setattr(SigningKeys, "ensure", ensure)
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(SigningKeys(Api(), NS, World().clock, RotationSettings(), None).keep(), 10)
    assert len(looks) == 3
