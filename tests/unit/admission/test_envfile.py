"""The delivery mode envfile: what the pod looks like, and where it is refused."""

import copy
import dataclasses

import pytest

from wi_operator.admission.delivery import parse_deliveries
from wi_operator.admission.mutate.volumes import run_mount
from wi_operator.index.store import Index

REFERENCE = [("DB", "secret://demo/db")]
ENVFILE = {"identity.crewai.com/delivery": "envfile"}
STALE = {"identity.crewai.com/accept-stale-restart": "true"}


@pytest.fixture
def allowed(kit):
    return dataclasses.replace(kit.settings, is_envfile_allowed=True)


def make(kit, *containers, annotations=ENVFILE, **spec):
    return kit.pod(*containers, annotations=annotations, **{"restartPolicy": "Never", **spec})


def file_of(container, name):
    source = {"volumeName": "wi-env", "path": f"{container}.env", "key": name, "optional": False}
    return {"name": name, "valueFrom": {"fileKeyRef": source}}


def names_of(pod, group="initContainers"):
    return [container["name"] for container in pod["spec"][group]]


def test_the_kubelet_reads_the_values_and_expands_the_rest(kit, allowed):
    env = [("A", "1"), *REFERENCE, ("URL", "x$(DB)"), ("OLD", "secret://demo/a"), ("OLD", "plain")]
    container = kit.container(env=env)
    del container["command"]
    pod = kit.mutate(make(kit, container), settings=allowed)
    assert pod["spec"]["containers"][0] == {
        "name": "app",
        "image": "img",
        "env": [
            {"name": "A", "value": "1"},
            file_of("app", "DB"),
            {"name": "URL", "value": "x$(DB)"},
            {"name": "OLD", "value": "plain"},
        ],
    }


def test_the_writer_stands_behind_the_sidecar(kit, allowed):
    init = [kit.container("first"), kit.container("setup", env=REFERENCE)]
    pod = kit.mutate(make(kit, kit.container(env=REFERENCE), init=init), settings=allowed)
    assert names_of(pod) == ["first", "wi-sidecar", "wi-env", "setup"]
    writer = pod["spec"]["initContainers"][2]
    assert writer["args"] == ["envfile"]
    assert "restartPolicy" not in writer
    assert {item["name"]: item["value"] for item in writer["env"]} == {
        "WI_CONTAINERS": "setup,app",
        "WI_RUN_DIR": "/run/wi",
        "WI_ENV_DIR": "/run/wi-env",
    }
    assert writer["volumeMounts"] == [
        {**run_mount("setup"), "mountPath": "/run/wi/setup"},
        {**run_mount("app"), "mountPath": "/run/wi/app"},
        {"name": "wi-env", "mountPath": "/run/wi-env"},
        {"name": "wi-no-api-token", "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount", "readOnly": True},
    ]
    assert writer["securityContext"] == pod["spec"]["initContainers"][1]["securityContext"]
    assert pod["spec"]["volumes"][-1] == {"name": "wi-env", "emptyDir": {"medium": "Memory", "sizeLimit": "4Mi"}}
    # No token: only the sidecar asks the issuer.
    assert "wi-token" not in str(writer)


def test_both_modes_in_one_pod(kit, allowed):
    annotations = {"identity.crewai.com/delivery": "web=envfile"}
    pod = make(kit, kit.container(env=REFERENCE), kit.container("web", env=REFERENCE), annotations=annotations)
    pod = kit.mutate(pod, settings=allowed)
    app, web = pod["spec"]["containers"]
    assert app["command"][3] == "/run/wi/launch.py"
    assert web["command"] == ["run"]
    assert web["env"] == [file_of("web", "DB")]
    assert names_of(pod) == ["wi-sidecar", "wi-env"]


def test_a_second_call_changes_nothing(kit, allowed):
    once = kit.mutate(
        make(kit, kit.container(env=[*REFERENCE, ("U", "$(DB)")]), init=[kit.container("setup")]), settings=allowed
    )
    verdict = kit.judge(once, settings=allowed)
    assert (verdict.problems, verdict.outcome) == ((), "unchanged")


def test_reinvocation_takes_a_container_that_was_added_since_and_moves_behind_a_mesh(kit, allowed):
    once = kit.mutate(make(kit, kit.container(env=REFERENCE)), settings=allowed)
    once["spec"]["containers"].append(kit.container("late", env=[("K", "secret://demo/k")]))
    once["spec"]["initContainers"].append(kit.container("mesh", restartPolicy="Always"))
    twice = kit.mutate(once, settings=allowed)
    assert names_of(twice) == ["mesh", "wi-sidecar", "wi-env"]
    assert twice["spec"]["initContainers"][2]["env"][0]["value"] == "app,late"
    assert kit.judge(twice, settings=allowed).outcome == "unchanged"


def refused(kit, pod, reason, settings):
    problems = kit.judge(pod, settings=settings).problems
    assert any(reason in problem for problem in problems), problems


def test_it_is_off_by_default(kit):
    refused(kit, make(kit, kit.container(env=REFERENCE)), "container 'app': EnvfileNotAllowed: ", kit.settings)


@pytest.mark.parametrize(
    ("own", "of_pod", "detail"),
    [
        ({}, "Always", "restartPolicy: Always"),
        ({}, "OnFailure", "restartPolicy: OnFailure"),
        ({}, None, "restartPolicy: Always"),
        ({"restartPolicy": "OnFailure"}, "Never", "restartPolicy: OnFailure"),
        ({"restartPolicyRules": [{}], "restartPolicy": "Never"}, "Never", "restartPolicyRules"),
        ({}, "Never", ""),
        ({"restartPolicy": "Never"}, "Always", ""),
    ],
)
def test_a_restart_would_be_stale(kit, allowed, own, of_pod, detail):
    pod = make(kit, kit.container(env=REFERENCE, **own), restartPolicy=of_pod)
    if not detail:
        assert kit.judge(pod, settings=allowed).problems == ()
        return
    refused(kit, pod, f"container 'app': EnvfileRestart: It may be started again ({detail})", allowed)
    pod["metadata"]["annotations"] = {**ENVFILE, **STALE}
    assert kit.judge(pod, settings=allowed).problems == ()


