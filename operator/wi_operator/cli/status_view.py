"""The one screen of ``kubectl wi status``. Pure."""

from __future__ import annotations

from collections import Counter

from rich.console import Group, RenderableType
from rich.text import Text

from wi_operator.cli.installation import Process
from wi_operator.cli.output import list_findings, pairs, table, truth
from wi_operator.cli.pods import Pod
from wi_operator.cli.status import CredentialRow, Status
from wi_operator.cli.times import since

HIDDEN = "not to be seen with your rights"
MOST_PODS = 12
KID_LENGTH = 12


def render(status: Status, now: float) -> RenderableType:
    """Return the screen; ``now`` in seconds, for ages."""
    parts: list[RenderableType] = [_issuer(status, now), Text("")]
    parts += (
        [_configs(status, now), Text("")] if status.configs else [Text("No WorkloadIdentityConfig here."), Text("")]
    )
    if status.credentials:
        parts += [_credentials(status.credentials, now), Text("")]
    parts += [_pods(status.pods, now), Text("")]
    parts.append(list_findings(status.findings) if status.findings else Text("Nothing is wrong.", "green"))
    return Group(*parts)


def _issuer(status: Status, now: float) -> RenderableType:
    row = status.issuer
    url = Text("not set", "bold red") if row.url == "" else Text(row.url or HIDDEN)
    facts: dict[str, str | Text] = {"issuer": url}
    if row.signing_key:
        facts["signing key"] = f"{row.signing_key[:KID_LENGTH]}…, since {since(row.signing_since, now)}"
    facts["operator"] = Text("   ").join(map(_process, row.processes))
    return pairs(facts)


def _process(process: Process) -> Text:
    if not process.is_visible:
        return Text(f"{process.name} ?", "dim")
    text = f"{process.name} {process.ready}/{process.desired}" if process.is_there else f"{process.name} missing"
    return Text(text, "green" if process.is_well else "bold red")


def _configs(status: Status, now: float) -> RenderableType:
    rows = [
        (
            each.namespace,
            f"wic/{each.name}",
            truth(each.ready),
            each.reason,
            each.provider,
            each.subject or "-",
            since(each.last_success, now),
        )
        for each in status.configs
    ]
    return table(("namespace", "config", "ready", "reason", "provider", "subject", "success"), rows)


def _credentials(credentials: tuple[CredentialRow, ...], now: float) -> RenderableType:
    rows = [
        (
            each.namespace,
            f"spcred/{each.name}",
            truth(each.ready),
            each.reason,
            each.config and f"wic/{each.config}",
            each.vault or "-",
            since(each.last_success, now),
        )
        for each in credentials
    ]
    return table(("namespace", "credential", "ready", "reason", "config", "vault", "success"), rows)


def _pods(pods: tuple[Pod, ...] | None, now: float) -> RenderableType:
    if pods is None:
        return Text(f"Injected pods: {HIDDEN}.", "dim")
    if not pods:
        return Text("No injected pod here.")
    newest = sorted(pods, key=lambda pod: pod.created, reverse=True)
    shown = table(
        ("namespace", "injected pod", "state", "secrets", "age"),
        [
            (pod.namespace, pod.name, _state(pod), str(pod.secrets), since(pod.created, now))
            for pod in newest[:MOST_PODS]
        ],
    )
    counts = Counter(pod.state for pod in newest[MOST_PODS:])
    if not counts:
        return shown
    return Group(
        shown, Text(f"and {sum(counts.values())} more: " + ", ".join(f"{n} {state}" for state, n in counts.items()))
    )


def _state(pod: Pod) -> Text:
    state = "NotInjected" if pod.is_literal else pod.state
    return Text(
        state,
        {"Running": "green", "Succeeded": "green", "Refused": "bold red", "NotInjected": "bold red"}.get(
            state, "yellow"
        ),
    )
