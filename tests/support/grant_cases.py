"""What the issuer's door for grants answers, one request for each row: a real face, with one thing about it not right."""

import base64

from aiohttp.test_utils import TestClient, TestServer
from row_scene import ORGANIZATION

from wi_operator.cluster.errors import UnreachableError
from wi_operator.core.clock import SystemClock
from wi_operator.federation.diagnosis import issuer
from wi_operator.federation.keys import generate_key_set
from wi_operator.federation.timetable import first_timetable
from wi_operator.index.objects import Organization
from wi_operator.index.store import Index
from wi_operator.issuer.app import GrantsFace
from wi_operator.issuer.callers import Caller, CallerReviews
from wi_operator.issuer.grants import Grants
from wi_operator.issuer.handshakes import Handshakes
from wi_operator.issuer.keyring import Keyring
from wi_operator.issuer.settings import IssuerSettings


def item(name, spec):
    return {"metadata": {"namespace": "a", "name": name, "uid": name, "generation": 1}, "spec": spec}


def index_of(**credentials):
    """An index with two configs and these credentials."""
    index, known = Index(), {"provider": "AzureKeyVault", "authMethod": "WorkloadIdentity"}
    index.put_config(item("aws", {"provider": "AWS"}))
    index.put_config(item("azure", {"provider": "Azure", "azure": {}}))
    for name, spec in credentials.items():
        index.put_credential(item(name, {**known, **spec}))
    return index


class Reviews:
    """Says of every token who holds it."""

    async def review(self, token, audience):
        namespace, account = token.reveal().split("/")
        return Caller(namespace, account, "pod", f"{namespace}-pod")


class DeadKubernetes:
    async def create(self, path, body):
        raise UnreachableError("POST", 0, "no answer")


class Broken:
    def __getattr__(self, name):
        raise RuntimeError("planted")


def keyring(*, held=True, recorded=True):
    clock, keys = SystemClock(), generate_key_set()
    other = keys if held else generate_key_set()
    ring = Keyring(lambda: (other, first_timetable(keys, clock.now())) if recorded else None, clock)
    ring.load()
    return ring


async def ask(row):
    """Return what the grants' door answers to the row's request."""
    return await _ask(**ASKED[row])


async def _ask(keys=None, url="https://i.example", synced=True, reviews=None, **request):
    index, clock, ring, settings = (
        index_of(demo={}),
        SystemClock(),
        keyring(**keys or {}),
        IssuerSettings(url, pod_rate=1.0),
    )
    index.organizations |= {"a": Organization(ORGANIZATION, is_implicit=False), "b": Organization.UNVERIFIED}
    shakes = Handshakes(Broken(), index, ring, settings, clock)
    face = GrantsFace(reviews or Reviews(), Grants(index, ring, settings, clock), shakes, lambda: synced)
    async with TestClient(TestServer(face.build_app())) as client:
        for _ in range(request.get("times", 1)):
            answer = await client.post(
                request.get("path", "/v1/grants"),
                json=request.get("body", {"credentials": ["demo"]}),
                headers={"Authorization": f"Bearer {request.get('who', 'a/worker')}"},
            )
        return await answer.json()


CLAIMS = base64.urlsafe_b64encode(b'{"aud":"wi-issuer","exp":4000000000}').decode().rstrip("=")
UNREVIEWED = f"h.{CLAIMS}.s"
ASKED = {
    issuer.URL_MISSING: {"url": ""},
    issuer.KEY_MISSING: {"keys": {"recorded": False}},
    issuer.KEY_LOST: {"keys": {"held": False}},
    issuer.ORGANIZATION_UNVERIFIED: {"who": "b/worker"},
    issuer.KUBERNETES_UNAVAILABLE: {"reviews": CallerReviews(DeadKubernetes(), SystemClock()), "who": UNREVIEWED},
    issuer.NOT_SYNCED: {"synced": False},
    issuer.TOO_MANY_REQUESTS: {"times": 8},
    issuer.TOKEN_REJECTED: {"who": ""},
    issuer.NAMESPACE_UNKNOWN: {"who": "c/worker"},
    issuer.NOT_THE_CONTROLLER: {
        "path": "/v1/handshakes",
        "body": {"namespace": "a", "name": "azure", "uid": "u", "generation": 1},
    },
    issuer.MALFORMED_REQUEST: {"body": {"namespace": "a"}},
    issuer.FAILED: {
        "path": "/v1/handshakes",
        "who": "wi-system/wi-controller",
        "body": {"namespace": "a", "name": "azure", "uid": "u", "generation": 1},
    },
}
