"""``kubectl wi verify-rotation``: two kickoffs of a Job with a rotation between them; what was read is told by fingerprints.

The Job is a copy of the user's; fingerprints are those that the sidecar logs, keyed digests from which no value can be found.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from wi_operator.api import names
from wi_operator.cli.call import Reach
from wi_operator.cli.complaints import Complaint
from wi_operator.cli.exits import Exit
from wi_operator.cli.output import table
from wi_operator.cli.pods import judge_pods, read_pod
from wi_operator.cluster.errors import NotFoundError

LOOK_SECONDS = 0.5
LINGER_SECONDS = 600
"""After which the cluster removes the copies by itself, should we be gone."""
GENERATED_LABELS = frozenset(
    {"controller-uid", "job-name", "batch.kubernetes.io/controller-uid", "batch.kubernetes.io/job-name"}
)
SHARED = ("activeDeadlineSeconds", "podFailurePolicy")
NAME_LENGTH = 40


@dataclass(frozen=True, slots=True)
class Reading:
    """What one kickoff read for one variable; ``fingerprint`` may be ``""``, the version never is."""

    variable: str
    reference: str
    version: str
    fingerprint: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """One variable in both kickoffs."""

    variable: str
    reference: str
    before: Reading | None
    after: Reading | None

    @property
    def is_changed(self) -> bool:
        """True when the second kickoff saw another value."""
        return self.before is not None and self.after is not None and _mark(self.before) != _mark(self.after)


def _mark(reading: Reading) -> str:
    return reading.fingerprint or reading.version


async def find_template(reach: Reach, named: str) -> dict[str, Any]:
    """Return the Job spec of ``job/NAME`` or ``cronjob/NAME``; raises ``Complaint``, ``ApiError``."""
    kind, _, name = named.rpartition("/")
    plural = {"": "jobs", "job": "jobs", "jobs": "jobs", "cronjob": "cronjobs", "cronjobs": "cronjobs"}.get(
        kind.lower()
    )
    if plural is None or not name:
        raise Complaint(f"'{named}' names no Job: write job/NAME or cronjob/NAME.", Exit.USAGE)
    try:
        item = await reach.client.get(f"/apis/batch/v1/namespaces/{reach.namespace}/{plural}/{name}")
    except NotFoundError:
        raise Complaint(
            f"There is no {plural[:-1]} '{name}' in namespace '{reach.namespace}'; -n chooses another."
        ) from None
    spec: dict[str, Any] = item["spec"] if plural == "jobs" else item["spec"]["jobTemplate"]["spec"]
    labels = (spec["template"].get("metadata") or {}).get("labels") or {}
    if labels.get(names.INJECT_LABEL) != "true":
        raise Complaint(
            f'{named} asks for no secrets: its pod template lacks the label {names.INJECT_LABEL}: "true".', Exit.BAD
        )
    return spec


def copy_job(spec: Mapping[str, Any], named: str) -> dict[str, Any]:
    """Return a Job of one pod and one try, from another's spec; pure."""
    template = json.loads(json.dumps(spec["template"]))
    metadata = template.setdefault("metadata", {})
    metadata.pop("creationTimestamp", None)
    labels = metadata.get("labels") or {}
    metadata["labels"] = {name: value for name, value in labels.items() if name not in GENERATED_LABELS}
    once = {"parallelism": 1, "completions": 1, "backoffLimit": 0, "ttlSecondsAfterFinished": LINGER_SECONDS}
    base = named.rpartition("/")[2][:NAME_LENGTH].rstrip("-.")
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"generateName": f"{base}-wi-verify-", "labels": {names.VERIFY_LABEL: base}},
        "spec": {**{key: spec[key] for key in SHARED if key in spec}, **once, "template": template},
    }


async def kick_off(reach: Reach, job: Mapping[str, Any], *, seconds: float, keep: bool) -> tuple[Reading, ...]:
    """Run the Job to its end and return what its kickoff read; raises ``Complaint`` when it fails, ``ApiError``."""
    path = f"/apis/batch/v1/namespaces/{reach.namespace}/jobs"
    name = (await reach.client.create(path, job))["metadata"]["name"]
    try:
        outcome = await _wait(reach, f"{path}/{name}", seconds)
        pods = await _pods(reach, name)
        if outcome != "Complete":
            raise _failed(name, outcome, pods, seconds)
        log = await reach.client.read_text(
            f"/api/v1/namespaces/{reach.namespace}/pods/{pods[0]['metadata']['name']}/log", container=names.SIDECAR
        )
    finally:
        if not keep:
            await reach.client.delete(f"{path}/{name}", propagationPolicy="Background")
    return tuple(read_log(log))


