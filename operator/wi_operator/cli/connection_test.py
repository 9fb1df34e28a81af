"""``kubectl wi test``: ask for a check now, and wait for the verdict."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from wi_operator.api import names, reasons
from wi_operator.cli.call import Reach
from wi_operator.cli.complaints import Complaint
from wi_operator.cli.exits import Exit
from wi_operator.cli.findings import Finding, Level, condition, is_judged, merge, split
from wi_operator.cli.output import list_findings, table, truth
from wi_operator.cluster.paths import CONFIGS, CREDENTIALS, config_path, credential_path
from wi_operator.federation.diagnosis.table import ROWS

LOOK_SECONDS = 0.5
EXPLAIN = "What it means: kubectl wi explain"
SHORTS = {
    names.CONFIG_SHORT: names.CONFIG_SHORT,
    names.CONFIG_KIND.lower(): names.CONFIG_SHORT,
    names.CONFIG_PLURAL: names.CONFIG_SHORT,
    names.CREDENTIAL_SHORT: names.CREDENTIAL_SHORT,
    names.CREDENTIAL_KIND.lower(): names.CREDENTIAL_SHORT,
    names.CREDENTIAL_PLURAL: names.CREDENTIAL_SHORT,
}
COLLECTIONS = {names.CONFIG_SHORT: CONFIGS, names.CREDENTIAL_SHORT: CREDENTIALS}


@dataclass(frozen=True, slots=True)
class Target:
    """One object; ``kind`` is a short name."""

    kind: str
    namespace: str
    name: str

    @property
    def path(self) -> str:
        """Where the API has it."""
        find = config_path if self.kind == names.CONFIG_SHORT else credential_path
        return find(self.namespace, self.name)

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a test ended; ``status`` is that of Ready, ``""`` when there was no answer."""

    target: Target
    status: str
    reason: str
    message: str
    conditions: Mapping[str, str]


def parse_target(text: str, namespace: str) -> Target:
    """Read ``wic/NAME`` or ``spcred/NAME``; raises ``Complaint``."""
    kind, slash, name = text.partition("/")
    if not slash or not name or kind.lower() not in SHORTS:
        raise Complaint(f"'{text}' names no object: write wic/NAME or spcred/NAME.", Exit.USAGE)
    return Target(SHORTS[kind.lower()], namespace, name)


async def find_targets(reach: Reach, given: Sequence[str]) -> list[Target]:
    """Return what is to be tested: what is named, else everything in the scope. Raises ``Complaint``, ``ApiError``."""
    if given:
        return list(dict.fromkeys(parse_target(text, reach.namespace) for text in given))
    targets = [
        Target(kind, item["metadata"]["namespace"], item["metadata"]["name"])
        for kind, path in COLLECTIONS.items()
        for item in await reach.list(path)
    ]
    if not targets:
        where = f"namespace '{reach.scope}'" if reach.scope else "the cluster"
        raise Complaint(
            f"There is nothing to test in {where}: -n names another namespace, -A takes all of them.", Exit.BAD
        )
    return targets


async def run(
    reach: Reach, targets: Sequence[Target], *, request: str, seconds: float, tell: Callable[[str], None]
) -> tuple[Verdict, ...]:
    """Annotate each target with ``request`` and wait until it is echoed; ``tell`` hears what is waited for."""
    for target in targets:
        body = {"metadata": {"annotations": {names.TEST_ANNOTATION: request}}}
        await reach.client.merge(target.path, body)
    waiting = {target: index for index, target in enumerate(targets)}
    verdicts: dict[Target, Verdict] = {}
    deadline = asyncio.get_running_loop().time() + seconds
    while waiting and asyncio.get_running_loop().time() < deadline:
        tell(f"waiting for the verdict on {', '.join(map(str, waiting))}")
        await asyncio.sleep(LOOK_SECONDS)
        for target in list(waiting):
            item = await reach.client.get(target.path)
            if is_answered(item, request):
                verdicts[target] = judge(target, item)
                del waiting[target]
    return tuple(verdicts.get(target) or Verdict(target, "", "", "", {}) for target in targets)


