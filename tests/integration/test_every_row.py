"""Every row of the diagnosis table, met on every surface that it declares: real API server, real sidecars, strict emulators."""

import dataclasses
import json
import socket
import socketserver
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from urllib.parse import urlsplit

import pytest
from admission_cases import POLICY, WEBHOOK, PodCase, fixed_words, install_policies
from controller_run import apply_all, eventually, running_controller
from grant_cases import ASKED, ask, index_of
from row_scene import (
    BUSY,
    CONFIG,
    CREDENTIAL,
    KICKOFF,
    ORGANIZATION,
    ROOT,
    SPACE,
    Pod,
    World,
    granted,
    host_cases,
    issuer_cases,
    link_cases,
    login_cases,
    manifest,
    variable,
    vault_cases,
)

from wi_operator.api import names
from wi_operator.federation.diagnosis import controller as controller_rows
from wi_operator.federation.diagnosis import grants, issuer, keyvault, kickoff, links, transport
from wi_operator.federation.diagnosis.base import Surface
from wi_operator.federation.diagnosis.table import ROWS
from wi_operator.federation.diagnosis.transport import Failure
from wi_operator.index.resolve import Refusal, check_service_account, resolve
from wi_operator.issuer.problems import Problem
from wi_operator.reconcile.settings import ControllerSettings
from wi_testkit.controlplane.errors import ControlPlaneError
from wi_testkit.controlplane.plane import Plane
from wi_testkit.emulation import acts
from wi_testkit.emulator_fixtures import redirecting
from wi_testkit.pki import CertificateAuthority

PATIENCE = 90.0
GRANT, ADMISSION = Surface.GRANT, Surface.ADMISSION


class Ledger:
    """Which row was met where."""

    def __init__(self):
        self.met = set()

    def note(self, row, surface):
        assert surface in row.surfaces, f"{row.code} {row.reason} was met as {surface.name}, which it does not declare"
        self.met.add((row.code, row.reason, surface))


@pytest.fixture(scope="module")
def ledger():
    return Ledger()


@pytest.fixture(scope="module")
def names_resolve(entra, keyvault):
    """The real names lead to the emulators in this process, for the controller."""
    patch = pytest.MonkeyPatch()
    redirected = redirecting(socket.getaddrinfo, *(urlsplit(each.url).port for each in (entra, keyvault)))

    def resolve_name(host, *rest, **options):
        if host in (BUSY, BUSY.encode()):
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return redirected(host, *rest, **options)

    patch.setattr(socket, "getaddrinfo", resolve_name)
    yield
    patch.undo()


@pytest.fixture(scope="module")
def world(plane, entra, keyvault, static_issuer, test_ca, tmp_path_factory):
    for file in (ROOT / "crds").glob("*.yaml"):
        plane.run_kubectl("apply", "--server-side", f"--filename={file}")
    kinds = [f"crd/{plural}.identity.crewai.com" for plural in (names.CONFIG_PLURAL, names.CREDENTIAL_PLURAL)]
    plane.run_kubectl("wait", "--for=condition=Established", *kinds, "--timeout=30s")
    annotations = {names.ORGANIZATION_ANNOTATION: ORGANIZATION}
    spaces = [{"name": name, "annotations": annotations} for name in (SPACE, "defaults", "runs")]
    apply_all(
        plane, [{"apiVersion": "v1", "kind": "Namespace", "metadata": m} for m in [*spaces, {"name": "wi-system"}]]
    )
    made = World(plane, entra, keyvault, static_issuer, test_ca, tmp_path_factory.mktemp("rows"))
    yield made
    entra.heal()
    keyvault.heal()
    made.close()


@pytest.fixture(autouse=True)
def nothing_left(world):
    """End the pods of a test that failed before it did."""
    yield
    for pod in list(world.running):
        pod.close()


@pytest.fixture(scope="module")
def cases(world):
    made = [*login_cases(), *vault_cases(), *host_cases(world), *issuer_cases(world), *link_cases()]
    for case in made:
        world.arrange(case)
    return made


@pytest.fixture(scope="module")
def good(cases):
    """A case whose secrets can be read."""
    return next(case for case in cases if case.row is keyvault.RBAC_LIST)


