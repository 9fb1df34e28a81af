"""Two kickoffs side by side, and the copy of the Job that makes them."""

import asyncio
import json

import pytest
from cli_cases import FakeClient

from wi_operator.cli import rotation_check as module
from wi_operator.cli import waiting
from wi_operator.cli.call import Reach
from wi_operator.cli.complaints import Complaint
from wi_operator.cli.exits import Exit
from wi_operator.cli.output import draw
from wi_operator.cli.rotation_check import Reading

JOBS = "/apis/batch/v1/namespaces/team-a/jobs"
TEMPLATE = {
    "metadata": {
        "labels": {
            "identity.crewai.com/inject": "true",
            "app": "crew",
            "job-name": "x",
            "batch.kubernetes.io/controller-uid": "u",
        },
        "creationTimestamp": None,
    },
    "spec": {"restartPolicy": "Never", "containers": [{"name": "app"}]},
}
SPEC = {
    "template": TEMPLATE,
    "parallelism": 4,
    "completions": 9,
    "backoffLimit": 6,
    "selector": {"matchLabels": {"controller-uid": "u"}},
    "activeDeadlineSeconds": 60,
    "suspend": True,
}


def reading(
    variable="GREETING", fingerprint="0f824e45b819", version="5f1c0a9d4c6d", reference="secret://demo/greeting"
):
    return Reading(variable, reference, version, fingerprint)


def test_a_copy_is_one_pod_and_one_try():
    job = module.copy_job(SPEC, "job/kickoff")
    assert job["metadata"]["generateName"] == "kickoff-wi-verify-"
    assert {key: job["spec"][key] for key in ("parallelism", "completions", "backoffLimit")} == {
        "parallelism": 1, "completions": 1, "backoffLimit": 0,
    }  # fmt: skip
    assert job["spec"]["activeDeadlineSeconds"] == 60
    assert not job["spec"].keys() & {"selector", "suspend", "manualSelector"}
    assert job["spec"]["template"]["metadata"]["labels"] == {"identity.crewai.com/inject": "true", "app": "crew"}
    assert TEMPLATE["metadata"]["labels"]["job-name"] == "x"


def test_the_sidecars_log_tells_what_was_read():
    told = {
        "variable": "GREETING",
        "reference": "secret://demo/greeting",
        "version": "v2",
        "fingerprint": "abc",
        "ms": 3,
    }
    log = f"not JSON\n{json.dumps({'message': 'listening'})}\n[]\n{json.dumps({'message': 'resolved', 'secrets': [told]})}\n"
    assert list(module.read_log(log)) == [Reading("GREETING", "secret://demo/greeting", "v2", "abc")]


def test_a_rotated_value_is_seen(golden):
    compared = module.compare(
        [reading(), reading("OTHER")], [reading(fingerprint="72bb675677df", version="9"), reading("OTHER")]
    )
    code, sentence = module.verdict(compared, was_rotated=True)
    assert code is Exit.OK
    golden("verify-rotation", draw(module.render(compared, code, sentence), width=140))


def test_equal_values_are_a_failure_only_after_a_rotation():
    compared = module.compare([reading()], [reading()])
    assert module.verdict(compared, was_rotated=True)[0] is Exit.BAD
    assert module.verdict(compared, was_rotated=False)[0] is Exit.OK
    assert module.verdict([], was_rotated=False)[0] is Exit.BAD


def test_a_pinned_version_is_named():
    pinned = reading(reference="secret://demo/greeting?version=1")
    code, sentence = module.verdict(module.compare([pinned], [pinned]), was_rotated=True)
    assert code is Exit.BAD
    assert "GREETING pins a version" in sentence


def test_without_a_fingerprint_the_versions_are_compared():
    compared = module.compare([reading(fingerprint="", version="1")], [reading(fingerprint="", version="2")])
    assert compared[0].is_changed


def find(named, answers):
    return asyncio.run(module.find_template(Reach(FakeClient(answers), "team-a", "team-a"), named))