def is_answered(item: Mapping[str, Any], request: str) -> bool:
    """Tell whether the status speaks of this request and of the present spec."""
    record = (item.get("status") or {}).get("handshake") or {}
    return record.get("observedTestRequest") == request and is_judged(item)


def judge(target: Target, item: Mapping[str, Any]) -> Verdict:
    """Read the verdict out of an object's conditions; a failure that Ready still bears with counts as one."""
    ready = condition(item, reasons.READY)
    listed = {each["type"]: each["status"] for each in (item.get("status") or {}).get("conditions") or []}
    code = ((item.get("status") or {}).get("handshake") or {}).get("errorCode", "")
    if ready.get("status") == "True" and code:
        reason = next((row.reason for row in ROWS if row.code == code), code)
        message = f"This check failed with {code}; Ready stays True until three checks in a row have. {EXPLAIN} {code}"
        return Verdict(target, "False", reason, message, listed)
    return Verdict(target, ready.get("status", ""), ready.get("reason", ""), ready.get("message", ""), listed)


def code_of(verdicts: Sequence[Verdict]) -> Exit:
    """Return what the exit code says: a failure before a missing answer."""
    if any(verdict.status and verdict.status != "True" for verdict in verdicts):
        return Exit.BAD
    return Exit.OK if all(verdict.status for verdict in verdicts) else Exit.NO_VERDICT


def document(verdicts: Sequence[Verdict]) -> list[dict[str, Any]]:
    """Return the verdicts as JSON."""
    return [
        {
            "kind": verdict.target.kind,
            "namespace": verdict.target.namespace,
            "name": verdict.target.name,
            "ready": verdict.status or None,
            "reason": verdict.reason,
            "message": verdict.message,
            "conditions": dict(verdict.conditions),
        }
        for verdict in verdicts
    ]


def find_faults(verdicts: Sequence[Verdict], seconds: float) -> tuple[Finding, ...]:
    """Return what is wrong and what to do."""
    found = []
    for verdict in verdicts:
        if not verdict.status:
            remedy = "kubectl wi doctor, and kubectl -n wi-system logs deploy/wi-controller"
            message = f"The controller did not answer within {seconds:g} s."
            found.append(Finding(Level.FAIL, "NoVerdict", (str(verdict.target),), message, remedy))
        elif verdict.status != "True":
            cause, remedy = split(verdict.reason, verdict.message)
            found.append(Finding(Level.FAIL, verdict.reason, (str(verdict.target),), cause, remedy))
    return merge(found)


def render(verdicts: Sequence[Verdict], seconds: float) -> RenderableType:
    """Return a line for each object and what is wrong below."""
    steps = (reasons.ISSUER_PUBLISHED, reasons.CONFIG_RESOLVED, reasons.HANDSHAKE_SUCCEEDED, reasons.VAULT_REACHABLE,
             reasons.SECRET_READABLE)  # fmt: skip
    rows = [
        (
            verdict.target.namespace,
            f"{verdict.target.kind}/{verdict.target.name}",
            truth(verdict.status),
            verdict.reason or "NoVerdict",
            _steps(verdict, steps),
        )
        for verdict in verdicts
    ]
    shown: list[RenderableType] = [table(("namespace", "object", "ready", "reason", "what was tested"), rows)]
    faults = find_faults(verdicts, seconds)
    return Group(*shown, Text(""), list_findings(faults)) if faults else Group(*shown)


def _steps(verdict: Verdict, steps: Sequence[str]) -> Text:
    shown = [(step, verdict.conditions[step]) for step in steps if verdict.conditions.get(step, "Unknown") != "Unknown"]
    style = {"True": "green", "False": "bold red"}
    parts = [(f"{'' if status == 'True' else 'not '}{step}", style[status]) for step, status in shown]
    return Text(", ").join(Text(text, color) for text, color in parts)