@pytest.fixture(scope="module")
def settings(world):
    (world.folder / "token").write_text("planted-controller-token")
    return ControllerSettings(
        namespace="wi-system",
        pod_name="wi-controller-0",
        public_url=world.issuer.url,
        grants_url=world.door.url,
        token_file=world.folder / "token",
        issuer_ca_file=world.ca.write(world.folder / "ca.crt"),
        extra_ca_file=world.folder / "ca.crt",
        allowed_hosts=world.allowed,
    )


@pytest.fixture(scope="module")
def kubeconfig(world):
    return world.plane.mint_kubeconfig("admin", ["system:masters"])


def status_of(world, kind, namespace=SPACE):
    items = json.loads(world.plane.run_kubectl("get", kind, "-n", namespace, "-o", "json"))["items"]
    return {item["metadata"]["name"]: item.get("status", {}).get("conditions", []) for item in items}


def shows(conditions, case):
    """Tell whether the conditions name the row: its reason and code, or its words where it only warns."""
    if case.words:
        return any(case.words in c["message"] for c in conditions)
    mine = [c for c in conditions if c["reason"] == case.row.reason]
    return bool(mine) and (case.said in mine[0]["message"] or case.said == case.row.reason)


def said(conditions):
    return "; ".join(f"{c['type']}={c['status']} {c['reason']}: {c['message']}" for c in conditions)


def test_conditions_and_events(world, cases, settings, kubeconfig, ledger, names_resolve):
    aws = {"provider": "AWS", "aws": {"roleArn": "arn:aws:iam::123456789012:role/wi", "region": "eu-west-1"}}
    apply_all(world.plane, [manifest("WorkloadIdentityConfig", "aws", aws)])
    apply_all(world.plane, [item for case in cases for item in world.objects(case)])
    wanted = [(kind, case) for kind in (CONFIG, CREDENTIAL) for case in cases if kind in case.surfaces]
    with running_controller(settings, kubeconfig) as running:

        def missing():
            assert running.outcome is None, running.outcome
            found = {CONFIG: status_of(world, "wic"), CREDENTIAL: status_of(world, "spcred")}
            left = [(surface, case, found[surface].get(case.slug) or []) for surface, case in wanted]
            return [f"{s.name} {c.row.code}: {said(shown)}" for s, c, shown in left if not shows(shown, c)]

        deadline = time.monotonic() + PATIENCE
        while left := missing():
            assert time.monotonic() < deadline, "\n".join(left)
            time.sleep(1.0)
    world.plane.run_kubectl("delete", "wic,spcred", "--all", "-n", SPACE, "--wait=false")
    for surface, case in wanted:
        ledger.note(case.row, surface)
    events = json.loads(world.plane.run_kubectl("get", "events", "-n", SPACE, "-o", "json"))["items"]
    told = {(event["involvedObject"]["name"], event["reason"]) for event in events}
    for case in cases:
        if not case.warning and {CONFIG, CREDENTIAL} & case.surfaces:
            assert (case.slug, case.row.reason) in told, case.row


def test_two_defaults_show_on_both_sides(world, good, settings, kubeconfig, ledger, names_resolve):
    azure = {"provider": "Azure", "default": True, "azure": {"tenantId": good.tenant, "clientId": good.client}}
    vault = {"provider": "AzureKeyVault", "azureKeyVault": {"vaultUrl": f"https://{good.vault}.vault.azure.net"}}
    two = [manifest("WorkloadIdentityConfig", name, azure, "defaults") for name in ("one", "two")]
    apply_all(world.plane, [*two, manifest("SecretProviderCredential", "any", vault, "defaults")])
    row = links.AMBIGUOUS_DEFAULT
    with running_controller(settings, kubeconfig):

        def describe():
            return "\n".join(said(c) for kind in ("wic", "spcred") for c in status_of(world, kind, "defaults").values())

        def is_told():
            configs, credentials = status_of(world, "wic", "defaults"), status_of(world, "spcred", "defaults")
            notes = [said(configs[name]).count(f"{row.reason}: ") for name in ("one", "two")]
            return all(notes) and any(c["reason"] == row.reason for c in credentials["any"])

        eventually(is_told, describe=describe)
        world.plane.run_kubectl("delete", "wic", "two", "-n", "defaults")
        eventually(lambda: "Ready=True" in said(status_of(world, "spcred", "defaults")["any"]), describe=describe)
        apply_all(world.plane, [two[1]])
        eventually(is_told, describe=describe)
        world.plane.run_kubectl("delete", "wic", "one", "-n", "defaults")
        changed = "ConfigResolved=True DefaultChanged"
        eventually(lambda: changed in said(status_of(world, "spcred", "defaults")["any"]), describe=describe)
        assert row.reason not in said(status_of(world, "wic", "defaults")["two"])
    events = json.loads(world.plane.run_kubectl("get", "events", "-n", "defaults", "-o", "json"))["items"]
    told = [event["involvedObject"]["name"] for event in events if event["reason"] == "DefaultChanged"]
    assert sorted(told) == ["any", "two"]
    for surface in (CONFIG, CREDENTIAL):
        ledger.note(row, surface)


