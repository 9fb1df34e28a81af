"""What is refused, and that the message names container, variable and remedy."""

import copy
import itertools
import json
import re
import sys

import pytest

REFERENCE = [("DB", "secret://demo/db")]


def refused(kit, pod, pattern, **arguments):
    problems = kit.judge(pod, **arguments).problems
    assert any(re.search(pattern, problem) for problem in problems), problems
    return problems


def test_all_problems_are_told_at_once(kit):
    pod = kit.pod(
        kit.container(env=[("A", "secret://DEMO/a"), ("B", "secret://demo/a/b")], command=[]),
        init=[kit.container("setup", env=[("C", "secret://")])],
    )
    problems = kit.judge(pod).problems
    assert [p.split(":")[0] for p in problems] == [
        "init container 'setup', variable 'C'",
        "container 'app', variable 'A'",
        "container 'app', variable 'B'",
        "container 'app'",
    ]


def test_a_malformed_reference_shows_position_and_form(kit):
    refused(
        kit,
        kit.pod(kit.container(env=[("A", "secret://demo/a#k?version=1")])),
        r"container 'app', variable 'A': MalformedReference: .*at position 17\. Write secret://demo/a\?version=1#k",
    )


@pytest.mark.parametrize("command", [None, []])
def test_no_command(kit, command):
    container = kit.container(env=REFERENCE)
    container["command"] = command
    refused(
        kit,
        kit.pod(container),
        r"'app': CommandMissing: It takes secrets \(DB\) but has no command.*Set command.*envfile",
    )


@pytest.mark.parametrize(
    ("fields", "place"),
    [
        ({"command": ["run", "--pw=$(DB)"]}, "command"),
        ({"args": ["$(URL)"]}, "args"),
        ({"livenessProbe": {"exec": {"command": ["check", "$(DB)"]}}}, "livenessProbe.exec.command"),
        ({"volumeMounts": [{"name": "v", "mountPath": "/v", "subPathExpr": "$(DB)"}]}, "volumeMounts.subPathExpr"),
    ],
)
def test_a_secret_outside_env(kit, fields, place):
    pod = kit.pod(kit.container(env=[*REFERENCE, ("URL", "u$(DB)")], **fields))
    refused(kit, pod, rf"container 'app': SecretOutsideEnvironment: {place} refers to \$\((DB|URL)\)")


def test_other_variables_may_stand_in_args(kit):
    pod = kit.pod(kit.container(env=[*REFERENCE, ("P", "1")], args=["$(P)", "$$(DB)", "$(NOPE)"]))
    assert kit.judge(pod).problems == ()


@pytest.mark.parametrize("value", ["no", "False", ""])
def test_a_hook_annotation_that_is_neither_of_its_words(kit, value):
    annotations = {"identity.crewai.com/hook": value}
    refused(kit, kit.pod(kit.container(env=REFERENCE), annotations=annotations), 'neither "true" nor "false"')


@pytest.mark.parametrize("python", ["$(DB)", "/bin/sh -c", "python3;x", "ü"])
def test_an_interpreter_that_is_no_program(kit, python):
    annotations = {"identity.crewai.com/python": python}
    refused(kit, kit.pod(kit.container(env=REFERENCE), annotations=annotations), "identity.crewai.com/python")


@pytest.mark.parametrize("name", ["has_dot.", "x" * 128, "%41."])
def test_a_name_that_key_vault_cannot_have(kit, name):
    refused(kit, kit.pod(kit.container(env=[("A", f"secret://demo/{name}")])), "variable 'A': .*no Key Vault name")


def test_a_variable_in_the_name_is_told_once_and_one_that_is_none_as_what_it_is(kit):
    (told,) = kit.judge(kit.pod(kit.container(env=[("A", "secret://demo/$(STAGE)"), ("STAGE", "x")]))).problems
    assert told.startswith("container 'app', variable 'A': VariableInReference: ")
    env = [("A", "secret://demo/$(STAGE)"), ("B", "secret://demo/has.dot"), ("C", "secret://demo/$$(STAGE)")]
    problems = kit.judge(kit.pod(kit.container(env=env))).problems
    assert [each.split(": ")[:2] for each in problems] == [
        ["container 'app', variable 'A'", "VariableInReference"],
        ["container 'app', variable 'B'", "ImpossibleSecretName"],
        ["container 'app', variable 'C'", "ImpossibleSecretName"],
    ]


