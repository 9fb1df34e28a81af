"""A kickoff: what is asked, in which order, how often, and what is answered."""

import asyncio
import hashlib
import hmac
import json
import logging
import re

import pytest

from wi_kickoff.wire import Field, Reply
from wi_operator.agent.client import TransportError
from wi_operator.agent.declaration import parse_declaration
from wi_operator.agent.kickoff import Kickoffs, Services
from wi_operator.agent.retry import Deadline
from wi_operator.agent.tokens import TokenCache
from wi_operator.core.log import FIELDS
from wi_operator.federation.diagnosis.transport import Failure
from wi_operator.federation.exchange.base import HttpResponse
from wi_operator.federation.hosts import Endpoint

LINE = "Workload identity config 'team-a/azure' (azure): {} secret(s) resolved"
ID = re.compile(r" kickoff=[0-9a-f]{16}$")


def entra_error(code):
    return HttpResponse(401, json.dumps({"error": "invalid_client", "error_codes": [code]}).encode())


def token(value="fake-token", lifetime=3600):
    return HttpResponse(200, json.dumps({"access_token": value, "expires_in": lifetime}).encode())


def secret(value, **members):
    identifier = "https://demo.vault.test/secrets/x/" + "a" * 32
    return HttpResponse(200, json.dumps({"value": value, "id": identifier, **members}).encode())


class Pod:
    """A sidecar's kickoffs with scripted issuer, Entra and vault."""

    def __init__(self, client, cache, clock, kit, changes):
        self.client, self.clock, self.kit, self.cache = client, clock, kit, cache
        self.tokens = TokenCache(lambda: client, clock=clock, budgets=kit.BUDGETS)
        self.secrets = {"a": "fake-a", "b": "fake-b", "json": '{"k": "fake-k"}'}
        self.entries = [{"name": "A", "reference": "secret://demo/a"}]
        client.script["issuer.test"] = lambda _: kit.ok(kit.grants_document(("demo", "")))
        client.script["login.test"] = lambda _: token()
        client.script["demo.vault.test"] = self.read

    def read(self, request):
        name = request.target.split("/")[2].partition("?")[0]
        if name.lower() in self.secrets:
            return secret(self.secrets[name.lower()])
        return HttpResponse(404, b'{"error":{"code":"SecretNotFound","message":"x"}}')

    async def kickoff(self, source="launcher"):
        return await self.kickoffs().run("app", source, Deadline.after(self.clock, self.kit.BUDGETS.kickoff))

    def kickoffs(self):
        declaration = parse_declaration(json.dumps({"version": 1, "containers": {"app": {"entries": self.entries}}}))
        services = Services(self.cache, self.tokens, lambda: self.client, self.clock, self.kit.BUDGETS)
        return Kickoffs(declaration, services)

    async def error(self):
        reply = await self.kickoff()
        assert not reply.ok
        return "\n".join(field.text for field in reply.fields)

    def reads(self):
        return self.client.sent_to("demo.vault.test")

    def exchanges(self):
        return self.client.sent_to("login.test")


@pytest.fixture
def pod(client, cache, clock, kit, changes):
    return Pod(client, cache, clock, kit, changes)


def script(*answers):
    left = list(answers)
    return lambda _: left.pop(0) if len(left) > 1 else left[0]


async def test_values_and_templates_are_answered_in_the_order_of_the_env(pod):
    pod.entries = [
        {"name": "B", "reference": "secret:///b"},
        {"name": "T", "template": "$(A)"},
        {"name": "A", "reference": "secret://demo/a"},
        {"name": "K", "reference": "secret://demo/json#k"},
    ]
    reply = await pod.kickoff()
    line, *rest = reply.fields
    assert (line.tag, ID.sub("", line.text)) == ("l", LINE.format(3))
    assert Reply(reply.ok, tuple(rest)) == Reply(
        True, (Field("v", "B=fake-b"), Field("t", "T=$(A)"), Field("v", "A=fake-a"), Field("v", "K=fake-k"))
    )


