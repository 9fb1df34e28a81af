"""What one screen says of a sound cluster and of broken ones."""

import asyncio

import pytest
from cli_cases import KID, NOW, FakeClient, condition, config, credential, deployment, pod

from wi_operator.cli import status, status_view
from wi_operator.cli.call import Reach
from wi_operator.cli.findings import Level, split
from wi_operator.cli.output import draw
from wi_operator.cli.pods import read_pod
from wi_operator.cluster.errors import ForbiddenError
from wi_operator.federation.diagnosis import entra, issuer, keyvault
from wi_operator.federation.diagnosis.table import ROWS

SYSTEM = "/apis/apps/v1/namespaces/wi-system/deployments"
STATE = "/api/v1/namespaces/wi-system/configmaps/wi-issuer-state"
GROUP = "/apis/identity.crewai.com/v1alpha1"
FACTS = {
    "client_id": "c0ffee00-1234-4abc-9def-0123456789ab",
    "issuer": "https://identity.demo.test",
    "subject": "organization:e2d7a1b4-90c3-4f68-a7de-3b9c8d5e6f02",
    "audience": "api://AzureADTokenExchange",
}


def cluster(*, url="https://identity.demo.test", configs=(), credentials=(), pods=(), **changed):
    times = '"publishedAt": "2026-11-01T00:00:00Z", "signAfter": "2026-11-01T00:00:00Z", "retireAfter": null'
    return {
        f"{SYSTEM}/wi-controller": deployment("wi-controller"),
        f"{SYSTEM}/wi-issuer": deployment("wi-issuer", WI_PUBLIC_URL=url),
        f"{SYSTEM}/wi-webhook": deployment("wi-webhook"),
        STATE: {"data": {"state.json": f'{{"epoch": 1, "keys": [{{"kid": "{KID}", {times}}}]}}'}},
        f"{GROUP}/workloadidentityconfigs": configs,
        f"{GROUP}/secretprovidercredentials": credentials,
        "/api/v1/pods": pods,
    } | changed


def look(answers):
    reach = Reach(FakeClient(answers), "default", "")
    return status.judge(asyncio.run(status.gather(reach)), NOW)


def screen(answers):
    return draw(status_view.render(look(answers), NOW))


def refused(reason, message):
    return [condition("Ready", "False", reason, message), condition("HandshakeSucceeded", "False", reason, message)]


def test_a_sound_cluster(golden):
    answers = cluster(configs=[config()], credentials=[credential()], pods=[pod()])
    golden("status-sound", screen(answers))
    assert look(answers).findings == ()


def test_a_wrong_subject(golden):
    row = next(row for row in ROWS if row.code == "AADSTS700213")
    message = row.diagnose(**FACTS).message
    stranger = config("team-b", conditions=refused(row.reason, message))
    mirrored = f"WorkloadIdentityConfig 'azure': {message}"
    dependent = credential("team-b", conditions=refused(row.reason, mirrored))
    golden("status-wrong-subject", screen(cluster(configs=[config(), stranger], credentials=[credential(), dependent])))


def test_no_issuer_url(golden):
    message = issuer.URL_MISSING.diagnose().message
    conditions = [condition("Ready", "False", issuer.URL_MISSING.reason, message)]
    answers = cluster(url="", configs=[config(conditions=conditions), config("team-b", conditions=conditions)])
    golden("status-no-issuer-url", screen(answers))


def test_nothing_may_be_seen_but_the_own_namespace(golden):
    denied = ForbiddenError("GET", 403, "no")
    hidden = {f"{SYSTEM}/{name}": denied for name in ("wi-controller", "wi-issuer", "wi-webhook")}
    golden(
        "status-few-rights", screen(cluster(configs=[config()], **hidden, **{STATE: denied, "/api/v1/pods": denied}))
    )


def test_pods_that_did_not_start(golden):
    row = keyvault.BY_CODE["SecretNotFound"]
    told = row.diagnose(secret="greeting", vault="demo", version_text="", client_id=FACTS["client_id"]).message
    said = (
        "Workload identity kickoff failed: 1 of 1 secret variable(s) have no value. kickoff=abc\n"
        f"GREETING (secret://demo/greeting): {row.reason}: {told}"
    )
    pods = [
        pod("refused", phase="Failed", ended={"exitCode": 78, "message": said}),
        pod("bare", phase="Running", injected=False, env=[{"name": "A", "value": "secret://demo/a"}]),
        pod("asks-for-nothing", phase="Running", injected=False),
        pod("warned", annotations={"identity.crewai.com/injection-warnings": "credential 'demo' is not Ready"}),
    ]
    golden("status-pods", screen(cluster(configs=[config()], pods=pods)))


