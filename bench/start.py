"""What a secret costs at a pod's start: from its creation to the application's first line, in real pods taken in turn.

    python bench/start.py [PODS]

Four kinds: a pod without a sidecar, one with a native sidecar that does nothing, and two with ours, which has listened, got
a grant and a token and read the secret when the application says its first word; in the Guaranteed one it has a fifth of a CPU.
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any

from figures import ROOT, Figures

sys.path.insert(0, str(ROOT / "operator"))
from wi_testkit.controlplane.progress import Progress
from wi_testkit.stage import clusters
from wi_testkit.stage.install import ISSUER_URL, Stage
from wi_testkit.world import Team, World, render_bare_sidecar

NODE = "bench"
SAY = ["python3", "-c", "import time; print(time.time())"]
REFERENCE = {"APP_A": "secret://demo/a"}
FIXED = {"resources": {"limits": {"cpu": "500m", "memory": "64Mi"}}}


def render_kinds(team: Team) -> dict[str, dict[str, Any]]:
    """Return a template of each kind; the application is the same."""
    bare = render_bare_sidecar(team.world.app_image)
    return {
        "without a sidecar": team.render_pod({}, SAY, label=False),
        "a sidecar that does nothing": team.render_pod({}, SAY, label=False, initContainers=[bare]),
        "ours, a secret read": team.render_pod(REFERENCE, SAY),
        "ours in a Guaranteed pod": team.render_pod(REFERENCE, SAY, container=FIXED),
    }


def time_start(team: Team, template: dict[str, Any], name: str) -> float:
    """Return the seconds from asking for the pod to what its application prints."""
    pod = {"apiVersion": "v1", "kind": "Pod", **template, "metadata": {**template["metadata"], "name": name}}
    asked = time.time()
    team.kubectl("create", "--filename=-", stdin=json.dumps(pod))
    team.kubectl("wait", "--for=jsonpath={.status.phase}=Succeeded", f"pod/{name}", "--timeout=60s")
    said = float(team.kubectl("logs", name, "-c", "app").splitlines()[-1])
    team.kubectl("delete", "pod", name, "--wait=false")
    return said - asked


def measure(team: Team, pods: int) -> int:
    """Print the figures; returns the exit code."""
    figures, kinds = Figures(), render_kinds(team)
    taken: dict[str, list[float]] = {kind: [] for kind in kinds}
    for index in range(pods):
        for number, (kind, template) in enumerate(kinds.items()):
            taken[kind].append(time_start(team, template, f"start-{number}-{index}"))
    print(f"start: {pods} pods of each kind, taken in turn, from the creation to the application's first line")
    for kind, seconds in taken.items():
        figures.tell(kind, seconds, "s")
    plain, bare, ours, fixed = taken.values()
    figures.tell("added to a pod without a sidecar", [a - b for a, b in zip(ours, plain, strict=True)], "s", most=1)
    figures.tell("  of it ours, not any sidecar's", [a - b for a, b in zip(ours, bare, strict=True)], "s")
    figures.tell("added to a Guaranteed pod", [a - b for a, b in zip(fixed, plain, strict=True)], "s", most=2)
    figures.tell("ours ÷ without a sidecar", [a / b for a, b in zip(ours, plain, strict=True)])
    return figures.close()


def main() -> int:
    pods = int(sys.argv[1]) if len(sys.argv) > 1 else 10
    progress, kind = Progress(), os.environ.get("CLUSTER", "embedded")
    try:
        stage = Stage(clusters.open_cluster(kind, NODE, progress), progress)
        stage.install()
        world = World(stage.cluster, stage.entra, stage.keyvault, ISSUER_URL, stage.images.base.name)
        team = world.add_team("t-start")
        team.set_up()
        team.set_secret("a", "planted-not-a-real-secret")
        return measure(team, pods)
    finally:
        if kind == "embedded":
            clusters.remove_cluster(kind, NODE, progress)


if __name__ == "__main__":
    sys.exit(main())