async def test_the_hook_is_told_the_id_that_stands_on_every_line(pod, caplog):
    caplog.set_level(logging.INFO)
    reply = await pod.kickoff("hook")
    (identity,) = [field.text for field in reply.fields if field.tag == "k"]
    assert ID.search(reply.fields[1].text)[0] == f" kickoff={identity}"
    assert getattr(caplog.records[-1], FIELDS)["kickoff"] == identity
    assert "k" not in {field.tag for field in (await pod.kickoff("launcher")).fields}


async def test_a_check_tells_of_values_and_not_the_values(pod):
    pod.client.script["demo.vault.test"] = lambda _: secret("fake-a", attributes={"created": int(pod.clock.now()) - 90})
    reply = await pod.kickoff("check")
    (told,) = [field.text.split("\t") for field in reply.fields if field.tag == "i"]
    expected = hmac.new(b"k" * 32, b"fake-a", hashlib.sha256).hexdigest()[:12]
    assert told == ["A", "a" * 32, told[2], expected, "secret://demo/a"]
    assert 89 <= int(told[2]) <= 92
    assert "fake-a" not in str([field.text for field in reply.fields])


async def test_the_first_kickoff_that_sees_a_new_version_logs_how_long_it_took(pod, caplog):
    caplog.set_level(logging.INFO)
    now, kickoffs = int(pod.clock.now()), pod.kickoffs()
    versions = iter([("1", now - 5000), ("1", now - 5000), ("2", now - 7), ("2", now - 7), ("1", now - 5000)])
    pod.client.script["demo.vault.test"] = lambda _: secret("v", **version(*next(versions)))
    lags = []
    for _ in range(5):
        await kickoffs.run("app", "hook", Deadline.after(pod.clock, 1))
        (told,) = getattr(caplog.records[-1], FIELDS)["secrets"]
        lags.append(told.get("rotation_lag"))
        assert told["version"] in "12"
        assert told["age"] >= 7
    assert lags[2] in (7, 8)
    assert [*lags[:2], *lags[3:]] == [None] * 4


async def test_a_vault_that_does_not_tell_when_a_version_was_created_is_followed_too(pod, caplog):
    caplog.set_level(logging.INFO)
    kickoffs, versions = pod.kickoffs(), iter("122")
    pod.client.script["demo.vault.test"] = lambda _: secret(
        "v", id=f"https://demo.vault.test/secrets/x/{next(versions)}"
    )
    for expected in "122":
        assert (await kickoffs.run("app", "hook", Deadline.after(pod.clock, 1))).ok
        (told,) = getattr(caplog.records[-1], FIELDS)["secrets"]
        assert told["version"] == expected
        assert {"age", "rotation_lag"}.isdisjoint(told)


async def test_a_grant_without_its_providers_settings_fails_its_variable_alone(pod):
    document = pod.kit.grants_document(("demo",))
    document["grants"].append({**document["grants"][0], "credential": "", "azure": None})
    pod.client.script["issuer.test"] = lambda _: pod.kit.ok(document)
    pod.entries.append({"name": "B", "reference": "secret:///b"})
    text = await pod.error()
    assert "1 of 2" in text
    assert "B (secret:///b): NotSupportedYet" in text


def version(identifier, created):
    return {"id": f"https://demo.vault.test/secrets/x/{identifier}", "attributes": {"created": created}}


async def test_every_kickoff_reads_anew(pod):
    await pod.kickoff()
    pod.secrets["a"] = "fake-rotated"
    assert Field("v", "A=fake-rotated") in (await pod.kickoff()).fields


async def test_the_token_is_kept_until_shortly_before_it_expires(pod):
    await pod.kickoff()
    pod.clock.advance(3290)
    await pod.kickoff()
    assert len(pod.exchanges()) == 1
    pod.clock.advance(10)
    await pod.kickoff()
    assert len(pod.exchanges()) == 2