async def _wait(reach: Reach, path: str, seconds: float) -> str:
    """Return the condition that ended the Job, ``""`` when its time is over."""
    deadline = asyncio.get_running_loop().time() + seconds
    while asyncio.get_running_loop().time() < deadline:
        conditions = ((await reach.client.get(path)).get("status") or {}).get("conditions") or []
        ended = [
            each["type"] for each in conditions if each["status"] == "True" and each["type"] in ("Complete", "Failed")
        ]
        if ended:
            return str(ended[0])
        await asyncio.sleep(LOOK_SECONDS)
    return ""


async def _pods(reach: Reach, job: str) -> list[dict[str, Any]]:
    path = f"/api/v1/namespaces/{reach.namespace}/pods"
    return (await reach.client.list(path, selectors={"labelSelector": f"batch.kubernetes.io/job-name={job}"}))[0]


def _failed(name: str, outcome: str, pods: Sequence[Mapping[str, Any]], seconds: float) -> Complaint:
    told = "; ".join(f"{f.reason}: {f.message} {f.remedy}" for f in judge_pods(read_pod(pod) for pod in pods))
    if not outcome:
        return Complaint(
            f"Job {name} did not end within {seconds:g} s; --timeout gives it more. {told}".strip(), Exit.NO_VERDICT
        )
    return Complaint(f"Job {name} failed. {told or 'Its own log tells why; --keep leaves it there.'}", Exit.BAD)


def read_log(log: str) -> Iterator[Reading]:
    """Yield what the sidecar's log says of its last kickoff of each config; pure."""
    found: dict[str, Reading] = {}
    for line in log.splitlines():
        try:
            secrets = json.loads(line).get("secrets") or []
        except (ValueError, AttributeError):
            continue
        for each in secrets:
            found[each["variable"]] = Reading(
                each["variable"], each["reference"], str(each.get("version", "")), str(each.get("fingerprint", ""))
            )
    yield from found.values()


def compare(before: Sequence[Reading], after: Sequence[Reading]) -> tuple[Comparison, ...]:
    """Put both kickoffs side by side; pure."""
    first, second = ({each.variable: each for each in listed} for listed in (before, after))
    return tuple(
        Comparison(name, (second.get(name) or first[name]).reference, first.get(name), second.get(name))
        for name in sorted({*first, *second})
    )


def verdict(compared: Sequence[Comparison], *, was_rotated: bool) -> tuple[Exit, str]:
    """Return exit code and sentence; ``was_rotated``: somebody says that a value was rotated in between. Pure."""
    changed = sum(each.is_changed for each in compared)
    if not compared:
        return Exit.BAD, "No kickoff read a secret: the Job declares none."
    if changed:
        return (
            Exit.OK,
            f"Rotation works: the second kickoff saw {changed} of {len(compared)} values anew, from the same manifest.",
        )
    if not was_rotated:
        return Exit.OK, "Both kickoffs read the same values; nothing was rotated between them."
    pinned = [each.variable for each in compared if "?version=" in each.reference]
    if pinned:
        return Exit.BAD, f"Nothing changed: {', '.join(pinned)} pins a version. kubectl wi explain VersionPinned"
    return Exit.BAD, (
        "Nothing changed: the vault still has the same values. Was the secret of the reference above rotated, in this vault, "
        "and is the new version enabled?"
    )


def render(compared: Sequence[Comparison], code: Exit, sentence: str) -> RenderableType:
    """Return both fingerprints of each variable, and the verdict. Pure."""
    rows = [(each.variable, each.reference, _show(each.before), _show(each.after), _word(each)) for each in compared]
    grid = table(("variable", "reference", "first kickoff", "second kickoff", "value"), rows)
    return Group(grid, Text(""), Text(sentence, "green" if code is Exit.OK else "bold red"))


def _show(reading: Reading | None) -> str:
    if reading is None:
        return "-"
    return f"{reading.fingerprint or '-'} (version {reading.version[:8]})"


def _word(compared: Comparison) -> Text:
    return Text("new", "green") if compared.is_changed else Text("same", "yellow")


def document(compared: Sequence[Comparison], code: Exit, sentence: str) -> dict[str, Any]:
    """Return the result as JSON. Pure."""
    return {"verdict": sentence, "ok": code is Exit.OK, "variables": [_plain(each) for each in compared]}


def _plain(compared: Comparison) -> dict[str, Any]:
    return {
        "variable": compared.variable,
        "reference": compared.reference,
        "changed": compared.is_changed,
        **{
            name: reading and {"version": reading.version, "fingerprint": reading.fingerprint}
            for name, reading in (("before", compared.before), ("after", compared.after))
        },
    }
