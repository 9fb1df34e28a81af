"""What ``kubectl wi doctor`` judges: one function a check, from facts to a line. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from wi_operator.api import names, reasons
from wi_operator.cli.findings import Level, condition, is_judged, split
from wi_operator.cli.installation import AGAIN, Installation
from wi_operator.federation.diagnosis import issuer
from wi_operator.federation.diagnosis.transport import VAULT_HOST_UNKNOWN, Failure
from wi_operator.federation.rotation import find_lost
from wi_operator.index.objects import Node

LEAST_VERSION = (1, 32)
"""Native sidecars."""
SKEW_WARNING, SKEW_FAILURE = 30.0, 240.0
"""Seconds. Entra bears five minutes."""
CLOCKS = "Synchronise the clocks of the cluster's nodes (NTP), first of those that run wi-issuer."
HIDDEN = "not to be seen with your rights"
ASK_ADMIN = "Let a cluster administrator run it, for the whole picture."
_VERSION = re.compile(r"v?(\d+)\.(\d+)")
Item = Mapping[str, Any]
Maybe = Item | None
"""An object; empty when there is none, ``None`` when it may not be read."""


@dataclass(frozen=True, slots=True)
class Right:
    """May ``who`` do that; ``who`` is an account of the operator, or you."""

    who: str
    verb: str
    resource: str
    allowed: bool

    def __str__(self) -> str:
        return f"{self.verb} {self.resource}"


@dataclass(frozen=True, slots=True)
class Facts:
    """What was gathered; ``None`` means: not to be seen. Times in seconds; skews are ours minus theirs."""

    version: str
    now: float
    skew: float | None
    node_skews: Mapping[str, float] | None
    definitions: Mapping[str, Maybe]
    your_rights: Sequence[Right]
    operator_rights: Sequence[Right] | None
    installation: Installation
    held_keys: Sequence[str] | None
    configs: Sequence[Item]
    credentials: Sequence[Item]
    served: str | None
    """What the issuer's Service serves: "" when it serves its documents, else what is wrong."""
    seen_here: str | None
    """The same through ``issuer.url`` from this machine; ``None`` when nobody needed to look."""
    endpoints: Mapping[str, int | None]
    """Ready endpoints of Services, by namespace/name; -1: no such Service."""
    webhooks: Mapping[str, Maybe]
    policies: Mapping[str, tuple[Maybe, Maybe]]
    expected_policies: Mapping[str, Mapping[str, Any]]
    nodes: Sequence[Item] | None
    dry_run: str | None
    """What a pod that asks for a secret met: "" when it was injected, ``None`` when it was not tried."""
    dry_run_namespace: str = field(default="default")
    plain_refusal: str = ""
    """What the same pod without a secret met there, looked at when the other was refused; "" when it was accepted."""


@dataclass(frozen=True, slots=True)
class Check:
    """One line."""

    name: str
    level: Level
    message: str
    remedy: str = ""


def judge(facts: Facts) -> tuple[Check, ...]:
    """Return all checks in the order of the things they depend on."""
    return tuple(check(facts) for check in CHECKS)


def _ok(name: str, message: str) -> Check:
    return Check(name, Level.OK, message)


def _warn(name: str, message: str, remedy: str) -> Check:
    return Check(name, Level.WARN, message, remedy)


def _fail(name: str, message: str, remedy: str) -> Check:
    return Check(name, Level.FAIL, message, remedy)


def _api_server(facts: Facts) -> Check:
    found = _VERSION.match(facts.version)
    if found and (int(found[1]), int(found[2])) < LEAST_VERSION:
        return _fail("API server", f"{facts.version} knows no native sidecars.", "Upgrade Kubernetes to 1.32 or newer.")
    return _ok("API server", f"answers, version {facts.version}")


def _definitions(facts: Facts) -> Check:
    for name, item in facts.definitions.items():
        if item is None:
            return _warn("definitions", HIDDEN, ASK_ADMIN)
        if not item:
            return _fail("definitions", f"{name} is missing.", AGAIN)
        served = [each["name"] for each in item["spec"]["versions"] if each.get("served")]
        if condition(item, "Established").get("status") != "True" or names.VERSION not in served:
            return _fail("definitions", f"{name} does not serve {names.VERSION}.", AGAIN)
    return _ok("definitions", "both kinds are served")


def _your_rights(facts: Facts) -> Check:
    missing = [str(right) for right in facts.your_rights if not right.allowed]
    if missing:
        remedy = "Commands that need them say so; roles: workload-identity-configs-manager, secret-providers-manager."
        return _warn("your rights", f"You may not {'; '.join(missing)}.", remedy)
    return _ok("your rights", "enough for every command")


