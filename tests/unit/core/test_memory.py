"""A served process loads half of the Kubernetes library; in an interpreter of its own, because it changes what is loaded."""

import subprocess
import sys
from pathlib import Path

SOURCE = Path(__file__).parents[3] / "operator"
CODE = """
import sys
sys.path.insert(0, {source!r})
from wi_operator.core.memory import keep_small
keep_small()
import wi_operator.processes.controller, wi_operator.processes.issuer, wi_operator.processes.webhook
from kubernetes.aio.leaderelection.leaderelection import LeaderElection
import kopf
print(sorted(name for name in sys.modules if name.startswith(("kubernetes.client.", "oauthlib"))))
"""


def test_the_synchronous_client_is_not_loaded():
    done = subprocess.run(
        [sys.executable, "-c", CODE.format(source=str(SOURCE))], capture_output=True, text=True, check=False
    )
    assert done.stdout == "[]\n", done.stderr