def test_a_probed_secret_and_listed_names(world, good, settings, kubeconfig, names_resolve):
    vault = "listed" + good.slug
    world.keyvault.add_vault(vault, good.tenant, emptyPages=1)
    world.keyvault.assign(vault, world.oid(good), "Key Vault Secrets User")
    for number in range(203):
        world.keyvault.set_secret(vault, f"name-{number:03}", "fake")
    azure = {"provider": "Azure", "azure": {"tenantId": good.tenant, "clientId": good.client}}
    block = {"vaultUrl": f"https://{vault}.vault.azure.net", "probeSecret": "name_001"}
    spec = {"provider": "AzureKeyVault", "workloadIdentityRef": {"name": "lists"}, "azureKeyVault": block}
    credential = manifest("SecretProviderCredential", "lists", {**spec, "listSecretNames": True}, "runs")
    apply_all(world.plane, [manifest("WorkloadIdentityConfig", "lists", azure, "runs"), credential])
    with running_controller(settings, kubeconfig):
        eventually(lambda: "Ready=True" in said(status_of(world, "spcred", "runs")["lists"]))
        shown = said(status_of(world, "spcred", "runs")["lists"])
        assert "SecretReadable=True Succeeded: Secret 'name-001' was read; its value was dropped." in shown
        assert "SecretsListable=True Succeeded: Listed the first 200 secret name(s)" in shown
        assert "Not tested" not in shown.partition("Ready=")[2]
        found = json.loads(world.plane.run_kubectl("get", "spcred", "lists", "-n", "runs", "-o", "json"))["status"]
        assert len(found["secretNames"]) == 200
        assert found["secretNames"] == sorted(found["secretNames"])
        # A nextLink that leads elsewhere is not followed: the token stays with the vault.
        stray = {"value": [], "nextLink": f"https://elsewhere{good.slug}.vault.azure.net/secrets?api-version=7.6"}
        fault = world.keyvault.fault(acts.answer(200, stray), vault=vault, operation="list", authenticated=True)
        world.keyvault.forget_requests()
        note = f"{names.TEST_ANNOTATION}=again"
        world.plane.run_kubectl("annotate", "spcred/lists", "-n", "runs", note)
        eventually(lambda: "SecretsListable=False NotHttp" in said(status_of(world, "spcred", "runs")["lists"]))
        assert not [r for r in world.keyvault.requests() if r["host"].startswith("elsewhere")]
        world.keyvault.heal(fault)


@pytest.mark.parametrize(
    ("row", "changes"),
    [
        (issuer.URL_MISSING, {"public_url": ""}),
        (controller_rows.TOKEN_UNREADABLE, {"token_file": None}),
        (grants.NOT_TRUSTED, {"issuer_ca_file": None}),
    ],
    ids=lambda value: getattr(value, "reason", ""),
)
def test_an_installation_that_is_not_right(world, good, settings, kubeconfig, ledger, names_resolve, row, changes):
    other = CertificateAuthority().write(world.folder / "other.crt")
    files = {"token_file": world.folder / "none", "issuer_ca_file": other}
    changed = {name: files.get(name) if value is None else value for name, value in changes.items()}
    name = row.reason.lower()
    azure = {"provider": "Azure", "azure": {"tenantId": good.tenant, "clientId": good.client}}
    vault = {"vaultUrl": f"https://{good.vault}.vault.azure.net"}
    spec = {"provider": "AzureKeyVault", "workloadIdentityRef": {"name": name}, "azureKeyVault": vault}
    config = manifest("WorkloadIdentityConfig", name, azure, "runs")
    apply_all(world.plane, [config, manifest("SecretProviderCredential", name, spec, "runs")])
    with running_controller(dataclasses.replace(settings, **changed), kubeconfig):
        for kind, surface in (("wic", CONFIG), ("spcred", CREDENTIAL)):
            eventually(lambda kind=kind: row.reason in said(status_of(world, kind, "runs")[name]))
            ledger.note(row, surface)