def _operator(facts: Facts) -> Check:
    processes = facts.installation.processes
    if not all(process.is_visible for process in processes):
        return _warn("operator", HIDDEN, ASK_ADMIN)
    absent = [process.name for process in processes if not process.is_there]
    if absent:
        return _fail("operator", f"{', '.join(absent)} is missing.", AGAIN)
    bad = [process for process in processes if not process.is_well]
    if not bad:
        return _ok("operator", ", ".join(f"{each.name} {each.ready}/{each.desired}" for each in processes))
    told = ", ".join(f"{each.name} {each.ready}/{each.desired}" for each in bad)
    level = Level.WARN if all(each.ready for each in bad) else Level.FAIL
    return Check("operator", level, f"not ready: {told}.", bad[0].remedy)


def _operator_rights(facts: Facts) -> Check:
    if facts.operator_rights is None:
        return _warn("operator's rights", HIDDEN, ASK_ADMIN)
    missing = [f"{right.who} may not {right}" for right in facts.operator_rights if not right.allowed]
    if missing:
        return _fail("operator's rights", f"{'; '.join(missing)}.", AGAIN)
    return _ok("operator's rights", f"{len(facts.operator_rights)} looked at, all granted")


def _issuer_url(facts: Facts) -> Check:
    url = facts.installation.issuer_url
    if url is None:
        return _warn("issuer URL", HIDDEN, ASK_ADMIN)
    if not url:
        shown = issuer.URL_MISSING.diagnose()
        return _fail("issuer URL", shown.cause, shown.remedy)
    return _ok("issuer URL", url)


def _issuer(facts: Facts) -> Check:
    if facts.served is None:
        return _warn("issuer", "not asked", ASK_ADMIN)
    if facts.served:
        return _fail("issuer", facts.served, "kubectl -n wi-system logs deploy/wi-issuer")
    return _ok("issuer", "serves discovery and key set")


def _public(facts: Facts) -> Check:
    """The best witness first: a cloud that read the documents, then the cluster, then this machine."""
    name = "issuer in public"
    for item in facts.configs:
        handshake = condition(item, reasons.HANDSHAKE_SUCCEEDED)
        if handshake.get("status") == "True" and is_judged(item):
            last = ((item.get("status") or {}).get("handshake") or {}).get("lastSuccessTime", "")
            return _ok(name, f"a cloud has read it: handshake of wic {_key(item)}, {last}")
    looks = [condition(item, reasons.ISSUER_PUBLISHED) for item in facts.configs]
    if any(each.get("status") == "True" for each in looks):
        return _ok(name, "read from inside the cluster; no handshake proves yet that a cloud reaches it")
    if facts.seen_here == "":
        return _ok(name, "read from this machine; no handshake proves yet that a cloud reaches it")
    for each in looks:
        if each.get("status") == "False":
            return _fail(name, *split(str(each.get("reason")), str(each.get("message"))))
    if facts.seen_here is None:
        return _warn(
            name, "nobody has read it yet", "Create a WorkloadIdentityConfig; its condition IssuerPublished tells."
        )
    remedy = (
        "It must answer over a publicly trusted certificate, without a login: docs/issuer.md. Or look from elsewhere."
    )
    return _warn(name, f"not seen from this machine: {facts.seen_here}", remedy)


def _keys(facts: Facts) -> Check:
    name, timetable = "signing keys", facts.installation.timetable
    if facts.installation.own_keys:
        return _ok(name, "your own (issuer.ownKeys)")
    if timetable is None:
        return _warn(
            name,
            "the record wi-issuer-state is not there or not to be seen",
            "kubectl -n wi-system logs deploy/wi-controller",
        )
    lost = find_lost(timetable, facts.held_keys) if facts.held_keys is not None else ()
    if lost:
        shown = issuer.KEY_LOST.diagnose()
        return _fail(name, f"{', '.join(lost)}: {shown.cause}", shown.remedy)
    signers = timetable.signers(facts.now)
    if not signers:
        shown = issuer.KEY_MISSING.diagnose()
        return _fail(name, shown.cause, shown.remedy)
    coming = [entry.kid for entry in timetable.entries if entry.sign_after is None or entry.sign_after > facts.now]
    more = f"; {coming[0][:12]}… is on its way" if coming else ""
    return _ok(name, f"{signers[0][:12]}… signs{more}")


