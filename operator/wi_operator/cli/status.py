"""``kubectl wi status``: what there is, and what is wrong with it. Reading is ``gather``; all else is pure."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from wi_operator.api import names, reasons
from wi_operator.cli.call import Reach
from wi_operator.cli.findings import Finding, Level, condition, is_judged, merge, split
from wi_operator.cli.installation import Installation, Process, read_installation
from wi_operator.cli.pods import Pod, judge_pods, read_pod
from wi_operator.cluster.errors import ForbiddenError
from wi_operator.cluster.paths import CONFIGS, CREDENTIALS, PODS
from wi_operator.federation.diagnosis import issuer
from wi_operator.index.objects import ObjectKey

NOT_CHECKED = "The controller has not judged the present spec yet."
LOOK_AT_CONTROLLER = "If this stays for more than a minute: kubectl wi doctor"
Item = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Gathered:
    """What was read; ``pods`` is ``None`` for who may not list them."""

    installation: Installation
    configs: Sequence[Item]
    credentials: Sequence[Item]
    pods: Sequence[Item] | None


@dataclass(frozen=True, slots=True)
class ConfigRow:
    """A WorkloadIdentityConfig."""

    namespace: str
    name: str
    ready: str
    reason: str
    provider: str
    subject: str
    last_success: str


@dataclass(frozen=True, slots=True)
class CredentialRow:
    """A SecretProviderCredential; ``config`` is the one in use."""

    namespace: str
    name: str
    ready: str
    reason: str
    config: str
    vault: str
    last_success: str


@dataclass(frozen=True, slots=True)
class IssuerRow:
    """The issuer; ``url`` is ``None`` when nobody told it, ``signing_since`` RFC 3339 or ``""``."""

    url: str | None
    signing_key: str
    signing_since: str
    processes: tuple[Process, ...]


@dataclass(frozen=True, slots=True)
class Status:
    """One screen."""

    issuer: IssuerRow
    configs: tuple[ConfigRow, ...]
    credentials: tuple[CredentialRow, ...]
    pods: tuple[Pod, ...] | None
    findings: tuple[Finding, ...]


async def gather(reach: Reach) -> Gathered:
    """Read everything in the scope; raises ``ApiError``."""
    installation, configs, credentials, pods = await asyncio.gather(
        read_installation(reach.client), reach.list(CONFIGS), reach.list(CREDENTIALS), _read_pods(reach)
    )
    return Gathered(installation, configs, credentials, pods)


async def _read_pods(reach: Reach) -> list[dict[str, Any]] | None:
    try:
        return await reach.list(PODS, labelSelector=f"{names.INJECT_LABEL}=true")
    except ForbiddenError:
        return None


def judge(gathered: Gathered, now: float) -> Status:
    """Return rows and findings; ``now`` in seconds."""
    pods = None if gathered.pods is None else tuple(read_pod(item) for item in gathered.pods)
    found = [
        *_judge_installation(gathered.installation),
        *(each for item in gathered.configs for each in _judge_config(item)),
        *(each for item in gathered.credentials for each in _judge_credential(item, gathered.configs)),
        *judge_pods(pods or ()),
    ]
    return Status(
        issuer=_issuer_row(gathered, now),
        configs=tuple(map(_config_row, gathered.configs)),
        credentials=tuple(map(_credential_row, gathered.credentials)),
        pods=pods,
        findings=merge(found),
    )


def _issuer_row(gathered: Gathered, now: float) -> IssuerRow:
    from wi_operator.core.clock import format_rfc3339

    installation = gathered.installation
    url = installation.issuer_url
    if url is None:  # not to be seen by this user: configs tell it too
        told = [((item.get("status") or {}).get("federation") or {}).get("issuer") for item in gathered.configs]
        url = next((each for each in told if each), None)
    timetable = installation.timetable
    kid = next(iter(timetable.signers(now)), "") if timetable else ""
    entry = timetable.find(kid) if timetable else None
    since = format_rfc3339(entry.sign_after) if entry and entry.sign_after else ""
    return IssuerRow(url, kid, since, installation.processes)


def _config_row(item: Item) -> ConfigRow:
    status, ready = item.get("status") or {}, condition(item, reasons.READY)
    return ConfigRow(
        *_key(item),
        ready=_ready(item),
        reason=ready.get("reason", reasons.PROGRESSING),
        provider=item["spec"].get("provider", ""),
        subject=(status.get("federation") or {}).get("subject", ""),
        last_success=(status.get("handshake") or {}).get("lastSuccessTime", ""),
    )


def _credential_row(item: Item) -> CredentialRow:
    status, ready, spec = item.get("status") or {}, condition(item, reasons.READY), item["spec"]
    return CredentialRow(
        *_key(item),
        ready=_ready(item),
        reason=ready.get("reason", reasons.PROGRESSING),
        config=_config_of(item),
        vault=(spec.get("azureKeyVault") or {}).get("vaultUrl", ""),
        last_success=(status.get("handshake") or {}).get("lastSuccessTime", ""),
    )


def _config_of(item: Item) -> str:
    used = (item.get("status") or {}).get("workloadIdentityConfig") or item["spec"].get("workloadIdentityRef") or {}
    return str(used.get("name", ""))


def _key(item: Item) -> tuple[str, str]:
    return item["metadata"]["namespace"], item["metadata"]["name"]


def _ready(item: Item) -> str:
    return str(condition(item, reasons.READY).get("status", "Unknown")) if is_judged(item) else "Unknown"


def _judge_installation(installation: Installation) -> Iterator[Finding]:
    if installation.issuer_url == "":
        yield _of_row(issuer.URL_MISSING.reason, issuer.URL_MISSING.diagnose().message, "the issuer")
    timetable = installation.timetable
    if timetable is not None and not timetable.entries and not installation.own_keys:
        yield _of_row(issuer.KEY_MISSING.reason, issuer.KEY_MISSING.diagnose().message, "the issuer")
    for process in installation.processes:
        if process.is_visible and not process.is_well:
            yield _judge_process(process)


def _judge_process(process: Process) -> Finding:
    name = f"deploy {names.SYSTEM_NAMESPACE}/{process.name}"
    if not process.is_there:
        return Finding(Level.FAIL, "NotInstalled", (name,), "It does not exist.", process.remedy)
    message = f"{process.ready} of {process.desired} replicas are ready. {CONSEQUENCES[process.name]}"
    return Finding(Level.WARN if process.ready else Level.FAIL, "NotAvailable", (name,), message, process.remedy)


CONSEQUENCES = {
    names.CONTROLLER: "Without one nothing is checked; kickoffs go on.",
    names.ISSUER: "Without one no new grant is given; running pods go on until theirs ends.",
    names.WEBHOOK: "Without one pods that ask for secrets are refused.",
}


def _of_row(reason: str, message: str, *objects: str) -> Finding:
    cause, remedy = split(reason, message)
    return Finding(Level.FAIL, reason, objects, cause, remedy)


def _judge_config(item: Item) -> Iterator[Finding]:
    namespace, name = _key(item)
    where = f"{names.CONFIG_SHORT} {namespace}/{name}"
    ready = condition(item, reasons.READY)
    if not is_judged(item):
        yield Finding(Level.WARN, reasons.PROGRESSING, (where,), NOT_CHECKED, LOOK_AT_CONTROLLER)
    elif ready.get("status") != "True":
        yield _of_row(str(ready.get("reason")), str(ready.get("message")), where)
    else:
        yield from _doubts(item, where)


def _doubts(item: Item, where: str) -> Iterator[Finding]:
    """Warnings of an object that is Ready: the issuer's public copy, and remarks like OrganizationImplicit."""
    published = condition(item, reasons.ISSUER_PUBLISHED)
    if published.get("status") == "False":
        cause, remedy = split(str(published.get("reason")), str(published.get("message")))
        yield Finding(Level.WARN, str(published.get("reason")), (where,), cause, remedy)
    message = str(condition(item, reasons.READY).get("message", ""))
    for reason in ("OrganizationImplicit", reasons.FEDERATED_CREDENTIAL_LIMIT, reasons.AMBIGUOUS_DEFAULT):
        _, found, rest = message.partition(f"{reason}: ")
        if found:
            yield Finding(Level.WARN, reason, (where,), rest, f"kubectl wi explain {reason}")


def _judge_credential(item: Item, configs: Sequence[Item]) -> Iterator[Finding]:
    key = ObjectKey(*_key(item))
    where = f"{names.CREDENTIAL_SHORT} {key}"
    ready, handshake = condition(item, reasons.READY), condition(item, reasons.HANDSHAKE_SUCCEEDED)
    if not is_judged(item):
        yield Finding(Level.WARN, reasons.PROGRESSING, (where,), NOT_CHECKED, LOOK_AT_CONTROLLER)
        return
    if ready.get("status") == "True":
        return
    config = _config_of(item)
    mirrors = handshake.get("reason") == ready.get("reason") and handshake.get("status") != "True"
    if mirrors and any(_key(each) == (key.namespace, config) for each in configs):
        text = f"It uses wic {key.namespace}/{config}, which is not Ready."
        yield Finding(Level.FAIL, str(ready.get("reason")), (where,), text, f"Cure wic {key.namespace}/{config}.")
    else:
        yield _of_row(str(ready.get("reason")), str(ready.get("message")), where)