def line_of(text, name):
    return next((line for line in text.splitlines() if f"{name} (" in line), "")


def kick(pod):
    try:
        return pod.launch()
    finally:
        pod.close()


def kick_all(pods):
    """Kick all at once: what only time can cure is tried for 15 seconds each."""
    with ThreadPoolExecutor(len(pods)) as threads:
        return list(threads.map(kick, pods))


def test_kickoffs(world, cases, ledger):
    wanted = [case for case in cases if KICKOFF in case.surfaces and case.door is None]
    parts = [wanted[start : start + 40] for start in range(0, len(wanted), 40)]
    pods = [
        Pod(world, f"pod-{n}", [variable(case) for case in part], granted(world, part)) for n, part in enumerate(parts)
    ]
    for part, text in zip(parts, kick_all(pods), strict=True):
        for case in part:
            line = line_of(text, f"V_{case.slug}")
            assert f": {case.row.reason}: " in line, (case.row, line, text[:500])
            assert case.said in line
            ledger.note(case.row, KICKOFF)


def test_a_pod_whose_request_the_issuer_refuses(world, good, ledger):
    scripts = {row: (503, Problem.of(503, row, detail="planted", namespace=SPACE).render()) for row in issuer.ROWS}
    scripts |= {grants.UNREACHABLE: (0, {}), grants.UNREADABLE: (200, {})}
    scripts |= {grants.REFUSED: (403, {"reason": "no reason", "detail": "Planted"})}
    scripts |= {grants.NOT_GRANTED: granted(world, [])({"credentials": []})}
    scripts |= {grants.TOKEN_MISSING: (200, {}), grants.NOT_TRUSTED: (200, {})}
    met = {row: answer for row, answer in scripts.items() if KICKOFF in row.surfaces}
    pods = [
        Pod(
            world,
            f"pod-{row.reason}",
            [variable(good)],
            lambda body, answer=answer: answer,
            token=row is not grants.TOKEN_MISSING,
            ca=CertificateAuthority() if row is grants.NOT_TRUSTED else None,
        )
        for row, answer in met.items()
    ]
    for row, text in zip(met, kick_all(pods), strict=True):
        assert f": {row.reason}: " in line_of(text, f"V_{good.slug}"), text
        ledger.note(row, KICKOFF)


def lost_links():
    """What the product's own resolving says of links that lead nowhere: the pod's reference → its refusal."""
    guarded = {"workloadIdentityRef": {"name": "azure"}, "allowedServiceAccounts": ["robot"]}
    index = index_of(
        lost={"workloadIdentityRef": {"name": "gone"}},
        wrong={"workloadIdentityRef": {"name": "aws"}},
        manager={"provider": "AWSSecretsManager"},
        guarded=guarded,
    )
    twice = index_of(one={"default": True}, two={"default": True})
    found = {name: (index, name) for name in ("none", "", "lost", "wrong", "manager", "guarded")} | {"two": (twice, "")}
    for label, (known, name) in found.items():
        outcome = resolve(known, "a", name)
        refusal = outcome if isinstance(outcome, Refusal) else check_service_account(outcome.credential, "default")
        yield label or "nothing", known, name, refusal.diagnosis


def test_links_that_lead_nowhere(world, good, ledger):
    met = list(lost_links())
    entries = [{"name": f"V_{label}", "reference": f"secret://r{n}/probe"} for n, (label, *_) in enumerate(met)]
    refusals = [
        {"credential": f"r{n}", "status": 409, "reason": d.reason, "detail": d.cause, "remedy": d.remedy}
        for n, (*_, d) in enumerate(met)
    ]
    text = kick(Pod(world, "pod-links", entries, granted(world, [good], refusals)))
    for label, index, name, diagnosis in met:
        assert f": {diagnosis.reason}: {diagnosis.cause}" in line_of(text, f"V_{label}"), text
        ledger.note(diagnosis.row, KICKOFF)
        verdict = PodCase(env=(("V", f"secret://{name}/probe"),)).judge(index)
        assert any(warning.startswith(f"{diagnosis.reason}: {diagnosis.cause}") for warning in verdict.warnings), (
            verdict
        )
        ledger.note(diagnosis.row, ADMISSION)


