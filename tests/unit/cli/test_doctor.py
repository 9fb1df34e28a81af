"""Every check, sound and broken, with the level and the remedy that it must have."""

from dataclasses import replace

import pytest
from cli_cases import KID, NOW, condition, config, credential

from wi_operator.cli import checks, doctor
from wi_operator.cli.checks import Facts, Right
from wi_operator.cli.findings import Level
from wi_operator.cli.installation import Installation, Process
from wi_operator.cli.output import draw
from wi_operator.federation.diagnosis import publication
from wi_operator.federation.timetable import KeyEntry, Timetable

EXPECTED = doctor.read_expected()
WELL = tuple(Process(name, 2, 2) for name in ("wi-controller", "wi-issuer", "wi-webhook"))
KEYS = Timetable((KeyEntry(KID, NOW - 100, NOW - 100),))
WEBHOOK = {"webhooks": [{"clientConfig": {"caBundle": "UEVN"}, "failurePolicy": "Fail"}]}
WARNER = {"webhooks": [{"clientConfig": {"caBundle": "UEVN"}, "failurePolicy": "Ignore"}]}
HANDSHAKE = [condition("HandshakeSucceeded"), condition("Ready")]


def definition(version="v1alpha1"):
    return {
        "spec": {"versions": [{"name": version, "served": True}]},
        "status": {"conditions": [condition("Established")]},
    }


def node(name="node-1", version="v1.36.3"):
    return {"metadata": {"name": name}, "status": {"nodeInfo": {"kubeletVersion": version, "operatingSystem": "linux"}}}


SOUND = Facts(
    version="v1.36.3",
    now=NOW,
    skew=0.4,
    node_skews={"node-1": -0.6},
    definitions={name: definition() for name in doctor.DEFINITIONS},
    your_rights=[Right("you", "list", "pods in default", True)],
    operator_rights=[Right("wi-issuer", "create", "tokenreviews", True)],
    installation=Installation(WELL, "https://identity.demo.test", KEYS),
    held_keys=(KID,),
    configs=[config(conditions=HANDSHAKE)],
    credentials=[credential()],
    served="",
    seen_here=None,
    endpoints={checks.DNS_SERVICE: 1, checks.WEBHOOK_SERVICE: 2},
    webhooks={"mutating": WEBHOOK, "validating": WARNER},
    policies={name: ({"spec": each["policy"]}, {"spec": each["binding"]}) for name, each in EXPECTED.items()},
    expected_policies=EXPECTED,
    nodes=[node()],
    dry_run="",
)


UNREACHED = (
    "A pod that asks for a secret is refused: Internal error occurred: failed calling webhook "
    '"inject.identity.crewai.com": failed to call webhook: Post "https://wi-webhook.wi-system.svc:443/v1/mutate?timeout=5s": '
    "context deadline exceeded"
)


def found(name, **changed):
    return next(check for check in checks.judge(replace(SOUND, **changed)) if check.name == name)


def installation(**changed):
    return replace(SOUND.installation, **changed)


def test_a_sound_installation(golden):
    golden("doctor-sound", draw(doctor.render(checks.judge(SOUND))))


def test_a_broken_one(golden):
    gone = (*WELL[:2], Process("wi-webhook", 0, 0))
    refused = "A pod that asks for a secret is refused: no endpoints available for service"
    edited = {
        **SOUND.policies,
        "wi-organization": ({"spec": {"validations": []}}, {"spec": EXPECTED["wi-organization"]["binding"]}),
    }
    broken = replace(
        SOUND,
        installation=installation(processes=gone),
        dry_run=refused,
        endpoints={**SOUND.endpoints, checks.WEBHOOK_SERVICE: 0},
        policies=edited,
    )
    golden("doctor-broken", draw(doctor.render(checks.judge(broken))))