async def test_a_short_lived_token_serves_a_whole_kickoff(pod):
    pod.client.script["login.test"] = lambda _: token(lifetime=60)
    pod.entries = [{"name": n, "reference": f"secret://demo/{n.lower()}"} for n in "AB"]
    await pod.kickoff()
    assert len(pod.exchanges()) == 1


async def test_a_short_lived_token_is_kept_for_half_its_life(pod):
    pod.client.script["login.test"] = lambda _: token(lifetime=60)
    await pod.kickoff()
    pod.clock.advance(25)
    await pod.kickoff()
    assert len(pod.exchanges()) == 1
    pod.clock.advance(10)
    await pod.kickoff()
    assert len(pod.exchanges()) == 2


async def test_variables_of_one_secret_share_a_read(pod):
    names = ["a", "A", "json#k", "json"]
    pod.entries = [{"name": f"V{i}", "reference": f"secret://demo/{name}"} for i, name in enumerate(names)]
    pod.entries.append({"name": "VERSIONED", "reference": f"secret://demo/a?version={'0' * 32}"})
    await pod.kickoff()
    assert len(pod.reads()) == 3


async def test_underscores_and_hyphens_are_one_secret(pod):
    pod.secrets["x-y"] = "fake"
    pod.entries = [{"name": n, "reference": f"secret://demo/{s}"} for n, s in (("A", "x_y"), ("B", "x-y"))]
    await pod.kickoff()
    assert len(pod.reads()) == 1


async def test_reads_run_in_parallel(pod):
    together = asyncio.Barrier(3)

    async def read():
        await together.wait()
        return secret("fake")

    pod.client.script["demo.vault.test"] = lambda _: read()
    pod.entries = [{"name": f"V{i}", "reference": f"secret://demo/v{i}"} for i in range(3)]
    assert (await pod.kickoff()).ok


async def test_one_error_lists_every_variable_and_equal_faults_once(pod):
    pod.entries = [
        {"name": "GOOD", "reference": "secret://demo/a"},
        {"name": "ONE", "reference": "secret://demo/none"},
        {"name": "TWO", "reference": "secret://demo/none"},
        {"name": "KEY", "reference": "secret://demo/json#z"},
        {"name": "NAME", "reference": "secret://demo/not.a.name"},
    ]
    lines = (await pod.error()).splitlines()
    assert ID.sub("", lines[0]) == "Workload identity kickoff failed: 4 of 5 secret variable(s) have no value."
    assert lines[1].startswith("ONE (secret://demo/none), TWO (secret://demo/none): SecretNotFound: There is no secret")
    assert lines[2].startswith("KEY (secret://demo/json#z): JsonKeyNotFound: ")
    assert lines[3].startswith("NAME (secret://demo/not.a.name): InvalidSecretName: ")
    assert len(lines) == 4


async def test_a_failed_kickoff_answers_no_value_at_all(pod):
    pod.entries.append({"name": "B", "reference": "secret://demo/none"})
    assert "fake-a" not in await pod.error()


async def test_a_refused_credential_is_told_in_the_issuers_words(pod):
    refusal = {
        "credential": "x",
        "status": 403,
        "reason": "ServiceAccountNotAllowed",
        "detail": "Not you.",
        "remedy": "Ask.",
    }
    pod.client.script["issuer.test"] = lambda _: pod.kit.ok(pod.kit.grants_document(refusals=[refusal]))
    pod.entries = [{"name": "X", "reference": "secret://x/a"}]
    assert "X (secret://x/a): ServiceAccountNotAllowed: Not you. Ask." in await pod.error()


async def test_a_credential_that_the_answer_forgot_is_told(pod):
    pod.entries = [{"name": "X", "reference": "secret://forgotten/a"}]
    assert "CredentialNotGranted" in await pod.error()