def test_a_vault_url_that_is_missing(world, ledger):
    spec = {"provider": "AzureKeyVault", "azureKeyVault": {}}
    with pytest.raises(ControlPlaneError, match=links.VAULT_URL_MISSING.cause.rstrip(".")):
        apply_all(world.plane, [manifest("SecretProviderCredential", "no-vault", spec)])
    ledger.note(links.VAULT_URL_MISSING, ADMISSION)


def test_values_and_commands(world, good, ledger):
    world.keyvault.set_secret(good.vault, "nul", "a\0b")
    world.keyvault.set_secret(good.vault, "object", '{"user": "fake"}')
    met = {
        kickoff.VALUE_NOT_REPRESENTABLE: "nul",
        kickoff.VALUE_NOT_JSON: "probe#key",
        kickoff.JSON_KEY_NOT_FOUND: "object#key",
        kickoff.INVALID_SECRET_NAME: "not.a.name",
    }
    entries = [variable(good, f"V{n}", reference) for n, reference in enumerate(met.values())]
    text = kick(Pod(world, "pod-values", entries, granted(world, [good])))
    for number, row in enumerate(met):
        assert f": {row.reason}: " in line_of(text, f"V{number}"), text
        ledger.note(row, KICKOFF)
    fine = Pod(world, "pod-fine", [variable(good)], granted(world, [good]))
    script = fine.folder / "script"
    script.write_text("no program")
    told = {
        kickoff.LITERAL_REFERENCE: fine.launch(OTHER="secret://demo/x"),
        kickoff.COMMAND_NOT_FOUND: fine.launch("no-such-program"),
        kickoff.COMMAND_NOT_EXECUTABLE: fine.launch(str(script)),
    }
    fine.process.kill()
    fine.process.wait()
    told[kickoff.SIDECAR_UNREACHABLE] = kick(fine)
    for row, text in told.items():
        assert f"{row.reason}: " in text, (row, text)
        ledger.note(row, KICKOFF)


class Forbidding(socketserver.BaseRequestHandler):
    """A proxy that lets nobody through."""

    def handle(self):
        self.request.recv(4096)
        self.request.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")


def test_a_proxy_that_does_not_let_through(world, good, ledger):
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Forbidding) as proxy:
        threading.Thread(target=proxy.serve_forever, args=(0.05,), daemon=True).start()
        ways = {Failure.PROXY_REFUSED: proxy.server_address[1], Failure.PROXY_UNREACHABLE: 1}
        pods = [
            Pod(
                world,
                f"pod-{way.value}",
                [variable(good)],
                granted(world, [good]),
                HTTPS_PROXY=f"http://127.0.0.1:{port}",
            )
            for way, port in ways.items()
        ]
        for way, text in zip(ways, kick_all(pods), strict=True):
            assert f": {way.value}: " in line_of(text, f"V_{good.slug}"), text
            ledger.note(transport.ROWS[way], KICKOFF)
        proxy.shutdown()


def test_a_crewai_that_is_too_old(world, good, ledger):
    pod = Pod(world, "pod-old", [variable(good)], granted(world, [good]))
    package = pod.folder / "crewai"
    package.mkdir()
    (package / "__init__.py").write_text("__version__ = '1.14.4'\nfrom crewai.crew import Crew\n")
    (package / "crew.py").write_text("class Crew:\n    def kickoff(self):\n        print('started')\n")
    try:
        text = pod.launch("python3", "-c", "from crewai import Crew; Crew().kickoff()", PYTHONPATH=str(pod.folder))
    finally:
        pod.close()
    assert f"{kickoff.CREWAI_TOO_OLD.reason}: CrewAI 1.14.4 is installed" in text, text
    ledger.note(kickoff.CREWAI_TOO_OLD, KICKOFF)


