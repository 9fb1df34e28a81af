"""The webhook's listener over real TLS: answers, refusals of junk, readiness, certificates that change."""

import asyncio
import base64
import json
import ssl

import aiohttp
import pytest
from cryptography import x509
from polling import until
from prometheus_client import CollectorRegistry

from wi_operator.admission import registration as registration_module
from wi_operator.admission.metrics import AdmissionMetrics
from wi_operator.admission.registration import Registration
from wi_operator.admission.server import BODY_LIMIT, build_app, start
from wi_operator.admission.settings import InjectionSettings
from wi_operator.core.certificate import ReloadingCertificate
from wi_operator.core.clock import FrozenClock
from wi_operator.core.errors import SettingsError
from wi_operator.index.store import Index
from wi_testkit.pki import CertificateAuthority

POD = {
    "metadata": {"name": "kick", "labels": {"identity.crewai.com/inject": "true"}},
    "spec": {
        "containers": [
            {"name": "app", "command": ["run"], "env": [{"name": "DB", "value": "secret://demo/very-private-name"}]}
        ]
    },
}


def make_review(item=POD):
    request = {
        "uid": "u-1",
        "resource": {"resource": "pods"},
        "operation": "CREATE",
        "namespace": "team-a",
        "object": item,
        "dryRun": True,
    }
    return {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}


@pytest.fixture(scope="module")
def authority():
    return CertificateAuthority()


@pytest.fixture
def webhook(tmp_path, authority):
    return Webhook(tmp_path, authority)


class Webhook:
    """A listener whose readiness, settings and certificate the test changes."""

    def __init__(self, folder, authority):
        authority.issue(["localhost"]).write(folder)
        self.folder, self.authority = folder, authority
        self.is_ready = True
        self.ca_bundle = "old"
        self.registry = CollectorRegistry()
        self.certificate = ReloadingCertificate(folder)

    async def __aenter__(self):
        app = build_app(
            index=Index(),
            settings=lambda: InjectionSettings("img", "https://grants", self.ca_bundle),
            is_ready=lambda: self.is_ready,
            metrics=AdmissionMetrics(self.registry),
            clock=FrozenClock(),
        )
        self.runner = await start(app, host="127.0.0.1", port=0, tls=self.certificate.server_context())
        self.port = self.runner.addresses[0][1]
        return self

    async def __aexit__(self, *_):
        await self.runner.cleanup()

    async def post(self, body, path="/v1/mutate"):
        """A new connection each time: each one shakes hands."""
        url = f"https://localhost:{self.port}{path}"
        connector = aiohttp.TCPConnector(ssl=self.authority.client_context())
        async with aiohttp.ClientSession(connector=connector) as session, session.post(url, data=body) as response:
            return response.status, await response.text()

    async def serial(self):
        context = self.authority.client_context()
        _, writer = await asyncio.open_connection("127.0.0.1", self.port, ssl=context, server_hostname="localhost")
        serial = writer.get_extra_info("peercert")["serialNumber"]
        writer.close()
        await writer.wait_closed()
        return serial


async def test_a_review_is_answered(webhook):
    async with webhook:
        status, text = await webhook.post(json.dumps(make_review()))
    response = json.loads(text)["response"]
    assert (status, response["allowed"], response["uid"]) == (200, True, "u-1")
    assert "CredentialNotFound" in response["warnings"][0]
    labels = {"path": "mutate", "outcome": "changed"}
    assert webhook.registry.get_sample_value("wi_admission_reviews_total", labels) == 1


def make_pod(team, number):
    """A pod of one of two teams' templates, with a literal of its own."""
    env = [
        {"name": "OWN", "value": f"literal-{number}"},
        {"name": "KEY", "value": f"secret://demo/of-{team}"},
        {"name": "URL", "value": f"$(OWN)/$(KEY)/{team}"},
    ]
    labels = {"identity.crewai.com/inject": "true"}
    container = {"name": "app", "command": ["run", f"{team}-{number}"], "env": env}
    return {"metadata": {"name": f"{team}-{number}", "labels": labels}, "spec": {"containers": [container]}}