def _clocks(facts: Facts) -> Check:
    skews = {f"node {name}": skew for name, skew in (facts.node_skews or {}).items()}
    if facts.skew is not None:
        skews["this machine"] = facts.skew
    if not skews:
        return _warn("clocks", HIDDEN, ASK_ADMIN)
    name, worst = max(skews.items(), key=lambda each: abs(each[1]))
    told = f"{name} is {abs(worst):.0f} s {'ahead of' if worst > 0 else 'behind'} the API server"
    if abs(worst) < SKEW_WARNING:
        return _ok("clocks", f"{len(skews)} compared with the API server's, at most {abs(worst):.0f} s apart")
    # This machine's clock signs nothing.
    level = Level.FAIL if abs(worst) >= SKEW_FAILURE and name != "this machine" else Level.WARN
    return Check("clocks", level, told, CLOCKS if name != "this machine" else "Synchronise the clock of this machine.")


def _dns(facts: Facts) -> Check:
    unknown = {Failure.HOST_UNKNOWN.value, Failure.DNS.value, VAULT_HOST_UNKNOWN.reason}
    for item in (*facts.configs, *facts.credentials):
        ready = condition(item, reasons.READY)
        if ready.get("reason") in unknown:
            return _fail("DNS", *split(str(ready["reason"]), str(ready.get("message"))))
    ready_endpoints = facts.endpoints.get(DNS_SERVICE)
    if ready_endpoints is None:
        return _warn("DNS", HIDDEN, ASK_ADMIN)
    if ready_endpoints < 0:
        return _warn(
            "DNS",
            "There is no Service kube-system/kube-dns: another DNS is not looked at.",
            "kubectl -n kube-system get svc",
        )
    if not ready_endpoints:
        return _fail(
            "DNS",
            "Nothing answers behind Service kube-system/kube-dns.",
            "kubectl -n kube-system get pods -l k8s-app=kube-dns",
        )
    return _ok("DNS", f"{ready_endpoints} ready behind kube-dns; every check so far has found its hosts")


def _webhook(facts: Facts) -> Check:
    name = "webhook registered"
    for kind, item in facts.webhooks.items():
        if item is None:
            return _warn(name, HIDDEN, ASK_ADMIN)
        if not item:
            return _fail(name, f"There is no {kind}webhookconfiguration {names.WEBHOOK_CONFIGURATION}.", AGAIN)
        if not all((each.get("clientConfig") or {}).get("caBundle") for each in item.get("webhooks") or [{}]):
            remedy = "wi-controller writes it: kubectl -n wi-system logs deploy/wi-controller"
            return _fail(name, f"{kind}webhookconfiguration {names.WEBHOOK_CONFIGURATION} has no caBundle.", remedy)
    policies = {each.get("failurePolicy") for each in (facts.webhooks.get("mutating") or {}).get("webhooks") or []}
    if policies - {"Fail"}:
        return _fail(name, "failurePolicy is not Fail: pods could start without their secrets.", AGAIN)
    return _ok(name, "mutating and validating, with a CA bundle")


# The API server's words when it finds no way to a webhook whose pods are ready.
_UNREACHED = re.compile(
    "failed calling webhook.*(deadline exceeded|timeout|refused|no route|proxy error|EOF)", re.DOTALL
)
_UNREACHED_REMEDY = (
    "its pods are ready, but the control plane does not reach them: let it through to port 9443 (private clusters, "
    "NetworkPolicies), or put the webhook on the nodes' network (webhook.hostNetwork, where pods have a network of their own)"
)


# The API server's words when containers ask for less or more than a namespace allows, or name no amount.
_UNFIT = re.compile("exceeded quota|failed quota|per Container|per Pod")
_UNFIT_REMEDY = (
    "the sidecar does not fit the namespace's LimitRange or ResourceQuota: give it other resources, for all pods "
    "(sidecar.resources in the chart) or by the pods' annotations (identity.crewai.com/sidecar-memory-limit, …)"
)


def _serving(facts: Facts) -> Check:
    name, ready = "webhook serving", facts.endpoints.get(WEBHOOK_SERVICE)
    if facts.plain_refusal and "failed calling webhook" not in (facts.dry_run or ""):
        told = f"Namespace {facts.dry_run_namespace} refuses a pod without secrets, too: {facts.plain_refusal}"
        return _warn(name, told, "-n chooses a namespace that takes small pods.")
    if facts.dry_run:
        return _fail(name, facts.dry_run, find_remedy(facts.dry_run, ready))
    if facts.dry_run == "":
        return _ok(name, f"a pod in namespace {facts.dry_run_namespace} was injected (dry run)")
    if ready == 0:
        return _fail(
            name, "Nothing is ready behind Service wi-webhook.", "kubectl -n wi-system describe deploy/wi-webhook"
        )
    told = f"{ready} ready" if ready else HIDDEN
    return _warn(
        name, f"{told}; no dry run, because you may not create pods here", "-n chooses a namespace where you may."
    )