async def test_another_provider_is_not_supported_yet(pod):
    document = pod.kit.grants_document(grant={"provider": "AWSSecretsManager", "azure": None})
    pod.client.script["issuer.test"] = lambda _: pod.kit.ok(document)
    assert "NotSupportedYet" in await pod.error()


async def test_a_refused_assertion_is_minted_anew_once(pod):
    pod.client.script["login.test"] = script(entra_error(700213), token())
    serials = iter(range(9))
    pod.client.script["issuer.test"] = lambda _: pod.kit.ok(pod.kit.grants_document(serial=next(serials)))
    assert (await pod.kickoff()).ok
    first, second = (request.body for request in pod.exchanges())
    assert first != second


async def test_an_assertion_that_stays_refused_is_told_after_the_second_time(pod):
    pod.client.script["login.test"] = lambda _: entra_error(700213)
    assert "SubjectMismatch: AADSTS700213" in await pod.error()
    assert len(pod.exchanges()) == 2


async def test_the_clouds_word_stands_when_no_new_assertion_can_be_had(pod):
    await pod.cache.refresh()
    pod.client.script["login.test"] = lambda _: entra_error(700213)
    down = TransportError(Failure.UNREACHABLE, Endpoint("issuer.test", 443), "x")
    pod.client.script["issuer.test"] = lambda _: down
    assert "AADSTS700213" in await pod.error()


async def test_an_error_about_the_app_is_not_answered_with_a_new_assertion(pod):
    pod.client.script["login.test"] = lambda _: entra_error(7000112)
    assert "AppDisabled" in await pod.error()
    assert len(pod.exchanges()) == 1


async def test_a_token_that_the_vault_refuses_is_exchanged_once_for_all_readers(pod):
    answers = iter(["fake-1", "fake-2", "fake-3"])
    pod.client.script["login.test"] = lambda _: token(next(answers))

    def read(request):
        good = dict(request.headers)["authorization"] == "Bearer fake-2"
        return pod.read(request) if good else HttpResponse(401, b'{"error":{"code":"Unauthorized","message":"x"}}')

    pod.client.script["demo.vault.test"] = read
    pod.entries = [{"name": n, "reference": f"secret://demo/{n.lower()}"} for n in "AB"]
    assert (await pod.kickoff()).ok
    assert len(pod.exchanges()) == 2


async def test_a_vault_that_refuses_every_token_ends_the_kickoff(pod):
    pod.client.script["demo.vault.test"] = lambda _: HttpResponse(
        401, b'{"error":{"code":"Unauthorized","message":"x"}}'
    )
    assert "VaultTokenRejected" in await pod.error()
    assert (len(pod.exchanges()), len(pod.reads())) == (2, 2)


@pytest.mark.parametrize(
    "fault",
    [
        HttpResponse(429, b'{"error":{"code":"Throttled"}}'),
        HttpResponse(503),
        HttpResponse(401, b'{"error":{"code":"Unauthorized","message":"AKV10046: x"}}'),
        TransportError(Failure.RESET, Endpoint("demo.vault.test", 443), "x"),
    ],
)
async def test_a_passing_fault_is_retried(pod, fault):
    pod.client.script["demo.vault.test"] = script(fault, fault, secret("fake"))
    assert (await pod.kickoff()).ok


async def test_tokens_that_the_vault_calls_expired_are_exchanged_once_and_not_at_every_try(pod):
    body = b'{"error":{"code":"Unauthorized","message":"[TokenExpired] x"}}'
    pod.client.script["demo.vault.test"] = lambda _: HttpResponse(401, body)
    assert "VaultTokenRejected" in await pod.error()
    assert len(pod.exchanges()) == 2


async def test_a_vault_without_a_name_in_dns_is_told_as_a_vault(pod):
    unknown = TransportError(Failure.HOST_UNKNOWN, Endpoint("demo.vault.test", 443), "Name or service not known")
    pod.client.script["demo.vault.test"] = lambda _: unknown
    assert "VaultHostUnknown" in await pod.error()
    assert len(pod.reads()) == 1