async def test_pods_that_come_together_are_each_answered_for_themselves(webhook):
    """What is remembered of one pod's template must not reach another pod."""
    pods = [make_pod(team, number) for number in range(20) for team in ("a", "b")]
    async with webhook:
        answers = await asyncio.gather(*(webhook.post(json.dumps(make_review(pod))) for pod in pods))
    for pod, (status, text) in zip(pods, answers, strict=True):
        assert status == 200
        patch = base64.b64decode(json.loads(text)["response"]["patch"]).decode()
        team, number = pod["metadata"]["name"].split("-")
        own, other = (f"of-{each}" for each in (team, "ab".replace(team, "")))
        assert own in patch
        assert other not in patch
        assert f'"run","{team}-{number}"' in patch
        assert "literal-" not in patch  # it stays where it is


async def test_kinds_are_judged_on_their_own_path(webhook):
    item = {"kind": "WorkloadIdentityConfig", "metadata": {"name": "x"}, "spec": {"provider": "AWS"}}
    async with webhook:
        _, text = await webhook.post(json.dumps(make_review(item)), path="/v1/validate")
    assert "NotSupportedYet" in json.loads(text)["response"]["warnings"][0]


@pytest.mark.parametrize("body", ["", "junk", "[]", json.dumps(make_review(7)), json.dumps(make_review({"spec": 1}))])
async def test_junk_is_a_clear_400(webhook, body):
    async with webhook:
        status, text = await webhook.post(body)
    assert status == 400
    assert "Traceback" not in text
    assert "request.object is not shaped" in text or "the body is not" in text


async def test_the_largest_object_is_taken_and_more_is_refused(webhook):
    big = {**POD, "metadata": {**POD["metadata"], "annotations": {"a": "x" * 3 * 1024 * 1024}}}
    async with webhook:
        assert (await webhook.post(json.dumps(make_review(big))))[0] == 200
        assert (await webhook.post("x" * (BODY_LIMIT + 1)))[0] == 413


async def test_other_paths_and_methods_are_none(webhook):
    async with webhook:
        assert (await webhook.post("{}", path="/"))[0] == 404


async def test_reviews_wait_for_the_index(webhook):
    webhook.is_ready = False
    async with webhook:
        assert (await webhook.post(json.dumps(make_review())))[0] == 503
        webhook.is_ready = True
        assert (await webhook.post(json.dumps(make_review())))[0] == 200
    labels = {"path": "mutate", "outcome": "unready"}
    assert webhook.registry.get_sample_value("wi_admission_reviews_total", labels) == 1


async def test_a_new_ca_bundle_needs_no_restart(webhook):
    async with webhook:
        _, first = await webhook.post(json.dumps(make_review()))
        webhook.ca_bundle = "new"
        _, second = await webhook.post(json.dumps(make_review()))
    assert first != second


async def test_a_new_certificate_needs_no_restart(webhook, authority):
    async with webhook:
        before = await webhook.serial()
        assert await webhook.serial() == before
        authority.issue(["localhost"]).write(webhook.folder)
        assert await webhook.serial() != before


async def test_half_a_new_certificate_keeps_the_old_one(webhook, authority):
    async with webhook:
        before = await webhook.serial()
        new = authority.issue(["localhost"])
        (webhook.folder / "tls.crt").write_bytes(new.cert_pem)
        assert await webhook.serial() == before
        (webhook.folder / "tls.key").write_bytes(new.key_pem)
        after = await webhook.serial()
        assert after != before
        (webhook.folder / "tls.key").unlink()
        assert await webhook.serial() == after


async def test_no_request_fails_while_certificates_are_replaced(webhook, authority):
    """Fresh connections by several clients, and kept ones, while both files change again and again, one at a time."""
    statuses, serials, done = [], set(), asyncio.Event()

    async def ask_anew():
        while not done.is_set():
            statuses.append((await webhook.post(json.dumps(make_review())))[0])

    async def ask_on():
        connector = aiohttp.TCPConnector(ssl=authority.client_context())
        url = f"https://localhost:{webhook.port}/v1/mutate"
        async with aiohttp.ClientSession(connector=connector) as session:
            while not done.is_set():
                async with session.post(url, data=json.dumps(make_review())) as response:
                    statuses.append(response.status)

    async def replace():
        for number in range(12):
            new = await asyncio.to_thread(authority.issue, ["localhost"])
            pairs = [("tls.crt", new.cert_pem), ("tls.key", new.key_pem)]
            for name, content in pairs if number % 2 else reversed(pairs):
                (webhook.folder / name).write_bytes(content)
                enough = len(statuses) + 5
                while len(statuses) < enough:  # noqa: ASYNC110 - the state in between has to be met
                    await asyncio.sleep(0.005)
            serials.add(await webhook.serial())
        done.set()

    async with webhook:
        await asyncio.gather(replace(), ask_on(), *(ask_anew() for _ in range(4)))
    assert len(serials) == 12
    assert len(statuses) >= 120
    assert set(statuses) == {200}


