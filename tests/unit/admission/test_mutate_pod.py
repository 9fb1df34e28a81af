"""What an injected pod looks like, and that a second call finds nothing to do."""

import copy
import dataclasses
import hashlib
import json
import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wi_operator.admission.declaration import Entry
from wi_operator.admission.keeping import KEPT_ENTRIES, KEPT_LENGTH
from wi_operator.admission.mutate.sidecar import build_sidecar

RUN_APP = "wi-run-" + hashlib.sha256(b"app").hexdigest()[:10]
REFERENCE = [("DB", "secret://demo/db")]


def sidecar_of(pod):
    (found,) = [c for c in pod["spec"]["initContainers"] if c["name"] == "wi-sidecar"]
    return found


def env_of(container):
    return {item["name"]: item["value"] for item in container["env"]}


def declared(pod):
    return json.loads(env_of(sidecar_of(pod))["WI_DECLARATION"])["containers"]


def as_stored(pod):
    """Fill in what the API server defaults, as a later call sees it."""
    pod = copy.deepcopy(pod)
    for container in pod["spec"]["initContainers"]:
        container.setdefault("terminationMessagePath", "/dev/termination-log")
        container.setdefault("imagePullPolicy", "IfNotPresent")
        container.get("resources", {}).setdefault("limits", {})["cpu"] = "1"
    for volume in pod["spec"]["volumes"]:
        volume.get("projected", {}).setdefault("defaultMode", 420)
    return pod


def test_a_pod_without_references_is_left_alone(kit):
    assert kit.judge(kit.pod(kit.container(env=[("A", "b")]), hostNetwork=True)).outcome == "unchanged"


def test_a_pod_without_the_label_is_left_alone(kit):
    assert kit.judge(kit.pod(kit.container(env=REFERENCE), label="false")).outcome == "unchanged"


def test_the_container(kit):
    pod = kit.pod(kit.container(env=[("X", "1"), *REFERENCE], args=["--a"], volumeMounts=[{"name": "v"}]))
    container = kit.mutate(pod)["spec"]["containers"][0]
    assert container == {
        "name": "app",
        "image": "img",
        "command": ["python3", "-I", "-S", "/run/wi/launch.py", "--", "run"],
        "args": ["--a"],
        "env": [{"name": "X", "value": "1"}],
        "volumeMounts": [{"name": "v"}, {"name": RUN_APP, "mountPath": "/run/wi", "readOnly": True}],
    }


@pytest.mark.parametrize(("value", "options"), [("true", []), ("false", ["--no-hook"])])
def test_the_hook_is_switched_off_by_the_pod(kit, value, options):
    pod = kit.mutate(
        kit.pod(kit.container(env=[("DB", "secret://demo/db")]), annotations={"identity.crewai.com/hook": value})
    )
    command = pod["spec"]["containers"][0]["command"]
    assert command == ["python3", "-I", "-S", "/run/wi/launch.py", *options, "--", "run"]
    assert kit.mutate(pod) == pod


def test_python_and_termination_log_come_from_the_pod(kit):
    container = kit.container(env=REFERENCE, terminationMessagePath="/tmp/$(X)")
    pod = kit.mutate(kit.pod(container, annotations={"identity.crewai.com/python": "/opt/bin/python"}))
    # The kubelet would expand $(X) in a command.
    assert pod["spec"]["containers"][0]["command"] == [
        "/opt/bin/python", "-I", "-S", "/run/wi/launch.py", "--termination-log", "/tmp/$$(X)", "--", "run",
    ]  # fmt: skip


def test_a_sidecar_is_built_once_for_a_declaration_and_its_settings(kit):
    def build(text="secret://demo/a", settings=kit.settings):
        return build_sidecar({"app": (Entry("A", text),)}, settings)

    assert build() is build()
    others = [build("secret://demo/b"), build(settings=dataclasses.replace(kit.settings, log_level="DEBUG"))]
    assert all(other != build() for other in others)