def find_remedy(refusal: str, ready: int | None) -> str:
    """Say what to do when a pod that asks for a secret was refused and ``ready`` replicas of the webhook are. Pure."""
    if ready == 0:
        return f"kubectl -n {names.SYSTEM_NAMESPACE} scale deploy/{names.WEBHOOK} --replicas=2, or see its pods"
    if ready and _UNREACHED.search(refusal):
        return _UNREACHED_REMEDY
    if _UNFIT.search(refusal):
        return _UNFIT_REMEDY
    return "kubectl -n wi-system get pods -l app.kubernetes.io/component=webhook"


def _policies(facts: Facts) -> Check:
    name = "policies"
    if any(None in found for found in facts.policies.values()):
        return _warn(name, HIDDEN, ASK_ADMIN)
    bad = list(_modified(facts))
    if bad:
        return _fail(name, f"{'; '.join(bad)}.", AGAIN)
    return _ok(name, f"{len(facts.policies)} present, as the chart installs them")


def _modified(facts: Facts) -> Iterator[str]:
    for policy, found in facts.policies.items():
        for what, item in zip(("policy", "binding"), found, strict=True):
            if not item:
                yield f"{what} {policy} is missing"
            elif item.get("spec") != facts.expected_policies[policy][what]:
                yield f"{what} {policy} was modified"


def _nodes(facts: Facts) -> Check:
    if facts.nodes is None:
        return _warn("nodes", HIDDEN, ASK_ADMIN)
    known = [(item, Node.from_object(item)) for item in facts.nodes]
    linux = [(item, node) for item, node in known if node is not None]
    old = [f"{node.name} {version}" for item, node in linux if (version := _kubelet(item)) and _is_old(version)]
    if old:
        return _fail(
            "nodes", f"no native sidecars on {', '.join(old)}", "Upgrade them to 1.32 or newer; pods hang there."
        )
    versions = sorted({_kubelet(item) for item, _ in linux})
    envfile = "yes" if linux and all(node.reads_env_files for _, node in linux) else "no, needs 1.35 everywhere"
    return _ok("nodes", f"{len(linux)} Linux, {', '.join(versions)}; delivery mode envfile: {envfile}")


def _kubelet(item: Item) -> str:
    return str(((item.get("status") or {}).get("nodeInfo") or {}).get("kubeletVersion", ""))


def _is_old(version: str) -> bool:
    found = _VERSION.match(version)
    return found is not None and (int(found[1]), int(found[2])) < LEAST_VERSION


def _objects(facts: Facts) -> Check:
    everything = [*facts.configs, *facts.credentials]
    bad = [item for item in everything if not is_judged(item) or condition(item, reasons.READY).get("status") != "True"]
    if not everything:
        return _ok("objects", "there are none yet")
    if not bad:
        return _ok("objects", f"{len(facts.configs)} configs and {len(facts.credentials)} credentials, all Ready")
    listed = ", ".join(_named(item) for item in bad[:5]) + (", …" if len(bad) > 5 else "")
    return _fail("objects", f"{len(bad)} of {len(everything)} are not Ready: {listed}", "kubectl wi status -A")


def _named(item: Item) -> str:
    kind = (
        names.CREDENTIAL_SHORT
        if "azureKeyVault" in item["spec"] or "authMethod" in item["spec"]
        else names.CONFIG_SHORT
    )
    return f"{kind} {_key(item)} ({condition(item, reasons.READY).get('reason', reasons.PROGRESSING)})"


def _key(item: Item) -> str:
    return f"{item['metadata']['namespace']}/{item['metadata']['name']}"


DNS_SERVICE = "kube-system/kube-dns"
WEBHOOK_SERVICE = f"{names.SYSTEM_NAMESPACE}/{names.WEBHOOK}"
SERVICES = (DNS_SERVICE, WEBHOOK_SERVICE)
CHECKS: Sequence[Callable[[Facts], Check]] = (
    _api_server, _definitions, _nodes, _your_rights, _operator, _operator_rights, _policies, _webhook, _serving,
    _issuer_url, _issuer, _public, _keys, _clocks, _dns, _objects,
)  # fmt: skip


def count(checks: Iterable[Check]) -> Mapping[Level, int]:
    """Return how many there are of each level."""
    listed = list(checks)
    return {level: sum(check.level is level for check in listed) for level in Level}
