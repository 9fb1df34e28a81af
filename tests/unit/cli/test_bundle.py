"""A support bundle holds no planted value, wherever it was planted."""

import asyncio
import io
import json
import tarfile

from cli_cases import FakeClient, config, credential, deployment

from wi_operator.cli import bundle, redaction
from wi_operator.cli.checks import Check
from wi_operator.cli.findings import Level
from wi_operator.cluster.errors import ForbiddenError

PLANTED = "planted-" + "not-a-secret"
TOKEN = "eyJhbGciOiJub25lIn0." + "eyJzdWIiOiJwbGFudGVkIn0" + ".c2lnbmF0dXJl"


def variable(name="PASSWORD"):
    return {"name": name, "value": PLANTED}


def planted_pod(namespace="team-a"):
    container = {
        "name": "app",
        "image": "registry.example.com/crew",
        "env": [variable(), {"name": "REF", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}],
        "command": ["sh", "-c", f"login {PLANTED}"],
        "args": [PLANTED],
        "livenessProbe": {"httpGet": {"path": "/", "httpHeaders": [variable("Authorization")]}},
        "lifecycle": {"preStop": {"exec": {"command": [PLANTED]}}},
    }
    ended = {"terminated": {"exitCode": 1, "message": PLANTED}}
    return {
        "metadata": {
            "name": "crew",
            "namespace": namespace,
            "annotations": {
                "kubectl.kubernetes.io/last-applied-configuration": json.dumps({"env": [variable()]}),
                "identity.crewai.com/injection-warnings": "kept",
            },
            "managedFields": [{"fieldsV1": {PLANTED: {}}}],
        },
        "spec": {
            "containers": [container],
            "initContainers": [{"name": "wi-sidecar", "env": [variable("HTTPS_PROXY")]}, {**container, "name": "init"}],
            "ephemeralContainers": [{**container, "name": "debug"}],
            "volumes": [{"name": "v", "csi": {"driver": "d", "volumeAttributes": {"password": PLANTED}}}],
        },
        "status": {
            "phase": "Failed",
            "containerStatuses": [{"name": "app", "state": ended, "lastState": ended}],
            "initContainerStatuses": [{"name": "init", "state": {"waiting": {"reason": "X", "message": PLANTED}}}],
        },
    }


def planted_deployment():
    item = deployment("wi-issuer", OIDC_PRIVATE_KEY=PLANTED)
    item["metadata"]["annotations"] = {"note": PLANTED}
    return item


class LoggingClient(FakeClient):
    async def read_text(self, path, **query):
        self.calls.append(("LOG", path, query.get("container", "")))
        return f'{{"message": "a line with Bearer {PLANTED} and {TOKEN}"}}\n'


def answers():
    group = "/apis/identity.crewai.com/v1alpha1"
    event = {"message": f"told {TOKEN}", "type": "Warning", "metadata": {"annotations": {"x": PLANTED}}}
    foreign = {"metadata": {"name": "other-policy"}, "spec": {"x": PLANTED}}
    return {
        f"{group}/workloadidentityconfigs": [config()],
        f"{group}/secretprovidercredentials": [credential()],
        "/api/v1/pods": [planted_pod()],
        "/api/v1/namespaces/wi-system/pods": [planted_pod("wi-system")],
        "/apis/apps/v1/namespaces/wi-system/deployments": [planted_deployment()],
        "/api/v1/namespaces/wi-system/events": [event],
        "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies": [foreign],
        "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings": ForbiddenError("GET", 403, "no"),
    }


def collect():
    client = LoggingClient(answers())
    return client, asyncio.run(bundle.collect(client, [Check("DNS", Level.OK, "fine")]))


def test_no_planted_value_is_in_it():
    _, files = collect()
    assert PLANTED in json.dumps(answers(), default=str)
    assert [name for name, text in files.items() if PLANTED in text or TOKEN in text] == []
    pod = json.loads(files["injected-pods.json"])[0]
    assert pod["spec"]["containers"][0]["env"] == [
        {"name": "PASSWORD", "value": "[redacted]"},
        {"name": "REF", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
    ]
    assert pod["metadata"]["annotations"] == {"identity.crewai.com/injection-warnings": "kept"}
    assert [each["name"] for each in pod["spec"]["initContainers"]] == ["wi-sidecar", "init"]


def test_no_log_of_an_application_is_read():
    client, _ = collect()
    logs = [(path, container) for kind, path, container in (call for call in client.calls if call[0] == "LOG")]
    assert ("/api/v1/namespaces/team-a/pods/crew/log", "wi-sidecar") in logs
    assert [each for each in logs if "team-a" in each[0] and each[1] != "wi-sidecar"] == []


def test_what_may_not_be_read_is_named():
    _, files = collect()
    assert set(json.loads(files["missing.json"])) == {
        "policy-bindings", "mutating-webhook", "validating-webhook", "key-record",
    }  # fmt: skip
    assert json.loads(files["policies.json"]) == []


def test_the_launchers_own_words_are_kept():
    state = {"terminated": {"exitCode": 78, "message": "Workload identity kickoff failed: 1 of 1"}}
    shown = redaction.redact_pod({"metadata": {}, "status": {"containerStatuses": [{"name": "app", "state": state}]}})
    assert "kickoff failed" in json.dumps(shown)


def test_keys_are_scrubbed_out_of_texts():
    begin = "-----BEGIN RSA PRIVATE" + " KEY-----"
    end = begin.replace("BEGIN", "END")
    assert redaction.scrub(f"a {begin}\nMIIE\n{end} b") == "a [redacted] b"
    assert redaction.scrub(f"cut {begin}\nMIIE") == "cut [redacted]"
    assert redaction.scrub("https://x/?sv=1&sig=abc%3D&se=2") == "https://x/?sv=1&sig=[redacted]&se=2"


def test_the_archive_is_the_owners_alone(tmp_path):
    target = tmp_path / "b.tar.gz"
    asyncio.run(bundle.write_bundle(LoggingClient(answers()), str(target), [], 0.0))
    with tarfile.open(fileobj=io.BytesIO(target.read_bytes())) as archive:
        assert {oct(each.mode) for each in archive} == {"0o600"}
        assert "wi-support/doctor.json" in archive.getnames()
    assert oct(target.stat().st_mode & 0o777) == "0o600"
