"""AdmissionReview in and out; no body makes it fail otherwise than by MalformedReviewError."""

import base64
import copy
import json
import sys
from contextlib import suppress
from functools import partial

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wi_operator.admission.injection import Verdict
from wi_operator.admission.patch import Patch, pointer
from wi_operator.admission.review import MalformedReviewError, answer, judge_kind, judge_pod


def make_review(item, *, subresource="", operation="CREATE", old=None, resource="pods"):
    request = {
        "uid": "u-1",
        "resource": {"group": "", "version": "v1", "resource": resource},
        "operation": operation,
        "namespace": "team-a",
        "object": item,
        "oldObject": old,
    }
    if subresource:
        request["subResource"] = subresource
    return {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}


@pytest.fixture
def respond(kit):
    judge = partial(judge_pod, index=kit.index, settings=kit.settings)

    def send(document, judge=judge):
        return json.loads(answer(json.dumps(document).encode(), judge).body)["response"]

    return send


def test_a_patch(kit, respond):
    pod = kit.pod(kit.container(env=[("DB", "secret://demo/db")]))
    response = respond(make_review(pod))
    assert (response["uid"], response["allowed"], response["patchType"]) == ("u-1", True, "JSONPatch")
    mutated = kit.apply(pod, json.loads(base64.b64decode(response["patch"])))
    assert mutated == kit.mutate(pod)


def test_a_refusal(kit, respond):
    response = respond(make_review(kit.pod(kit.container(env=[("DB", "secret://")]))))
    assert response["allowed"] is False
    assert response["status"]["code"] == 422
    assert "container 'app', variable 'DB'" in response["status"]["message"]
    assert "patch" not in response


def test_an_unchanged_pod_has_no_patch(kit, respond):
    assert respond(make_review(kit.pod(kit.container()))) == {"uid": "u-1", "allowed": True}


@pytest.mark.parametrize(("subresource", "operation"), [("", "UPDATE"), ("status", "UPDATE"), ("", "DELETE")])
def test_other_requests_are_allowed(kit, respond, subresource, operation):
    pod = kit.pod(kit.container(env=[("DB", "secret://")]))
    assert respond(make_review(pod, subresource=subresource, operation=operation))["allowed"] is True


def test_ephemeral_containers(kit, respond):
    def send(*containers, old=()):
        pod, before = kit.pod(kit.container()), kit.pod(kit.container())
        pod["spec"]["ephemeralContainers"] = [*old, *containers]
        before["spec"]["ephemeralContainers"] = list(old)
        return respond(make_review(pod, subresource="ephemeralcontainers", operation="UPDATE", old=before))

    bad = kit.container("debug", env=[("DB", "secret://demo/db")])
    assert send(kit.container("debug", env=[("A", "b")]))["allowed"] is True
    assert "ephemeral container 'debug', variable 'DB'" in send(bad)["status"]["message"]
    assert "wi-debug" in send(kit.container("wi-debug"))["status"]["message"]
    # What runs already cannot be changed: it must not stand in the way of others.
    assert send(kit.container("more"), old=[bad])["allowed"] is True


@pytest.mark.parametrize(
    ("kind", "spec", "warning"),
    [
        ("WorkloadIdentityConfig", {"provider": "Azure"}, None),
        ("WorkloadIdentityConfig", {"provider": "AWS"}, "provider: AWS"),
        ("SecretProviderCredential", {"provider": "AzureKeyVault"}, None),
        ("SecretProviderCredential", {"provider": "GCPSecretManager"}, "GCPSecretManager"),
        ("SecretProviderCredential", {"provider": "AzureKeyVault", "authMethod": "ClientSecret"}, "ClientSecret"),
        ("Pod", {}, None),
    ],
)
def test_kinds_warn_of_what_is_not_built(respond, kind, spec, warning):
    item = {"kind": kind, "metadata": {"name": "x", "namespace": "team-a"}, "spec": spec}
    response = respond(make_review(item), judge_kind)
    assert response["allowed"] is True
    assert bool(response.get("warnings")) == bool(warning)
    assert warning is None or (
        response["warnings"][0].startswith("NotSupportedYet: ") and warning in response["warnings"][0]
    )


def test_a_deleted_kind_is_allowed(respond):
    assert respond(make_review(None, operation="DELETE"), judge_kind)["allowed"] is True


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"junk",
        b"[]",
        b"{}",
        b"\xff",
        b"[" * 100_000,
        b'{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview"}',
        b'{"apiVersion":"admission.k8s.io/v1beta1","kind":"AdmissionReview","request":{"uid":"u"}}',
        b'{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":7}}',
    ],
)
def test_junk(kit, body):
    with pytest.raises(MalformedReviewError):
        answer(body, lambda _: Verdict())


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.sampled_from(["", "wi-sidecar", "secret://a/b", "$(A)"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["name", "env", "value", "command", "containers", "initContainers", "securityContext", "metadata",
                 "labels", "volumeMounts", "volumes", "affinity", "nodeAffinity", "args", "exec", "livenessProbe"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)  # fmt: skip


@settings(max_examples=500, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(json_values, json_values, json_values)
def test_any_object_is_answered_or_called_malformed(kit, spec, container, field):
    judge = partial(judge_pod, index=kit.index, settings=kit.settings)
    base = {"name": "app", "command": ["x"], "env": [{"name": "A", "value": "secret://demo/a"}]}
    containers = [{**base, **container} if isinstance(container, dict) else base]
    body = {"containers": containers, "volumes": field}
    pod = {
        "metadata": {"labels": {"identity.crewai.com/inject": "true"}},
        "spec": {**body, **spec} if isinstance(spec, dict) else spec,
    }
    with suppress(MalformedReviewError):
        assert json.loads(answer(json.dumps(make_review(pod)).encode(), judge).body)["response"]["uid"] == "u-1"


def test_a_review_reads_and_writes_nothing(kit, respond):
    """No file, socket or process: a review waits for nobody, and a dry run leaves nothing behind."""
    events, is_watched = [], False

    def watch(event, _):
        if is_watched and event.partition(".")[0] in {
            "open",
            "os",
            "socket",
            "subprocess",
            "shutil",
            "tempfile",
            "urllib",
        }:
            events.append(event)

    sys.addaudithook(watch)
    containers = [kit.container(env=[("DB", "secret://demo/db"), ("N", "secret://nope/x")])]
    reviews = [make_review(kit.pod(*containers)), make_review(kit.pod(kit.container(env=[("DB", "secret://")])))]
    before = copy.deepcopy(kit.index)
    for is_watched in (False, True):  # noqa: B007 - the first round imports what it needs
        for review in reviews:
            respond({**review, "request": {**review["request"], "dryRun": True}})
    with open(__file__, "rb"):
        seen = events.pop()
    is_watched = False
    assert seen == "open"
    assert events == []
    assert kit.index == before


def test_pointers_are_escaped():
    assert pointer("metadata", "a/b~c", 0) == "/metadata/a~1b~0c/0"


def test_appending_makes_the_list():
    patch = Patch()
    patch.extend("a", values=[1], to=None)
    patch.extend("a", values=[2, 3], to=[1])
    patch.extend("b", values=[], to=None)
    patch.extend("b", values=[], to=[1])
    assert patch.operations == [
        {"op": "add", "path": "/a", "value": [1]},
        {"op": "add", "path": "/a/-", "value": 2},
        {"op": "add", "path": "/a/-", "value": 3},
    ]
