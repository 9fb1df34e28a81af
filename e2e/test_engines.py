"""Pods of workflow engines, whose own starter waits in every container until its step's turn comes."""

import json
import secrets

from wi_testkit.world import SHOW, fingerprint

# What Tekton's starter does for a step: it waits for the one before, starts the step's program, and says how it ended.
STARTER = """#!/usr/bin/env python3
import os, subprocess, sys, time
end = sys.argv.index('--')
flags = dict(zip(sys.argv[1:end:2], sys.argv[2:end:2]))
before, after = flags['-wait_file'], flags['-post_file']
while not os.path.exists(before):
    if os.path.exists(before + '.err'):
        print('skipped')
        open(after + '.err', 'w').close()
        sys.exit(1)
    time.sleep(0.1)
code = subprocess.run([flags['-entrypoint'], *sys.argv[end + 1:]]).returncode
open(after + ('.err' if code else ''), 'w').close()
sys.exit(code)
"""
PROGRAM = "/tekton/bin/entrypoint"
MOUNTS = [{"name": "tekton", "mountPath": "/tekton"}]


def render_step(team, number, *command, **variables):
    flags = ["-wait_file", f"/tekton/{number}", "-post_file", f"/tekton/{number + 1}", "-entrypoint", command[0], "--"]
    (step,) = team.render_pod(variables, [PROGRAM])["spec"]["containers"]
    return step | {"name": f"step-{number}", "args": [*flags, *command[1:]], "volumeMounts": MOUNTS}


def test_a_step_of_an_engine_reads_when_its_turn_comes_and_tells_it_when_there_is_no_secret(team):
    values = [f"planted-{secrets.token_hex(12)}-not-a-real-secret" for _ in range(2)]
    team.set_secret("a", values[0])
    install = (
        f"import os; os.mkdir('/tekton/bin'); open('{PROGRAM}', 'w').write({STARTER!r}); os.chmod('{PROGRAM}', 0o755)"
    )
    pod = team.render_pod({}, ["python3", "-c", install])
    (prepare,) = pod["spec"]["containers"]
    steps = [
        render_step(team, 0, "true"),
        render_step(team, 1, "python3", "-c", SHOW, APP_A="secret://demo/a"),
        render_step(team, 2, "true", APP_A="secret://demo/not-there"),
        render_step(team, 3, "true"),
    ]
    pod["spec"] |= {"initContainers": [prepare | {"name": "prepare", "volumeMounts": MOUNTS}], "containers": steps}
    pod["spec"]["volumes"] = [{"name": "tekton", "emptyDir": {}}]
    pod["metadata"] |= {"name": "steps", "namespace": team.name}
    team.kubectl("create", "--filename=-", stdin=json.dumps({"apiVersion": "v1", "kind": "Pod"} | pod))
    team.kubectl("wait", "--for=condition=Ready", "pod/steps", "--timeout=60s")
    team.set_secret("a", values[1])
    team.kubectl("exec", "steps", "-c", "step-0", "--", "touch", "/tekton/0")
    team.kubectl("wait", "--for=jsonpath={.status.phase}=Failed", "pod/steps", "--timeout=60s")
    statuses = json.loads(team.kubectl("get", "pod", "steps", "-o", "json"))["status"]["containerStatuses"]
    ended = {each["name"]: each["state"]["terminated"]["exitCode"] for each in statuses}
    assert ended == {"step-0": 0, "step-1": 0, "step-2": 78, "step-3": 1}
    assert fingerprint(values[1]) in team.kubectl("logs", "steps", "-c", "step-1")
    assert "SecretNotFound" in team.kubectl("logs", "steps", "-c", "step-2")
    assert team.kubectl("logs", "steps", "-c", "step-3").strip() == "skipped"