def test_a_large_declaration_is_not_kept(kit):
    many = {"app": tuple(Entry(f"A{number}", "secret:///a") for number in range(KEPT_ENTRIES + 1))}
    long = {"app": (Entry("A", "x" * KEPT_LENGTH, is_template=True),)}
    for declared in (many, long):
        first, second = (build_sidecar(declared, kit.settings) for _ in range(2))
        assert first == second
        assert first is not second


def test_the_sidecar(kit):
    sidecar = sidecar_of(kit.mutate(kit.pod(kit.container(env=REFERENCE))))
    env = env_of(sidecar)
    assert json.loads(env.pop("WI_DECLARATION")) == {
        "version": 1,
        "containers": {"app": {"entries": [{"name": "DB", "reference": "secret://demo/db"}]}},
    }
    assert env == {
        "WI_GRANTS_URL": "https://wi-issuer-grants.wi-system.svc",
        "WI_CA_BUNDLE": kit.settings.ca_bundle,
        "WI_TOKEN_FILE": "/var/run/secrets/identity.crewai.com/token",
        "WI_RUN_DIR": "/run/wi",
        "WI_LOG_LEVEL": "INFO",
    }
    assert sidecar["restartPolicy"] == "Always"
    assert sidecar["args"] == ["sidecar"]
    assert sidecar["image"] == kit.settings.sidecar_image
    assert sidecar["resources"] == {"requests": {"cpu": "10m", "memory": "32Mi"}, "limits": {"memory": "64Mi"}}
    assert sidecar["lifecycle"]["postStart"]["exec"]["command"][-1] == "/run/wi/app/started"
    # A kubelet can lose a sidecar's startup probe, and what waits for it then waits for ever.
    assert not [field for field in sidecar if field.endswith("Probe")]
    assert sidecar["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "privileged": False,
        "readOnlyRootFilesystem": True,
        "runAsNonRoot": True,
        "runAsUser": 29387,
        "runAsGroup": 29387,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    assert sidecar["volumeMounts"] == [
        {"name": RUN_APP, "mountPath": "/run/wi/app"},
        {"name": "wi-token", "mountPath": "/var/run/secrets/identity.crewai.com", "readOnly": True},
        {
            "name": "wi-no-api-token",
            "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount",
            "readOnly": True,
        },
    ]


def test_the_volumes(kit):
    pod = kit.mutate(kit.pod(kit.container(env=REFERENCE), volumes=[{"name": "v", "someNewField": 1}]))
    token = {"audience": "wi-issuer", "expirationSeconds": 3600, "path": "token"}
    assert pod["spec"]["volumes"] == [
        {"name": "v", "someNewField": 1},
        {"name": RUN_APP, "emptyDir": {"medium": "Memory", "sizeLimit": "4Mi"}},
        {"name": "wi-token", "projected": {"sources": [{"serviceAccountToken": token}]}},
        {"name": "wi-no-api-token", "emptyDir": {"medium": "Memory", "sizeLimit": "4Mi"}},
    ]


@pytest.mark.parametrize(
    ("users", "order"),
    [
        ([], ["a", "b", "c", "wi-sidecar"]),
        (["a"], ["wi-sidecar", "a", "b", "c"]),
        (["c"], ["a", "b", "wi-sidecar", "c"]),
        (["b", "c"], ["a", "wi-sidecar", "b", "c"]),
    ],
)
def test_the_sidecar_stands_before_the_first_that_needs_it(kit, users, order):
    init = [kit.container(n, env=REFERENCE if n in users else None) for n in "abc"]
    pod = kit.mutate(kit.pod(kit.container(env=REFERENCE), init=init))
    assert [c["name"] for c in pod["spec"]["initContainers"]] == order
    assert list(declared(pod)) == [*users, "app"]
    for name in users:
        (container,) = [c for c in pod["spec"]["initContainers"] if c["name"] == name]
        assert container["command"][3] == "/run/wi/launch.py"
        assert "env" not in container


def test_reinvocation_moves_the_sidecar_behind_a_mesh(kit):
    first = kit.mutate(kit.pod(kit.container(env=REFERENCE), init=[kit.container("setup")]))
    first["spec"]["initContainers"].append(kit.container("istio-proxy", restartPolicy="Always"))
    second = kit.mutate(as_stored(first))
    assert [c["name"] for c in second["spec"]["initContainers"]] == ["setup", "istio-proxy", "wi-sidecar"]
    assert kit.judge(second).outcome == "unchanged"


def test_reinvocation_stays_before_a_user_of_secrets(kit):
    first = kit.mutate(kit.pod(kit.container(), init=[kit.container("setup", env=REFERENCE)]))
    first["spec"]["initContainers"].insert(1, kit.container("istio-proxy", restartPolicy="Always"))
    second = kit.mutate(as_stored(first))
    assert [c["name"] for c in second["spec"]["initContainers"]] == ["istio-proxy", "wi-sidecar", "setup"]


def test_reinvocation_takes_a_container_that_was_added_since(kit):
    first = kit.mutate(kit.pod(kit.container(env=REFERENCE)))
    first["spec"]["containers"].append(kit.container("late", env=[("K", "secret://demo/k")]))
    second = kit.mutate(as_stored(first))
    assert list(declared(second)) == ["app", "late"]
    assert second["spec"]["containers"][1]["command"][3] == "/run/wi/launch.py"
    assert len(sidecar_of(second)["volumeMounts"]) == 4
    assert kit.judge(second).outcome == "unchanged"


def test_reinvocation_takes_a_variable_that_was_added_since(kit):
    first = kit.mutate(kit.pod(kit.container(env=REFERENCE)))
    first["spec"]["containers"][0]["env"] = [{"name": "K", "value": "secret://demo/k"}]
    second = kit.mutate(as_stored(first))
    assert [e["name"] for e in declared(second)["app"]["entries"]] == ["DB", "K"]
    assert second["spec"]["containers"][0]["command"].count("/run/wi/launch.py") == 1


def test_reinvocation_forgets_a_container_that_is_gone(kit):
    first = kit.mutate(kit.pod(kit.container(env=REFERENCE), kit.container("gone", env=REFERENCE)))
    del first["spec"]["containers"][1]
    assert list(declared(kit.mutate(as_stored(first)))) == ["app"]


def test_reinvocation_wraps_a_command_that_was_replaced(kit):
    first = kit.mutate(kit.pod(kit.container(env=REFERENCE)))
    first["spec"]["containers"][0]["command"] = ["other"]
    assert kit.mutate(as_stored(first))["spec"]["containers"][0]["command"][-2:] == ["--", "other"]


def test_the_platform_may_choose_the_user(kit):
    settings = type(kit.settings)(sidecar_image="i", grants_url="https://g", ca_bundle="", sidecar_uid=None)
    pod = kit.mutate(kit.pod(kit.container(env=REFERENCE)), settings=settings)
    context = sidecar_of(pod)["securityContext"]
    assert "runAsUser" not in context
    context["runAsUser"] = 1000700000
    assert kit.judge(pod, settings=settings).outcome == "unchanged"


def as_a_platform_wants(sidecar):
    """What GKE Autopilot, AlwaysPullImages, OpenShift and policies on AppArmor make of every container."""
    sidecar["resources"] = {"requests": {"cpu": "50m", "memory": "64Mi"}, "limits": {"cpu": "50m", "memory": "64Mi"}}
    sidecar["imagePullPolicy"] = "Always"
    sidecar["securityContext"]["capabilities"]["drop"] += ["KILL", "MKNOD"]
    sidecar["securityContext"]["appArmorProfile"] = {"type": "RuntimeDefault"}
    return copy.deepcopy({key: sidecar[key] for key in ("resources", "imagePullPolicy", "securityContext")})


def test_the_platform_may_change_resources_pull_policy_and_add_restrictions(kit):
    pod = as_stored(kit.mutate(kit.pod(kit.container(env=REFERENCE))))
    as_a_platform_wants(sidecar_of(pod))
    assert kit.judge(pod).outcome == "unchanged"


def test_what_the_platform_wants_stays_when_a_container_was_added_since(kit):
    pod = as_stored(kit.mutate(kit.pod(kit.container(env=REFERENCE))))
    wanted = as_a_platform_wants(sidecar_of(pod))
    pod["spec"]["containers"].append(kit.container("late", env=[("K", "secret://demo/k")]))
    sidecar = sidecar_of(kit.mutate(pod))
    assert {key: sidecar[key] for key in wanted} == wanted
    assert json.loads(env_of(sidecar)["WI_DECLARATION"])["containers"].keys() == {"app", "late"}


def test_a_volume_of_ours_that_a_platform_doubled_stands_once_again(kit):
    """Seen on GKE Autopilot with the volumes of another webhook; the API server would refuse the pod."""
    pod = as_stored(kit.mutate(kit.pod(kit.container(env=REFERENCE), volumes=[{"name": "own", "emptyDir": {}}])))
    once = copy.deepcopy(pod["spec"]["volumes"])
    pod["spec"]["volumes"] += copy.deepcopy(once[1:3])
    assert kit.mutate(pod)["spec"]["volumes"] == once


def test_pull_secrets_are_appended(kit):
    settings = type(kit.settings)(
        sidecar_image="i", grants_url="https://g", ca_bundle="", image_pull_secrets=("mine", "theirs")
    )
    pod = kit.mutate(kit.pod(kit.container(env=REFERENCE), imagePullSecrets=[{"name": "theirs"}]), settings=settings)
    assert pod["spec"]["imagePullSecrets"] == [{"name": "theirs"}, {"name": "mine"}]


def test_the_pods_own_resources_grow_by_the_sidecars_once(kit):
    resources = {
        "requests": {"cpu": "1", "memory": "1Gi"},
        "limits": {"cpu": "1", "memory": "1Gi", "hugepages-2Mi": "2Mi"},
    }
    once = kit.mutate(kit.pod(kit.container(env=REFERENCE), resources=resources))
    # Equal before, equal after: the pod stays Guaranteed.
    grown = {"cpu": "1010m", "memory": "1088Mi"}
    assert once["spec"]["resources"] == {"requests": grown, "limits": {**grown, "hugepages-2Mi": "2Mi"}}
    once["spec"]["containers"].append(kit.container("late", env=[("K", "secret://demo/k")]))
    assert kit.mutate(as_stored(once))["spec"]["resources"] == once["spec"]["resources"]


LINUX = {"key": "kubernetes.io/os", "operator": "In", "values": ["linux"]}
OTHER = {"key": "zone", "operator": "Exists"}


def required(*terms):
    return {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": list(terms)}}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param(None, {"nodeAffinity": required({"matchExpressions": [LINUX]})}, id="none"),
        pytest.param(
            {"podAffinity": {"x": 1}},
            {"podAffinity": {"x": 1}, "nodeAffinity": required({"matchExpressions": [LINUX]})},
            id="other-affinity",
        ),
        pytest.param(
            {"nodeAffinity": required({"matchExpressions": [OTHER]}, {"matchFields": [OTHER]})},
            {
                "nodeAffinity": required(
                    {"matchExpressions": [OTHER, LINUX]}, {"matchFields": [OTHER], "matchExpressions": [LINUX]}
                )
            },
            id="every-term",
        ),
        pytest.param(
            {"nodeAffinity": required({}, {"matchExpressions": [LINUX]})},
            {"nodeAffinity": required({}, {"matchExpressions": [LINUX]})},
            id="an-empty-term-matches-nothing",
        ),
        pytest.param(
            {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": []}},
            {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [], **required({"matchExpressions": [LINUX]})}},
            id="preferred-only",
        ),
        pytest.param(
            {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": None}}},
            {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": None}}},
            id="what-the-api-server-will-refuse",
        ),
    ],
)  # fmt: skip
def test_affinity(kit, before, after):
    spec = {} if before is None else {"affinity": before}
    assert kit.mutate(kit.pod(kit.container(env=REFERENCE), **spec))["spec"]["affinity"] == after


def test_annotations(kit):
    pod = kit.mutate(kit.pod(kit.container(env=REFERENCE), annotations={"mine": "1"}))
    assert pod["metadata"]["annotations"] == {
        "mine": "1",
        "identity.crewai.com/ca-sha256": hashlib.sha256(kit.settings.ca_bundle.encode()).hexdigest(),
    }


@pytest.mark.parametrize(
    ("reference", "spec", "warning"),
    [
        ("secret://demo/db", {}, None),
        ("secret://nope/db", {}, "CredentialNotFound: .*team-a/nope.*app/DB"),
        ("secret://cold/db", {}, "VaultForbidden: .*team-a/cold.*not Ready: Grant it"),
        ("secret://aws/db", {}, "NotSupportedYet: .*team-a/aws"),
        ("secret:///db", {}, "ServiceAccountNotAllowed: .*team-a/default"),
        ("secret:///db", {"serviceAccountName": "crew"}, None),
        ("secret://demo/db", {"dnsPolicy": "Default"}, "dnsPolicy: Default"),
    ],
)
def test_warnings(kit, reference, spec, warning):
    pod = kit.pod(kit.container(env=[("DB", reference)]), **spec)
    verdict = kit.judge(pod)
    mutated = kit.apply(pod, list(verdict.operations))
    annotation = mutated["metadata"]["annotations"].get("identity.crewai.com/injection-warnings")
    assert annotation == ("\n".join(verdict.warnings) or None)
    assert bool(verdict.warnings) == bool(warning)
    assert warning is None or re.search(warning, verdict.warnings[0])


def test_a_warning_that_no_longer_holds_is_removed(kit):
    annotations = {"identity.crewai.com/injection-warnings": "old"}
    pod = kit.mutate(kit.pod(kit.container(env=REFERENCE), annotations=annotations))
    assert "identity.crewai.com/injection-warnings" not in pod["metadata"]["annotations"]


values = st.sampled_from(["secret://demo/a", "secret:///b", "$(A)", "$$(A)", "x$(B)$(Z)", "plain", ""])
env_lists = st.none() | st.lists(st.tuples(st.sampled_from("ABC"), values), max_size=5)


@st.composite
def pods(draw):
    def container(name):
        built = {"name": name, "image": "i", "command": ["run"], "unknownField": {"kept": [1]}}
        if (env := draw(env_lists)) is not None:
            built["env"] = [{"name": n, "value": v} for n, v in env]
        if draw(st.booleans()):
            built["volumeMounts"] = draw(st.sampled_from([[], [{"name": "v", "mountPath": "/v"}]]))
        return built

    spec = {"containers": [container(n) for n in draw(st.sampled_from([["app"], ["app", "web"]]))]}
    if init := draw(st.sampled_from([[], ["one"], ["one", "two"]])):
        spec["initContainers"] = [container(n) for n in init]
    spec |= draw(st.sampled_from([{}, {"volumes": None}, {"volumes": [{"name": "v"}]}, {"affinity": {}}]))
    return {"metadata": {"labels": {"identity.crewai.com/inject": "true"}}, "spec": spec}


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pods())
def test_any_pod_is_injected_once(kit, pod):
    before = copy.deepcopy(pod)
    verdict = kit.judge(pod)
    assert pod == before
    if verdict.problems:
        return
    once = kit.apply(pod, list(verdict.operations))
    for group in ("containers", "initContainers"):
        for container in once["spec"].get(group, []):
            assert not any((item.get("value") or "").startswith("secret://") for item in container.get("env") or [])
            assert container["name"] == "wi-sidecar" or container["unknownField"] == {"kept": [1]}
    if verdict.outcome == "changed" and "initContainers" in once["spec"]:
        again = kit.judge(as_stored(once)) if "volumes" in once["spec"] and once["spec"]["volumes"] else kit.judge(once)
        assert again.problems == ()
        assert again.outcome == "unchanged"
        assert again.warnings == verdict.warnings


def test_reinvocation_takes_the_newer_of_two_references(kit):
    first = kit.mutate(kit.pod(kit.container(env=REFERENCE)))
    first["spec"]["containers"][0]["env"] = [{"name": "DB", "value": "secret://demo/other"}]
    second = kit.mutate(as_stored(first))
    assert declared(second)["app"]["entries"] == [{"name": "DB", "reference": "secret://demo/other"}]