UNFIT = "A pod that asks for a secret is refused: minimum memory usage per Container is 100Mi, but request is 32Mi"
DENIED = [Right("wi-issuer", "create", "tokenreviews", False)]
PUBLISHED = [condition("IssuerPublished"), condition("HandshakeSucceeded", "False", "SubjectMismatch")]
UNREACHABLE = publication.UNREACHABLE.diagnose(url="https://identity.demo.test/x", detail="no").message
UNPUBLISHED = [condition("IssuerPublished", "False", publication.UNREACHABLE.reason, UNREACHABLE)]
DNS_FAULT = [
    condition("Ready", "False", "VaultHostUnknown", "DNS does not know the vault x. A vault that does not exist, …")
]


@pytest.mark.parametrize(
    ("name", "changed", "level", "told"),
    [
        ("API server", {"version": "v1.31.9"}, Level.FAIL, "1.32 or newer"),
        ("definitions", {"definitions": {"a": {}}}, Level.FAIL, "a is missing"),
        ("definitions", {"definitions": {"a": None}}, Level.WARN, "not to be seen"),
        ("definitions", {"definitions": {"a": definition("v1beta1")}}, Level.FAIL, "does not serve v1alpha1"),
        ("nodes", {"nodes": [node(), node("old", "v1.31.2")]}, Level.FAIL, "old v1.31.2"),
        ("nodes", {"nodes": [node(version="v1.34.0")]}, Level.OK, "needs 1.35 everywhere"),
        ("nodes", {"nodes": None}, Level.WARN, "not to be seen"),
        ("your rights", {"your_rights": [Right("you", "patch", "secrets in wi-system", False)]}, Level.WARN, "patch secrets"),
        ("operator", {"installation": installation(processes=(Process("wi-issuer", 1, 2),))}, Level.WARN, "wi-issuer 1/2"),
        ("operator", {"installation": installation(processes=(Process("wi-issuer", 0, 2),))}, Level.FAIL, "logs deploy/wi-i"),
        ("operator", {"installation": installation(processes=(Process("wi-issuer", 0, 0),))}, Level.FAIL, "--replicas=2"),
        ("operator", {"installation": installation(processes=(Process("x", is_there=False),))}, Level.FAIL, "x is missing"),
        ("operator", {"installation": installation(processes=(Process("x", is_visible=False),))}, Level.WARN, "not to be"),
        ("operator's rights", {"operator_rights": DENIED}, Level.FAIL, "wi-issuer may not create tokenreviews"),
        ("operator's rights", {"operator_rights": None}, Level.WARN, "not to be seen"),
        ("policies", {"policies": {"wi-literals": ({}, {})}}, Level.FAIL, "policy wi-literals is missing; binding"),
        ("policies", {"policies": {"wi-literals": (None, None)}}, Level.WARN, "not to be seen"),
        ("webhook registered", {"webhooks": {"mutating": {}}}, Level.FAIL, "no mutatingwebhookconfiguration wi-webhook"),
        ("webhook registered", {"webhooks": {"mutating": {"webhooks": [{"clientConfig": {}}]}}}, Level.FAIL, "no caBundle"),
        ("webhook registered", {"webhooks": {"mutating": WARNER}}, Level.FAIL, "failurePolicy is not Fail"),
        ("webhook serving", {"dry_run": UNREACHED}, Level.FAIL, "webhook.hostNetwork"),
        ("webhook serving", {"dry_run": UNFIT}, Level.FAIL, "sidecar-memory-limit"),
        ("webhook serving", {"dry_run": UNFIT, "plain_refusal": UNFIT}, Level.WARN, "refuses a pod without secrets, too"),
        ("webhook serving", {"dry_run": UNREACHED, "plain_refusal": UNFIT}, Level.FAIL, "webhook.hostNetwork"),
        ("webhook serving", {"dry_run": None}, Level.WARN, "no dry run"),
        ("webhook serving", {"dry_run": None, "endpoints": {checks.WEBHOOK_SERVICE: 0}}, Level.FAIL, "Nothing is ready"),
        ("webhook serving", {"dry_run": "nobody injected it."}, Level.FAIL, "nobody injected it"),
        ("issuer URL", {"installation": installation(issuer_url="")}, Level.FAIL, "issuer.url"),
        ("issuer URL", {"installation": installation(issuer_url=None)}, Level.WARN, "not to be seen"),
        ("issuer", {"served": "The key set is empty."}, Level.FAIL, "key set is empty"),
        ("issuer", {"served": None}, Level.WARN, "not asked"),
        ("issuer in public", {"configs": [config(conditions=PUBLISHED)]}, Level.OK, "read from inside the cluster"),
        ("issuer in public", {"configs": [config(conditions=UNPUBLISHED)]}, Level.FAIL, "could not be fetched"),
        ("issuer in public", {"configs": [config(conditions=UNPUBLISHED)], "seen_here": ""}, Level.OK, "from this machine"),
        ("issuer in public", {"configs": [], "seen_here": "https://x (TimeoutError)"}, Level.WARN, "TimeoutError"),
        ("issuer in public", {"configs": []}, Level.WARN, "nobody has read it yet"),
        ("signing keys", {"held_keys": ("another",)}, Level.FAIL, "Restore the Secret"),
        ("signing keys", {"installation": installation(timetable=Timetable(()))}, Level.FAIL, "no signing key"),
        ("signing keys", {"installation": installation(timetable=None)}, Level.WARN, "wi-issuer-state"),
        ("signing keys", {"installation": installation(timetable=None, own_keys=True)}, Level.OK, "your own"),
        ("clocks", {"node_skews": {"node-1": 300.0}}, Level.FAIL, "node node-1 is 300 s ahead of the API server"),
        ("clocks", {"node_skews": {"node-1": -40.0}}, Level.WARN, "node node-1 is 40 s behind"),
        ("clocks", {"skew": 4000.0}, Level.WARN, "Synchronise the clock of this machine"),
        ("clocks", {"skew": None, "node_skews": None}, Level.WARN, "not to be seen"),
        ("DNS", {"endpoints": {checks.DNS_SERVICE: 0}}, Level.FAIL, "get pods -l k8s-app=kube-dns"),
        ("DNS", {"endpoints": {checks.DNS_SERVICE: -1}}, Level.WARN, "another DNS"),
        ("DNS", {"credentials": [credential(conditions=DNS_FAULT)]}, Level.FAIL, "A vault that does not exist"),
        ("objects", {"configs": [config(conditions=PUBLISHED)]}, Level.FAIL, "1 of 2 are not Ready: wic team-a/azure"),
        ("objects", {"configs": [], "credentials": []}, Level.OK, "none yet"),
    ],
)  # fmt: skip
def test_a_fault_is_found_and_has_its_remedy(name, changed, level, told):
    check = found(name, **changed)
    assert check.level is level
    assert told in f"{check.message} {check.remedy}"
    assert (level is Level.OK) == (not check.remedy)