def test_a_sidecar_that_fails_or_is_busy(world, good, ledger):
    # The sidecar answers with its own words and ends: a fault of ours must not look like one of the cloud.
    text = kick(Pod(world, "pod-planted", [variable(good, "V", "planted-fault")], granted(world, [good])))
    assert f"{kickoff.INTERNAL_ERROR.reason}: " in text
    ledger.note(kickoff.INTERNAL_ERROR, KICKOFF)
    fault = world.keyvault.fault(acts.slow(4.0), vault=good.vault)
    late = Pod(world, "pod-late", [variable(good)], granted(world, [good]), budgets={"kickoff": 1.0})
    assert f": {kickoff.OUT_OF_TIME.reason}: " in kick(late)
    ledger.note(kickoff.OUT_OF_TIME, KICKOFF)
    world.keyvault.heal(fault)
    fault = world.keyvault.fault(acts.hang(), vault=good.vault, authenticated=True)
    narrow = {"parallel_kickoffs": 1, "waiting_kickoffs": 0, "kickoff": 14.0}
    busy = Pod(
        world, "pod-busy", [variable(good), variable(good, "W", "other")], granted(world, [good]), budgets=narrow
    )
    first = threading.Thread(target=busy.launch, daemon=True)
    first.start()
    eventually(lambda: {each["id"]: each["fired"] for each in world.keyvault.faults()}[fault])
    assert f"{kickoff.SIDECAR_BUSY.reason}: " in busy.launch()
    first.join()
    busy.close()
    world.keyvault.heal(fault)
    ledger.note(kickoff.SIDECAR_BUSY, KICKOFF)


@pytest.mark.parametrize("row", ASKED, ids=lambda row: row.reason)
async def test_grant_answers(row, ledger):
    document = await ask(row)
    assert document["reason"] == row.reason, document
    # The row's own words, as far as they name no case.
    assert document["remedy"] == row.diagnose().remedy
    ledger.note(row, GRANT)


@pytest.mark.parametrize("row", WEBHOOK, ids=lambda row: row.reason)
def test_pods_that_the_webhook_refuses(row, ledger):
    (problem,) = WEBHOOK[row].judge().problems
    _, told = problem.split(": ", 1)
    assert fixed_words(row).fullmatch(told), problem
    ledger.note(row, ADMISSION)


@pytest.fixture(scope="module")
def policed(admission):
    # An own plane: a policy on every pod would disturb the tests that share one.
    with Plane() as plane:
        cluster = admission.Cluster(plane)
        install_policies(cluster)
        yield cluster


@pytest.mark.parametrize(("row", "case"), POLICY, ids=lambda value: getattr(value, "reason", ""))
def test_what_the_policies_say(row, case, policed, ledger):
    # A policy is in force some moments after it was written.
    eventually(lambda: f": {row.reason}: " in case.ask(policed)[1], describe=lambda: str(case.ask(policed)))
    made, told = case.ask(policed)
    assert bool(made) is case.is_warning
    assert told.startswith("Warning: ") is case.is_warning
    assert case.words in row.remedy
    assert case.words in told
    ledger.note(row, ADMISSION)


def test_files_for_the_kubelet(world, good, ledger, tmp_path):
    world.keyvault.set_secret(good.vault, "file", "it's fake")
    with closing(Pod(world, "pod-file", [variable(good, "V", "file")], granted(world, [good]))) as pod:
        code, text = pod.write_files(tmp_path)
        assert (code, list(tmp_path.iterdir())) == (78, [])
        assert f"container 'app': V: {kickoff.VALUE_NOT_IN_FILE.reason}: " in text
        world.keyvault.set_secret(good.vault, "file", "fake")
        code, text = pod.write_files(tmp_path / "none")
        assert code == 78
        assert f"container 'app': {kickoff.ENVFILE_NOT_WRITTEN.reason}: " in text
        assert pod.write_files(tmp_path)[0] == 0
        assert (tmp_path / "app.env").read_text() == "V='fake'\n"
    for row in (kickoff.VALUE_NOT_IN_FILE, kickoff.ENVFILE_NOT_WRITTEN):
        ledger.note(row, KICKOFF)


def test_every_row_was_met_on_every_surface(ledger, capsys):
    declared = {(row.code, row.reason, surface) for row in ROWS for surface in row.surfaces}
    advice = [row for row in ROWS if not row.surfaces]
    rows = {(code, reason) for code, reason, _ in declared}
    met = {(code, reason) for code, reason, _ in ledger.met}
    with capsys.disabled():
        print(f"\nrows {len(rows)}, provoked {len(met)}, surfaces {len(ledger.met)}, advice {len(advice)}")
    assert sorted(map(str, declared - ledger.met)) == []
    assert len(rows) >= 40


def test_all_rows_of_the_modules_are_in_the_table():
    listed = set(ROWS)
    for module in (links, issuer, grants, kickoff, controller_rows):
        assert set(module.ROWS) <= listed
    assert set(transport.ROWS.values()) <= listed