def test_a_version_that_key_vault_cannot_have(kit):
    refused(kit, kit.pod(kit.container(env=[("A", "secret:///a?version=1")])), "no Key Vault version")


@pytest.mark.parametrize("reference", ["secret://demo/under_score", "secret://aws/path.with.dots", "secret://nope/a.b"])
def test_names_are_judged_by_the_rules_of_their_vault(kit, reference):
    assert kit.judge(kit.pod(kit.container(env=[("A", reference)]))).problems == ()


@pytest.mark.attack(twin="test_parts_of_the_users_own_are_accepted")
def test_containers_with_our_names(kit):
    refused(kit, kit.pod(kit.container("wi-app", env=REFERENCE)), "container 'wi-app': ReservedName: ")
    pod = kit.pod(kit.container(env=REFERENCE), init=[kit.container("wi-sidecar")])
    refused(kit, pod, "init container 'wi-sidecar': ReservedName: ")


@pytest.mark.attack(twin="test_parts_of_the_users_own_are_accepted")
def test_volumes_with_our_names(kit):
    for name in ("wi-token", "wi-anything"):
        pod = kit.pod(kit.container(env=REFERENCE), volumes=[{"name": name, "emptyDir": {}}])
        refused(kit, pod, f"volume '{name}': ReservedName: ")


def test_parts_of_the_users_own_are_accepted(kit):
    """What the attacks add, under names and at places that are not ours."""
    own = kit.container("sidecar", restartPolicy="Always")
    pod = kit.pod(
        kit.container("the-wi-app", env=REFERENCE, volumeMounts=[{"name": "token", "mountPath": "/run/wiki"}]),
        init=[own],
        volumes=[{"name": "token", "projected": {"sources": [{"secret": {"name": "x"}}]}}],
    )
    assert kit.judge(pod).problems == ()
    assert kit.judge(kit.mutate(pod)).problems == ()


def test_what_the_operator_wrote_is_accepted(kit):
    assert kit.judge(kit.mutate(kit.pod(kit.container(env=REFERENCE)))).problems == ()


def set_image(sidecar):
    sidecar["image"] = "evil"


def set_command(sidecar):
    sidecar["command"] = ["sh"]


def add_capability(sidecar):
    sidecar["securityContext"]["capabilities"]["add"] = ["SYS_PTRACE"]


def set_issuer(sidecar):
    sidecar["env"].append({"name": "WI_GRANTS_URL", "value": "https://evil"})


def drop_cover(sidecar):
    del sidecar["volumeMounts"][-1]


def take_back_a_drop(sidecar):
    sidecar["securityContext"]["capabilities"]["drop"] = ["KILL"]


def forget_capabilities(sidecar):
    del sidecar["securityContext"]["capabilities"]


def unconfine(sidecar):
    sidecar["securityContext"]["appArmorProfile"] = {"type": "Unconfined"}


def set_user(sidecar):
    sidecar["securityContext"]["runAsUser"] = 1000


def forget_that_it_is_a_sidecar(sidecar):
    """A webhook of before Kubernetes 1.28 does that: it drops the fields that it does not know."""
    del sidecar["restartPolicy"]


def set_hook(sidecar):
    sidecar["lifecycle"] = {"postStart": {"exec": {"command": ["sh"]}}}


def add_hook(sidecar):
    sidecar["lifecycle"] |= {"preStop": {"exec": {"command": ["sh"]}}}


def add_probe(sidecar):
    sidecar["livenessProbe"] = {
        "exec": {"command": ["cp", "/var/run/secrets/identity.crewai.com/token", "/run/wi/app"]}
    }


def drop_hook(sidecar):
    del sidecar["lifecycle"]


@pytest.mark.attack(twin="test_what_the_operator_wrote_is_accepted")
@pytest.mark.parametrize(
    ("field", "change"),
    [
        ("image", set_image), ("command", set_command), ("env", set_issuer), ("volumeMounts", drop_cover),
        ("lifecycle", set_hook), ("lifecycle", add_hook), ("lifecycle", drop_hook), ("livenessProbe", add_probe),
        ("securityContext", add_capability), ("securityContext", take_back_a_drop),
        ("securityContext", forget_capabilities), ("securityContext", unconfine), ("securityContext", set_user),
        ("restartPolicy", forget_that_it_is_a_sidecar),
    ],
)  # fmt: skip
def test_a_forged_sidecar(kit, field, change):
    pod = kit.mutate(kit.pod(kit.container(env=REFERENCE)))
    assert kit.judge(pod).problems == ()
    change(pod["spec"]["initContainers"][0])
    refused(kit, pod, f"'wi-sidecar': ForeignSidecar: It is not what the operator wrote .*: {field} differs")