def test_a_single_changed_word_of_a_policy_is_found():
    for name, each in EXPECTED.items():
        changed = {**each["policy"], "failurePolicy": "Ignore" if each["policy"]["failurePolicy"] == "Fail" else "Fail"}
        policies = {**SOUND.policies, name: ({"spec": changed}, {"spec": each["binding"]})}
        assert found("policies", policies=policies).message == f"policy {name} was modified."
        policies = {
            **SOUND.policies,
            name: ({"spec": each["policy"]}, {"spec": {**each["binding"], "validationActions": []}}),
        }
        assert found("policies", policies=policies).message == f"binding {name} was modified."


def test_documents_of_the_issuer_are_judged():
    good = b'{"issuer":"https://i","jwks_uri":"https://i/oauth2/jwks","response_types_supported":["id_token"],'
    good += b'"subject_types_supported":["public"],"id_token_signing_alg_values_supported":["RS256"]}'
    assert doctor.judge_documents("https://i", good, b'{"keys":[{}]}') == ""
    assert "not that of https://other" in doctor.judge_documents("https://other", good, b'{"keys":[{}]}')
    assert "empty" in doctor.judge_documents("https://i", good, b'{"keys":[]}')
    assert "not the issuer" in doctor.judge_documents("https://i", b"<html>", b"")
