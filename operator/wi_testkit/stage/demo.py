"""The demo: from nothing to a kickoff that sees a rotated secret, and a wrong subject that explains itself."""

import shlex
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from wi_testkit.controlplane.cache import hold_lock
from wi_testkit.controlplane.node import Node
from wi_testkit.controlplane.progress import Progress
from wi_testkit.stage import samples
from wi_testkit.stage.clusters import Cluster, adopt_node, check_kind, open_cluster, remove_cluster
from wi_testkit.stage.errors import StageError
from wi_testkit.stage.install import Stage
from wi_testkit.stage.readiness import diagnose, wait_until

_HANDSHAKE = "HandshakeSucceeded"


@dataclass
class Timeline:
    """How long each step took, in seconds."""

    progress: Progress
    steps: list[tuple[str, float]] = field(default_factory=list)

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        """Announce a step and take its time."""
        self.progress.say(f"== {title}")
        began = time.monotonic()
        yield
        self.steps.append((title, time.monotonic() - began))


def run_demo(kind: str, name: str, progress: Progress) -> int:
    """Run the whole demo and leave the cluster up; returns 1 when a fingerprint is not the vault's."""
    with hold_lock(f"stage-{name}"):
        timeline = Timeline(progress)
        with timeline.step("cluster"):
            cluster = open_cluster(kind, name, progress)
        stage = Stage(cluster, progress)
        with timeline.step("images"):
            stage.cluster.ensure_images(tuple(stage.images), progress)
        with timeline.step("emulators and operator"):
            stage.install()
        with timeline.step("sample resources become Ready"):
            subject = prepare_samples(stage)
        results = [compare_kickoff(stage, timeline, "kickoff")]
        version = samples.rotate(stage)
        results.append(compare_kickoff(stage, timeline, "kickoff after the rotation, same manifest"))
        if results[0][0] == results[1][0]:
            raise StageError("the rotated value did not arrive: both kickoffs printed the same fingerprint")
        with timeline.step("a config with a wrong subject"):
            refusal = show_stranger(cluster)
        print(_summarize(timeline, cluster, subject, version, results, refusal), flush=True)
    return 0 if all(printed == expected for printed, expected in results) else 1


def prepare_samples(stage: Stage) -> str:
    """Set up the cloud, apply namespace, config and credential anew, wait for Ready; returns the subject."""
    subject = samples.set_up_cloud(stage)
    samples.remove(stage.cluster)
    samples.apply(stage.cluster, "namespace")
    samples.apply(stage.cluster, "identity")
    samples.await_ready(stage.cluster)
    return subject


def compare_kickoff(stage: Stage, timeline: Timeline, title: str) -> tuple[str, str]:
    """Run the kickoff Job; returns the fingerprint that it printed and the one computed from the vault."""
    with timeline.step(title):
        expected = samples.expect_fingerprint(stage)
        printed = samples.kick_off(stage.cluster)
    verdict = "the vault's" if printed == expected else f"NOT the vault's, which is {expected}"
    timeline.progress.say(f"the application printed fingerprint={printed}: {verdict}")
    return printed, expected


def show_stranger(cluster: Cluster) -> str:
    """Apply a config whose organization the app does not trust; returns its condition's reason and message."""
    samples.apply(cluster, "wrong-subject")
    name = "wic/azure"

    def is_refused() -> bool:
        condition = samples.read_conditions(cluster, name, samples.STRANGER).get(_HANDSHAKE, {})
        return condition.get("status") == "False"

    wait_until(
        f"{name} of {samples.STRANGER} is refused",
        is_refused,
        timeout=60,
        explain=lambda: diagnose(cluster, "wi-system"),
    )
    condition = samples.read_conditions(cluster, name, samples.STRANGER)[_HANDSHAKE]
    return f"{condition['reason']}: {condition['message']}"


def rotate_by_hand(kind: str, name: str, value: str, progress: Progress) -> int:
    """Set the sample secret and run the kickoff Job again; returns 1 when the fingerprints differ."""
    if not value:
        raise StageError("a value is needed: make demo-rotate VALUE=something-new")
    stage = Stage(find_running(kind, name, progress), progress)
    version = samples.rotate(stage, value)
    progress.say(f"secret {samples.SECRET} of vault {samples.VAULT} has version {version}")
    printed, expected = compare_kickoff(stage, Timeline(progress), "kickoff")
    return 0 if printed == expected else 1


def find_running(kind: str, name: str, progress: Progress) -> Cluster:
    """Return the demo's cluster; raises StageError when it is not up."""
    if check_kind(kind) == "embedded":
        node = Node(name, progress=progress)
        if node.report().state != "running":
            raise StageError("the demo is not up; run: make demo")
        return adopt_node(node)
    return open_cluster(kind, name, progress)


def end_demo(kind: str, name: str, progress: Progress) -> int:
    """Remove the demo; may be called twice."""
    with hold_lock(f"stage-{name}"):
        if not remove_cluster(kind, name, progress):
            stage = Stage(open_cluster(kind, name, progress), progress)
            stage.require_ours()
            samples.remove(stage.cluster)
            stage.uninstall()
    return 0


def print_environment(cluster: Cluster) -> str:
    """Return the shell line that gives a user kubectl, helm and the cluster."""
    path = cluster.environment["PATH"].split(":")
    folders = [folder for folder in dict.fromkeys(path) if "workload-identity-operator" in folder]
    return (
        f"export KUBECONFIG={shlex.quote(cluster.environment.get('KUBECONFIG', ''))} "
        f"PATH={shlex.quote(':'.join(folders)) + ':' if folders else ''}$PATH"
    )


def _summarize(
    timeline: Timeline, cluster: Cluster, subject: str, version: str, results: list[tuple[str, str]], refusal: str
) -> str:
    lines = ["", cluster.kubectl("get", "wic,spcred", "--all-namespaces").rstrip(), ""]
    lines += [f"trusted subject         {subject}"]
    titles = ("first kickoff", f"after version {version[:8]}…")
    for title, (printed, expected) in zip(titles, results, strict=True):
        verdict = "equals the vault's" if printed == expected else f"DIFFERS from the vault's {expected}"
        lines.append(f"{title:<24}{printed}  {verdict}")
    lines += [f"wrong subject           {refusal}", ""]
    lines += [f"{seconds:6.1f} s  {title}" for title, seconds in timeline.steps]
    lines += [f"{sum(seconds for _, seconds in timeline.steps):6.1f} s  in all", ""]
    lines += [
        "The cluster is up. Look around with:",
        "",
        f"  {print_environment(cluster)}",
        "  kubectl get wic,spcred -A",
        "",
    ]
    lines += ["make demo-rotate VALUE=…  sets another value and kicks off again; make demo-down removes everything."]
    return "\n".join(lines)
