"""Where workflow engines start the container's program themselves, the launcher stands behind their starter."""

import copy

import pytest

ENV = [("A", "secret://demo/a")]
LAUNCH = ["python3", "-I", "-S", "/run/wi/launch.py"]
TEKTON = {
    "command": ["/tekton/bin/entrypoint"],
    "args": ["-wait_file", "/tekton/run/0/out", "-termination_path", "/tekton/termination", "-entrypoint", "sh", "--", "-c", "x"],
    "terminationMessagePath": "/tekton/termination",
}  # fmt: skip
ARGO = {
    "command": ["/var/run/argo/argoexec", "emissary", "--loglevel", "info", "--", "python3"],
    "args": ["/argo/staging/script"],
}


def mutate(kit, fields, **annotations):
    pod = kit.mutate(kit.pod(kit.container(env=ENV, **fields), annotations=annotations or None))
    assert list(kit.judge(pod).operations) == []
    container = pod["spec"]["containers"][0]
    return container["command"], container.get("args")


def test_tekton_starts_the_launcher_when_the_steps_turn_comes(kit):
    command, args = mutate(kit, TEKTON)
    assert command == TEKTON["command"]
    assert args == [*TEKTON["args"][:5], "python3", "--", *LAUNCH[1:], "--", "sh", "-c", "x"]


def test_a_step_of_tekton_without_arguments(kit):
    _, args = mutate(kit, {**TEKTON, "args": ["-entrypoint", "/tekton/scripts/s", "--"]})
    assert args == ["-entrypoint", "python3", "--", *LAUNCH[1:], "--", "/tekton/scripts/s"]


def test_the_message_of_a_step_is_tektons(kit):
    """It holds the step's results, as JSON, to which Tekton's starter adds: what it cannot read ends the step."""
    _, args = mutate(kit, TEKTON)
    assert "--termination-log" not in args
    own, _ = mutate(kit, {"command": ["run"], "terminationMessagePath": "/tekton/termination"})
    assert own[4:6] == ["--termination-log", "/tekton/termination"]


def test_argo_starts_the_launcher(kit):
    command, args = mutate(kit, ARGO)
    assert command == [*ARGO["command"][:5], *LAUNCH, "--", "python3"]
    assert args == ARGO["args"]


def test_interpreter_and_hook_are_the_pods_choice_behind_a_starter_too(kit):
    choice = {"identity.crewai.com/python": "/opt/python", "identity.crewai.com/hook": "false"}
    command, _ = mutate(kit, ARGO, **choice)
    assert command[5:] == ["/opt/python", *LAUNCH[1:], "--no-hook", "--", "python3"]
    _, args = mutate(kit, TEKTON, **choice)
    assert args[5:] == ["/opt/python", "--", *LAUNCH[1:], "--no-hook", "--", "sh", "-c", "x"]


@pytest.mark.parametrize(
    "fields",
    [
        {"command": ["/tekton/bin/entrypoint"]},
        {"command": ["/tekton/bin/entrypoint"], "args": ["-entrypoint", "sh"]},
        {"command": ["/tekton/bin/entrypoint"], "args": ["-wait_file", "x", "--", "-entrypoint", "sh"]},
        {"command": ["/tekton/bin/entrypoint"], "args": ["-entrypoint", "--", "sh"]},
        {"command": ["/tekton/bin/entrypoint", "decode-script"], "args": ["-entrypoint", "sh", "--"]},
        {"command": ["/var/run/argo/argoexec", "emissary", "--"], "args": ["sh"]},
        {"command": ["/var/run/argo/argoexec", "emissary", "sh"]},
        {"command": ["/var/run/argo/argoexec", "wait", "--", "sh"]},
        {"command": ["emissary", "--", "sh"]},
    ],
)
def test_what_only_looks_like_a_starter_is_launched_as_it_is(kit, fields):
    command, args = mutate(kit, copy.deepcopy(fields))
    assert command == [*LAUNCH, "--", *fields["command"]]
    assert args == fields.get("args")