def test_jobs_and_cronjobs_are_found():
    cron = JOBS.replace("/jobs", "/cronjobs")
    answers = {f"{JOBS}/k": {"spec": SPEC}, f"{cron}/n": {"spec": {"jobTemplate": {"spec": SPEC}}}}
    for named in ("k", "job/k", "jobs/k", "cronjob/n"):
        assert find(named, answers) is SPEC


@pytest.mark.parametrize(
    ("named", "spec", "told", "code"),
    [
        ("pod/k", SPEC, "names no Job", Exit.USAGE),
        ("job/nope", SPEC, "There is no job 'nope' in namespace 'team-a'", Exit.CANNOT),
        ("job/k", {"template": {"spec": {}}}, "lacks the label identity.crewai.com/inject", Exit.BAD),
    ],
)
def test_what_cannot_be_kicked_off_is_told(named, spec, told, code):
    with pytest.raises(Complaint, match=told) as complaint:
        find(named, {f"{JOBS}/k": {"spec": spec}})
    assert complaint.value.code is code


class JobClient(FakeClient):
    """Jobs that end as told."""

    def __init__(self, conditions, pods=()):
        super().__init__(
            {f"{JOBS}/k-1": {"status": {"conditions": conditions}}, "/api/v1/namespaces/team-a/pods": pods}
        )
        self.deleted = []

    async def create(self, path, body, **query):
        return {"metadata": {"name": "k-1"}}

    async def delete(self, path, **query):
        self.deleted.append(path)
        return {}

    async def read_text(self, path, **query):
        assert query == {"container": "wi-sidecar"}
        return json.dumps({"secrets": [{"variable": "A", "reference": "r", "version": "1", "fingerprint": "f"}]})


def kick(client, **options):
    reach = Reach(client, "team-a", "team-a")
    return asyncio.run(module.kick_off(reach, {}, **({"seconds": 1, "keep": False} | options)))


def test_a_kickoff_is_run_read_and_removed():
    client = JobClient([{"type": "Complete", "status": "True"}], [{"metadata": {"name": "k-1-abc"}}])
    assert kick(client) == (Reading("A", "r", "1", "f"),)
    assert client.deleted == [f"{JOBS}/k-1"]
    client.deleted.clear()
    kick(client, keep=True)
    assert client.deleted == []


def test_a_refused_kickoff_is_told_and_removed():
    ended = {
        "exitCode": 78,
        "message": "Workload identity kickoff failed: 1 of 1\nA (r): SecretNotFound: it is not there.",
    }
    status = {"phase": "Failed", "containerStatuses": [{"name": "app", "state": {"terminated": ended}}]}
    spec = {"initContainers": [{"name": "wi-sidecar"}], "containers": []}
    client = JobClient(
        [{"type": "Failed", "status": "True"}],
        [{"metadata": {"name": "k-1-abc", "namespace": "team-a"}, "spec": spec, "status": status}],
    )
    with pytest.raises(Complaint, match=r"Job k-1 failed\. SecretNotFound: .*it is not there") as told:
        kick(client)
    assert told.value.code is Exit.BAD
    assert client.deleted == [f"{JOBS}/k-1"]


def test_one_that_does_not_end_has_no_verdict(monkeypatch):
    monkeypatch.setattr(module, "LOOK_SECONDS", 0.01)
    with pytest.raises(Complaint, match=r"did not end within 0\.05 s") as told:
        kick(JobClient([]), seconds=0.05)
    assert told.value.code is Exit.NO_VERDICT


def test_a_command_rotates(tmp_path, capfd):
    assert waiting.await_rotation(["r"], f"echo told; touch {tmp_path}/done")
    assert (tmp_path / "done").exists()
    assert capfd.readouterr().out == ""
    with pytest.raises(Complaint, match="ended with 3"):
        waiting.await_rotation(["r"], "exit 3")