def test_every_linux_node_has_to_know_the_files(kit, allowed):
    pod = make(kit, kit.container(env=REFERENCE))
    index = copy.deepcopy(kit.index)
    for name, version, system in (("win", "v1.30.0", "windows"), ("a", "v1.34.9", "linux"), ("b", "", "linux")):
        index.put_node(kit.node(name, version, system))
    problems = kit.judge(pod, settings=allowed, index=index).problems
    assert problems[0].startswith("pod: EnvfileNodesTooOld: ")
    assert "older: a, b. " in problems[0]
    for name in ("a", "b"):
        index.put_node(kit.node(name, "v1.35.0-rc.1"))
    assert kit.judge(pod, settings=allowed, index=index).problems == ()
    assert "EnvfileNodesUnknown" in kit.judge(pod, settings=allowed, index=Index()).problems[0]


@pytest.mark.parametrize("text", ["file", "web=", "=envfile", "web=envfile,web=exec", "envfile,exec", "nope=envfile"])
def test_an_annotation_that_cannot_be_meant(kit, allowed, text):
    annotations = {"identity.crewai.com/delivery": text}
    refused(
        kit, make(kit, kit.container("web", env=REFERENCE), annotations=annotations), "pod: InvalidDelivery: ", allowed
    )


def test_modes_by_container():
    deliveries = parse_deliveries(" web=envfile , job=exec")
    assert [deliveries.of(name) for name in ("web", "job", "other")] == ["envfile", "exec", "exec"]
    assert parse_deliveries("envfile").of("any") == "envfile"


def test_what_the_operator_wrote_is_accepted(kit, allowed):
    pod = kit.mutate(
        make(kit, kit.container(env=REFERENCE), kit.container("other", env=[("DB", "1")])), settings=allowed
    )
    assert pod["spec"]["containers"][0]["env"] == [file_of("app", "DB")]
    assert kit.judge(pod, settings=allowed).problems == ()


def test_a_volume_of_the_users_own_is_mounted(kit, allowed):
    own = {"volumes": [{"name": "env", "emptyDir": {}}]}
    pod = kit.mutate(make(kit, kit.container(env=REFERENCE), kit.container("other"), **own), settings=allowed)
    pod["spec"]["containers"][1]["volumeMounts"] = [{"name": "env", "mountPath": "/x"}]
    assert kit.judge(pod, settings=allowed).problems == ()


def test_an_init_container_of_another_name_is_the_users_to_make(kit, allowed):
    for env in (REFERENCE, ()):
        pod = make(kit, kit.container(env=env), init=[kit.container("env")])
        assert kit.judge(pod, settings=allowed).problems == ()


@pytest.mark.attack(twin="test_what_the_operator_wrote_is_accepted")
@pytest.mark.parametrize("path", ["app.env", "other.env"])
def test_another_containers_file_is_not_read(kit, allowed, path):
    thief = kit.container("thief")
    thief["env"] = [file_of("app", "DB")]
    thief["env"][0]["valueFrom"]["fileKeyRef"]["path"] = path
    pod = kit.mutate(make(kit, kit.container(env=REFERENCE)), settings=allowed)
    assert kit.judge(pod, settings=allowed).problems == ()
    pod["spec"]["containers"].append(thief)
    refused(kit, pod, "container 'thief', variable 'DB': ReservedName: ", allowed)


@pytest.mark.attack(twin="test_a_volume_of_the_users_own_is_mounted")
def test_the_file_is_not_mounted_elsewhere(kit, allowed):
    pod = kit.mutate(make(kit, kit.container(env=REFERENCE), kit.container("thief")), settings=allowed)
    pod["spec"]["containers"][1]["volumeMounts"] = [{"name": "wi-env", "mountPath": "/x"}]
    refused(kit, pod, "container 'thief', mount of volume 'wi-env': ReservedName: ", allowed)


def set_image(writer):
    writer["image"] = "evil"


def set_other(writer):
    writer["env"][0]["value"] = "other"


@pytest.mark.attack(twin="test_what_the_operator_wrote_is_accepted")
@pytest.mark.parametrize("change", [set_image, set_other])
def test_a_forged_writer(kit, allowed, change):
    pod = kit.mutate(make(kit, kit.container(env=REFERENCE)), settings=allowed)
    change(pod["spec"]["initContainers"][1])
    refused(kit, pod, "init container 'wi-env': ForeignSidecar: ", allowed)


@pytest.mark.attack(twin="test_an_init_container_of_another_name_is_the_users_to_make")
def test_a_writer_without_a_sidecar_is_the_users(kit, allowed):
    pod = make(kit, kit.container(env=REFERENCE), init=[kit.container("wi-env")])
    refused(kit, pod, "init container 'wi-env': ReservedName: ", allowed)
    refused(kit, make(kit, kit.container(), init=[kit.container("wi-env")]), "ReservedName", allowed)


def test_secrets_do_not_belong_into_arguments_here_either(kit, allowed):
    pod = make(kit, kit.container(env=REFERENCE, args=["$(DB)"]))
    refused(kit, pod, "SecretOutsideEnvironment: args refers to $(DB)", allowed)
