"""A served process loads half of the Kubernetes library; in an interpreter of its own, because it changes what is loaded."""

import json
import subprocess
import sys
from pathlib import Path

from wi_operator.core.memory import SHARED_LENGTH, share

SOURCE = Path(__file__).parents[3] / "operator"
CODE = """
import sys
sys.path.insert(0, {source!r})
from wi_operator.core.memory import import_without, keep_small
keep_small()
import_without("requests", hidden="charset_normalizer")
import wi_operator.processes.controller, wi_operator.processes.issuer, wi_operator.processes.webhook
from kubernetes.aio.leaderelection.leaderelection import LeaderElection
import kopf, kubernetes, msal, requests
kubernetes.aio.client.models.V1Lease
print(sorted(name for name in sys.modules if name.startswith({unwanted!r})))
import charset_normalizer
print(charset_normalizer.detect(b"abc")["encoding"])
"""
UNWANTED = ("kubernetes.client.", "oauthlib", "kubernetes.aio.dynamic", "charset_normalizer")


def test_what_nobody_needs_is_not_loaded_and_can_be_later():
    code = CODE.format(source=str(SOURCE), unwanted=UNWANTED)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("[]\nascii\n", "")


def test_short_texts_are_shared_and_nothing_is_changed():
    long = "x" * (SHARED_LENGTH + 1)
    first, second = (json.loads(json.dumps({"type": ["Ready", 1, None, True, long], "in": {"er": "é"}})) for _ in "ab")
    assert share(first) == first == share(second)
    assert first["type"][0] is not second["type"][0]
    assert share(first)["type"][0] is share(second)["type"][0]
    assert share(first)["type"][4] is not share(second)["type"][4]
