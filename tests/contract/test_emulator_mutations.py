"""Leaving out any one check of an emulator changes exactly the cases about it: the tables test every rule, once."""

import subprocess
import sys

import aiohttp
import pytest
from aiohttp.test_utils import TestServer

from wi_testkit.emulation import mutations
from wi_testkit.emulation.cases import Change, send, table
from wi_testkit.emulation.checks import UnknownCheckError
from wi_testkit.emulation.process import SOURCE_ROOT
from wi_testkit.entra import app as entra_app
from wi_testkit.entra import cases as entra_cases
from wi_testkit.entra import checks as entra_checks
from wi_testkit.entra.server import running_entra
from wi_testkit.entra.service import EntraService
from wi_testkit.entra.tokens import new_signing_key
from wi_testkit.keyvault import app as vault_app
from wi_testkit.keyvault import cases as vault_cases
from wi_testkit.keyvault import checks as vault_checks
from wi_testkit.keyvault.keys import EntraKeys
from wi_testkit.keyvault.service import VaultService

ADMIN = {"Authorization": "Bearer mutation-run"}


async def gists(app, seed, module, issuer):
    """Serve the application, seed it, ask all cases and return what distinguishes the answers."""
    async with TestServer(app) as server, aiohttp.ClientSession() as session:
        url = str(server.make_url("")).rstrip("/")
        for method, path, body in seed:
            async with session.request(method, f"{url}/_admin/{path}", json=body, headers=ADMIN) as response:
                assert response.status == 200, await response.text()
        return {case.name: module.gist(await send(session, url, case.ask(issuer))) for case in module.CASES}


async def test_each_check_of_entra_decides_exactly_its_cases(static_issuer, test_ca, capsys):
    key, context = new_signing_key(), test_ca.client_context()
    seed = [("PUT", path, body) for path, body in entra_cases.seed_calls(static_issuer)]

    async def ask_all(without):
        service = EntraService(context, key=key, without=without)
        return await gists(entra_app.build_app(service, "mutation-run"), seed, entra_cases, static_issuer)

    changes = await mutations.run(entra_checks.NAMES, ask_all)
    with capsys.disabled():
        print(f"\nEntra: check → cases that changed without it\n{table(changes)}")
    assert mutations.judge(changes, {case.name: case.check for case in entra_cases.CASES}) == []


async def test_each_check_of_keyvault_decides_exactly_its_cases(static_issuer, test_ca, capsys):
    context = test_ca.client_context()

    async def ask_all(without):
        service = VaultService(EntraKeys(static_issuer.url, context), without=without)
        app = vault_app.build_app(service, "mutation-run")
        return await gists(app, vault_cases.seed_calls(), vault_cases, static_issuer)

    changes = await mutations.run(vault_checks.CHECKS.names, ask_all)
    with capsys.disabled():
        print(f"\nKey Vault: check → cases that changed without it\n{table(changes)}")
    assert mutations.judge(changes, {case.name: case.check for case in vault_cases.CASES}) == []


async def test_a_process_without_a_check_answers_differently(test_ca, static_issuer):
    case = next(case for case in entra_cases.CASES if case.name == "claims_altered")
    with running_entra(test_ca, arguments=["--without", "signature_invalid"]) as entra:
        for path, body in entra_cases.seed_calls(static_issuer):
            entra.put(path, body)
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=test_ca.client_context())) as session:
            answer = await send(session, entra.url, case.ask(static_issuer))
    assert answer.status == 200


@pytest.mark.parametrize(
    ("module", "own"), [("wi_testkit.entra", []), ("wi_testkit.keyvault", ["--entra-url", "https://localhost"])]
)
def test_a_process_refuses_a_check_that_does_not_exist(module, own):
    command = [sys.executable, "-m", module, "--tls-cert", "x", "--tls-key", "x", *own, "--without", "typo"]
    done = subprocess.run(command, capture_output=True, text=True, env={"PYTHONPATH": str(SOURCE_ROOT)})
    assert done.returncode == 2
    assert "no check is called 'typo'" in done.stderr


def test_an_unknown_check_is_refused(test_ca):
    with pytest.raises(UnknownCheckError, match="no check is called 'typo'"):
        EntraService(test_ca.client_context(), without=["typo"])


@pytest.mark.parametrize(
    ("changed", "wrong"),
    [
        (frozenset(), "one: changed [], expected ['a']"),
        (frozenset({"a", "b"}), "one: changed ['a', 'b'], expected ['a']"),
    ],
)
def test_the_judge_sees_a_case_too_few_and_one_too_many(changed, wrong):
    assert mutations.judge([Change("one", changed)], {"a": "one", "b": "two"}) == [wrong]


def test_the_judge_sees_a_check_without_a_case():
    assert mutations.judge([Change("bare", frozenset())], {"a": "one"}) == ["bare: no case is about this check"]
