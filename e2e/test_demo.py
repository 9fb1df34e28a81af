"""The demo on the cluster of a kubeconfig: the path CLUSTER=current."""

import os
import re
import subprocess
import sys


def run_stage(world, command: str) -> str:
    environment = dict(os.environ) | dict(world.cluster.environment) | {"CLUSTER": "current"}
    done = subprocess.run(
        [sys.executable, "-m", "wi_testkit.stage", command],
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    told = done.stdout + done.stderr
    assert done.returncode == 0, told[-3000:]
    return told


def test_the_demo_runs_on_the_current_cluster(world):
    told = run_stage(world, "up")
    assert len(set(re.findall(r"fingerprint=sha256:([0-9a-f]{12})", told))) == 2
    assert "AADSTS700213" in told
    run_stage(world, "down")
    assert run_stage(world, "down") is not None
    left = world.kubectl("get", "namespaces,crds,mutatingwebhookconfigurations,clusterroles", "-o", "name")
    assert "wi-" not in left
    assert "identity.crewai.com" not in left