async def test_a_lasting_fault_ends_at_once(pod):
    pod.client.script["demo.vault.test"] = lambda _: HttpResponse(
        403, b'{"error":{"innererror":{"code":"SecretDisabled"}}}'
    )
    await pod.error()
    assert len(pod.reads()) == 1


async def test_a_wait_longer_than_the_budget_is_not_begun(pod):
    throttled = HttpResponse(429, b"", {"retry-after": "60"})
    pod.client.script["demo.vault.test"] = lambda _: throttled
    assert "VaultThrottled" in await pod.error()
    assert len(pod.reads()) == 1


async def test_a_vault_that_hangs_ends_with_the_budget(pod):
    pod.client.script["demo.vault.test"] = lambda _: asyncio.sleep(30)
    assert "KickoffOutOfTime" in await asyncio.wait_for(pod.error(), 3)


@pytest.mark.attack(twin="test_values_and_templates_are_answered_in_the_order_of_the_env")
@pytest.mark.parametrize("part", ["vaultUrl", "authorityHost"])
async def test_no_token_goes_to_a_host_that_is_not_listed(pod, part):
    document = pod.kit.grants_document(azure={part: "https://evil.example"})
    pod.client.script["issuer.test"] = lambda _: pod.kit.ok(document)
    assert "ForbiddenHost: evil.example is not on the allow-list" in await pod.error()
    assert pod.client.sent_to("evil.example") == []
    assert pod.exchanges() == []


@pytest.mark.attack(twin="test_the_token_is_kept_until_shortly_before_it_expires")
@pytest.mark.parametrize("change", [{"organization": "other"}, {"keyEpoch": 2}, {"config": {"generation": 2}}])
async def test_a_changed_identity_never_meets_an_old_token(pod, change):
    await pod.kickoff()
    pod.client.script["issuer.test"] = lambda _: pod.kit.ok(pod.kit.grants_document(**change), '"2"')
    await pod.kickoff()
    assert len(pod.exchanges()) == 2


async def test_the_log_tells_names_versions_and_fingerprints_and_never_a_value(pod, caplog):
    with caplog.at_level(logging.INFO):
        await pod.kickoff()
    record = next(record for record in caplog.records if record.message == LINE.format(1))
    told = getattr(record, FIELDS)
    assert told["secrets"][0]["version"] == "a" * 32
    assert len(told["secrets"][0]["fingerprint"]) == 12
    assert len(told["kickoff"]) == 16
    assert "fake-" not in json.dumps(told)


async def test_the_log_of_a_failure_has_reason_and_trace(pod, caplog):
    body = {"error_codes": [700213], "trace_id": "trace-1", "error_description": "x"}
    pod.client.script["login.test"] = lambda _: HttpResponse(401, json.dumps(body).encode())
    assert "Trace id trace-1." in await pod.error()
    failure = getattr(caplog.records[-1], FIELDS)["failures"][0]
    assert (failure["variable"], failure["reason"], failure["trace_id"]) == ("A", "SubjectMismatch", "trace-1")


async def test_an_expired_secret_is_delivered_with_a_warning(pod):
    pod.client.script["demo.vault.test"] = lambda _: secret("fake", attributes={"exp": 1_700_000_000})
    reply = await pod.kickoff()
    assert reply.ok
    assert "secret 'a' expired at 2023-11-14T22:13:20Z" in reply.fields[1].text


async def test_variables_through_two_configs_have_a_line_each(pod):
    document = pod.kit.grants_document(("demo",))
    other = pod.kit.grants_document(("",), config={"name": "second", "uid": "d"})
    document["grants"] += other["grants"]
    pod.client.script["issuer.test"] = lambda _: pod.kit.ok(document)
    pod.entries.append({"name": "B", "reference": "secret:///b"})
    lines = [ID.sub("", field.text) for field in (await pod.kickoff()).fields if field.tag == "l"]
    assert lines == [LINE.format(1), LINE.format(1).replace("azure'", "second'")]