def test_a_webhook_that_is_gone_is_a_failure():
    gone = look(cluster(**{f"{SYSTEM}/wi-webhook": deployment("wi-webhook", ready=0, desired=0)}))
    (finding,) = gone.findings
    assert (finding.level, finding.objects) == (Level.FAIL, ("deploy wi-system/wi-webhook",))
    assert "scale deploy/wi-webhook --replicas=2" in finding.remedy
    half = look(cluster(**{f"{SYSTEM}/wi-webhook": deployment("wi-webhook", ready=1)}))
    assert [each.level for each in half.findings] == [Level.WARN]


def test_a_spec_that_was_not_judged_yet_is_never_shown_as_ready():
    changed = look(cluster(configs=[config(generation=2)]))
    assert changed.configs[0].ready == "Unknown"
    assert [each.reason for each in changed.findings] == ["Progressing"]


def test_what_a_ready_config_warns_of_is_told():
    doubtful = [
        condition("Ready", message="Fine. OrganizationImplicit: the organization is the UID of namespace 'team-a'."),
        condition("IssuerPublished", "False", "IssuerDocumentUnreachable", "https://x could not be fetched."),
    ]
    findings = look(cluster(configs=[config(conditions=doubtful)])).findings
    assert [(each.level, each.reason) for each in findings] == [
        (Level.WARN, "IssuerDocumentUnreachable"),
        (Level.WARN, "OrganizationImplicit"),
    ]


@pytest.mark.parametrize("row", [*entra.ROWS.values(), *issuer.ROWS], ids=lambda row: row.code)
def test_cause_and_remedy_are_parted(row):
    diagnosis = row.diagnose(**FACTS)
    cause, remedy = split(row.reason, diagnosis.message)
    if remedy.startswith("kubectl wi explain"):
        assert cause == diagnosis.message
    else:
        assert f"{cause} {remedy}" == diagnosis.message
        assert remedy.startswith(diagnosis.remedy[:20]) or diagnosis.remedy.startswith(remedy[:20])


def statuses(*reasons):
    return [{"name": f"c{n}", "state": {"waiting": {"reason": each}}} for n, each in enumerate(reasons)]


@pytest.mark.parametrize(
    ("init", "main", "state"),
    [
        (["CrashLoopBackOff"], ["PodInitializing"], "Init:CrashLoopBackOff"),
        (["PodInitializing"], ["PodInitializing"], "Pending"),
        ([], ["PodInitializing", "ImagePullBackOff"], "ImagePullBackOff"),
    ],
)
def test_a_pod_that_waits_says_for_what(init, main, state):
    item = pod(phase="Pending")
    item["status"] |= {"initContainerStatuses": statuses(*init), "containerStatuses": statuses(*main)}
    assert read_pod(item).state == state


@pytest.mark.parametrize(
    "main", [{"state": {"running": {}}}, {"state": {"waiting": {}}, "lastState": {"terminated": {}}}]
)
def test_a_sidecar_that_crashes_beside_the_application_is_named(main):
    item = pod(phase="Running")
    (sidecar,) = statuses("CrashLoopBackOff")
    item["status"] |= {
        "initContainerStatuses": [sidecar | {"name": "wi-sidecar"}],
        "containerStatuses": [{"name": "app"} | main],
    }
    assert read_pod(item).state == "wi-sidecar:CrashLoopBackOff"


def test_a_sidecar_that_ends_with_the_code_of_a_refusal_refused_nothing():
    item = pod(phase="Pending")
    (sidecar,) = statuses("CrashLoopBackOff")
    sidecar |= {"name": "wi-sidecar", "lastState": {"terminated": {"exitCode": 78}}}
    item["status"] |= {"initContainerStatuses": [sidecar], "containerStatuses": statuses("PodInitializing")}
    assert (read_pod(item).state, read_pod(item).refusal) == ("Init:CrashLoopBackOff", "")
