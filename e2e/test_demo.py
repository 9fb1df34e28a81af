"""The demo on the cluster of a kubeconfig: the path CLUSTER=current."""

import os
import subprocess
import sys


def test_the_demo_runs_on_the_current_cluster(world):
    environment = dict(os.environ) | dict(world.cluster.environment) | {"CLUSTER": "current"}
    for command, said in (("up", "fingerprint"), ("down", "")):
        done = subprocess.run(
            [sys.executable, "-m", "wi_testkit.stage", command],
            env=environment,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        assert said in done.stdout