@pytest.mark.parametrize("entry", [{"name": ["A"], "reference": "secret:///a"}, {"name": "A", "template": 5}])
def test_a_declaration_of_other_types_is_none_of_ours(kit, entry):
    pod = kit.mutate(kit.pod(kit.container(env=REFERENCE)))
    declaration = {"version": 1, "containers": {"app": {"entries": [entry]}}}
    (variable,) = [item for item in pod["spec"]["initContainers"][0]["env"] if item["name"] == "WI_DECLARATION"]
    variable["value"] = json.dumps(declaration)
    refused(kit, pod, "'wi-sidecar': ReservedName")


@pytest.mark.attack(twin="test_parts_of_the_users_own_are_accepted")
def test_a_second_sidecar(kit):
    pod = kit.mutate(kit.pod(kit.container(env=REFERENCE)))
    pod["spec"]["initContainers"].append(copy.deepcopy(pod["spec"]["initContainers"][0]))
    refused(kit, pod, "'wi-sidecar': ReservedName: ")


@pytest.mark.attack(twin="test_parts_of_the_users_own_are_accepted")
def test_a_forged_token_volume(kit):
    pod = kit.mutate(kit.pod(kit.container(env=REFERENCE)))
    pod["spec"]["volumes"][1]["projected"]["sources"].append({"secret": {"name": "x"}})
    refused(kit, pod, "volume 'wi-token'")


@pytest.mark.attack(twin="test_parts_of_the_users_own_are_accepted")
def test_a_mount_of_the_token_in_the_application(kit):
    pod = kit.mutate(kit.pod(kit.container(env=REFERENCE)))
    pod["spec"]["containers"][0]["volumeMounts"].append({"name": "wi-token", "mountPath": "/t"})
    refused(kit, pod, "container 'app', mount of volume 'wi-token': ReservedName: ")


@pytest.mark.attack(twin="test_what_the_operator_wrote_is_accepted")
def test_a_writable_mount_of_the_launcher(kit):
    pod = kit.mutate(kit.pod(kit.container(env=REFERENCE)))
    pod["spec"]["containers"][0]["volumeMounts"][0]["readOnly"] = False
    refused(kit, pod, "container 'app', mount of volume 'wi-run-")


@pytest.mark.attack(twin="test_parts_of_the_users_own_are_accepted")
@pytest.mark.parametrize("path", ["/run/wi", "/run/wi/", "/run/wi/app"])
def test_a_mount_over_the_launcher(kit, path):
    pod = kit.pod(kit.container(env=REFERENCE, volumeMounts=[{"name": "v", "mountPath": path}]))
    refused(kit, pod, "container 'app', mount of volume 'v': ReservedPath: ")


@pytest.mark.parametrize("spec", [{"os": {"name": "windows"}}, {"nodeSelector": {"kubernetes.io/os": "windows"}}])
def test_windows(kit, spec):
    refused(kit, kit.pod(kit.container(env=REFERENCE), **spec), "pod: WindowsPod: ")


def test_the_mirror_of_a_static_pod(kit):
    pod = kit.pod(kit.container(env=REFERENCE), annotations={"kubernetes.io/config.mirror": "hash"})
    refused(kit, pod, "pod: StaticPod: ")


@pytest.mark.parametrize(("policy", "is_refused"), [("ClusterFirst", True), ("ClusterFirstWithHostNet", False)])
def test_host_network(kit, policy, is_refused):
    pod = kit.pod(kit.container(env=REFERENCE), hostNetwork=True, dnsPolicy=policy)
    assert bool(kit.judge(pod).problems) is is_refused


SAFE = {"runAsUser": 1000}


def chosen_by_the_platform(kit):
    return type(kit.settings)(sidecar_image="i", grants_url="https://g", ca_bundle="", sidecar_uid=None)