def as_configuration(*bundles):
    return {"webhooks": [{"clientConfig": {"caBundle": base64.b64encode(each).decode()}} for each in bundles]}


async def test_it_is_registered_once_the_api_server_could_call_it(webhook, authority):
    other = CertificateAuthority().pem
    async with webhook:
        registration = Registration("localhost", webhook.port)
        problems = [await registration.find_problem()]
        for bundle in (b"", b"junk", other, authority.pem, other + authority.pem):
            registration.put(as_configuration(bundle))
            problems.append(await registration.find_problem())
        registration.put(as_configuration(authority.pem, b""))
        problems.append(await registration.find_problem())
        registration.drop({})
        problems.append(await registration.find_problem())
    registration.put(as_configuration(authority.pem))
    problems.append(await registration.find_problem())
    usable = "no usable caBundle yet"
    assert [bool(problem) for problem in problems] == [True, True, True, True, False, False, True, True, True]
    assert usable in problems[1]
    assert usable in problems[2]
    assert "does not trust our certificate" in problems[3]
    assert "there is no MutatingWebhookConfiguration" in problems[7]
    assert "does not answer" in problems[8]


@pytest.mark.parametrize("bundle", ["%", "//79", base64.b64encode(b"\xff\xfe").decode()])
async def test_a_bundle_that_is_no_text_is_told(bundle):
    registration = Registration("localhost", 1)
    registration.put({"webhooks": [{"clientConfig": {"caBundle": bundle}}]})
    assert "no usable caBundle yet" in await registration.find_problem()


async def test_a_certificate_for_another_service_is_not_proven(webhook, authority):
    async with webhook:
        registration = Registration("wi-webhook.wi-system.svc", webhook.port)
        registration.put(as_configuration(authority.pem))
        assert "does not trust our certificate" in await registration.find_problem()


async def test_the_end_of_our_certificate_is_read_where_it_is_shown(webhook, authority):
    certificate = x509.load_pem_x509_certificate((webhook.folder / "tls.crt").read_bytes())
    async with webhook:
        registration = Registration("localhost", webhook.port)
        await registration.find_problem()
        before = registration.expiry
        registration.put(as_configuration(authority.pem))
        await registration.find_problem()
    assert (before, registration.expiry) == (0, certificate.not_valid_after_utc.timestamp())


async def test_a_change_of_the_registration_is_seen_at_once(webhook, authority, monkeypatch):
    monkeypatch.setattr(registration_module, "RETRY_SECONDS", 60.0)  # seen by the change, not by looking again
    async with webhook:
        registration = Registration("localhost", webhook.port)
        task = asyncio.create_task(registration.follow())
        for change, is_proven in ((registration.put, True), (registration.drop, False), (registration.put, True)):
            change(as_configuration(authority.pem))
            await until(lambda wanted=is_proven: registration.is_proven() is wanted, seconds=5)
        task.cancel()


def test_no_certificate_is_told(tmp_path):
    with pytest.raises(SettingsError, match=r"no usable tls\.crt"):
        ReloadingCertificate(tmp_path).server_context()


def test_old_tls_is_refused(webhook):
    assert webhook.certificate.server_context().minimum_version == ssl.TLSVersion.TLSv1_2


async def test_logs_hold_neither_patch_nor_reference(webhook, caplog):
    caplog.set_level("DEBUG")
    async with webhook:
        await webhook.post(json.dumps(make_review()))
    text = "\n".join(str(record.__dict__) for record in caplog.records if record.name.startswith("wi_operator"))
    assert "mutate" in text
    assert "very-private-name" not in text