@pytest.mark.parametrize("sharing", ["shareProcessNamespace", "hostPID"])
@pytest.mark.parametrize(
    ("pod_context", "context"), [({}, SAFE), (SAFE, {}), ({"runAsNonRoot": True}, {}), (SAFE, {"privileged": False})]
)
def test_shared_processes_that_cannot_read_the_sidecar_are_warned(kit, sharing, pod_context, context):
    pod = kit.pod(
        kit.container(env=REFERENCE, securityContext=context),
        kit.container("other", securityContext=SAFE),
        securityContext=pod_context,
        **{sharing: True},
    )
    verdict = kit.judge(pod)
    assert verdict.problems == ()
    assert "shares its process namespace" in verdict.warnings[0]


@pytest.mark.attack(twin="test_shared_processes_that_cannot_read_the_sidecar_are_warned")
@pytest.mark.parametrize("sharing", ["shareProcessNamespace", "hostPID"])
@pytest.mark.parametrize(
    ("pod_context", "context", "problem"),
    [
        ({}, {}, "may do so"),
        (SAFE, {"runAsUser": 0}, "runs as root"),
        ({"runAsUser": 29387}, {}, "sidecar's user"),
        (SAFE, {"capabilities": {"add": ["SYS_PTRACE"]}}, "capability SYS_PTRACE"),
        (SAFE, {"capabilities": {"add": ["ALL"]}}, "capability ALL"),
        (SAFE, {"privileged": True}, "privileged"),
        ({"runAsNonRoot": True}, {"runAsNonRoot": False}, "may do so"),
    ],
)
def test_shared_processes_that_can_read_the_sidecar(kit, sharing, pod_context, context, problem):
    container = kit.container(env=REFERENCE, securityContext=context)
    pod = kit.pod(container, securityContext=pod_context, **{sharing: True})
    refused(kit, pod, f"container 'app': SidecarReadable: .*{problem}")


@pytest.mark.attack(twin="test_shared_processes_that_cannot_read_the_sidecar_are_warned")
def test_a_container_without_secrets_may_not_read_the_sidecar_either(kit):
    pod = kit.pod(
        kit.container(env=REFERENCE, securityContext=SAFE),
        kit.container("other", securityContext={"runAsUser": 0}),
        shareProcessNamespace=True,
    )
    refused(kit, pod, "container 'other': SidecarReadable: It runs as root")


@pytest.mark.attack(twin="test_where_the_platform_chooses_the_user_a_pod_of_its_own_processes_is_accepted")
def test_shared_processes_where_the_platform_chooses_the_user(kit):
    pod = kit.pod(kit.container(env=REFERENCE, securityContext=SAFE), shareProcessNamespace=True)
    refused(kit, pod, "the platform chooses", settings=chosen_by_the_platform(kit))


def test_where_the_platform_chooses_the_user_a_pod_of_its_own_processes_is_accepted(kit):
    pod = kit.pod(kit.container(env=REFERENCE, securityContext=SAFE), shareProcessNamespace=False)
    assert kit.judge(pod, settings=chosen_by_the_platform(kit)).problems == ()


def test_a_declaration_with_a_malformed_reference(kit):
    pod = kit.mutate(kit.pod(kit.container(env=REFERENCE)))
    item = pod["spec"]["initContainers"][0]["env"][0]
    item["value"] = item["value"].replace("secret://demo/db", "secret://demo/")
    refused(kit, pod, "container 'app', variable 'DB': MalformedReference: the secret's name is empty")


def count_steps(act):
    """Count the interpreter's steps, whatever the machine's speed."""
    steps = itertools.count()

    def trace(frame, event, _):
        frame.f_trace_opcodes = True
        if event == "opcode":
            next(steps)
        return trace

    sys.settrace(trace)
    try:
        act()
    finally:
        sys.settrace(None)
    return next(steps)


@pytest.mark.parametrize(
    "fill",
    [
        lambda n: {"env": [(f"A{i}", f"secret:///{'$(X)' if i % 2 else 'a.b'}") for i in range(n)]},
        lambda n: {"env": [(f"A{i}", "secret:///a") for i in range(n)], "args": ["$(A0)$(B)"] * n},
    ],
    ids=["impossible and malformed references", "uses of variables"],
)
def test_a_pod_takes_no_more_than_its_size(kit, fill):
    """Whoever may create pods would else stop the webhook with one."""
    few, many = (kit.pod(kit.container(**fill(n))) for n in (50, 400))
    assert kit.judge(many).problems
    assert count_steps(lambda: kit.judge(many)) < 10 * count_steps(lambda: kit.judge(few))
