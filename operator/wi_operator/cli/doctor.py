"""``kubectl wi doctor``: reads what ``checks`` judges. Each read is bounded, and what may not be seen is no fault."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Iterable, Mapping, Sequence
from email.utils import parsedate_to_datetime
from importlib import resources
from typing import Any, TypeVar

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from wi_operator.api import names, reasons
from wi_operator.cli.call import Reach
from wi_operator.cli.checks import SERVICES, Check, Facts, Maybe, Right, count
from wi_operator.cli.complaints import Complaint
from wi_operator.cli.findings import Level, condition
from wi_operator.cli.installation import read_installation, read_quietly
from wi_operator.cli.keys import read_held
from wi_operator.cli.output import level
from wi_operator.cli.public_documents import fetch
from wi_operator.cluster.client import KubernetesClient
from wi_operator.cluster.errors import ApiError, ForbiddenError, NotFoundError
from wi_operator.cluster.paths import CONFIGS, CREDENTIALS, NODES, webhook_configuration_path
from wi_operator.core.clock import Clock, parse_rfc3339
from wi_operator.federation.discovery import render_discovery

T = TypeVar("T")

DEFINITIONS = tuple(f"{plural}.{names.GROUP}" for plural in (names.CONFIG_PLURAL, names.CREDENTIAL_PLURAL))
ADMISSION = "/apis/admissionregistration.k8s.io/v1"
REVIEWS = "/apis/authorization.k8s.io/v1"
LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
SYSTEM = names.SYSTEM_NAMESPACE
GROUP = names.GROUP
YOURS: Sequence[tuple[str, str, str, str]] = (
    ("list", GROUP, names.CONFIG_PLURAL, ""),
    ("list", GROUP, names.CREDENTIAL_PLURAL, ""),
    ("patch", GROUP, names.CONFIG_PLURAL, ""),
    ("patch", GROUP, names.CREDENTIAL_PLURAL, ""),
    ("list", "", "pods", ""),
    ("create", "batch", "jobs", ""),
    ("patch", "", "secrets", SYSTEM),
    ("get", "", "services/proxy", SYSTEM),
)
"""Verb, group, resource, namespace (``""``: the one looked at)."""
THEIRS: Sequence[tuple[str, str, str, str, str]] = (
    (names.CONTROLLER, "list", GROUP, names.CONFIG_PLURAL, ""),
    (names.CONTROLLER, "patch", GROUP, f"{names.CONFIG_PLURAL}/status", ""),
    (names.CONTROLLER, "patch", GROUP, f"{names.CREDENTIAL_PLURAL}/status", ""),
    (names.CONTROLLER, "create", "", "secrets", SYSTEM),
    (names.CONTROLLER, "create", "", "events", ""),
    (names.ISSUER, "create", "authentication.k8s.io", "tokenreviews", ""),
    (names.ISSUER, "get", GROUP, names.CONFIG_PLURAL, ""),
    (names.ISSUER, "watch", "", "namespaces", ""),
    (names.WEBHOOK, "watch", GROUP, names.CONFIG_PLURAL, ""),
    (names.WEBHOOK, "watch", GROUP, names.CREDENTIAL_PLURAL, ""),
)
EXCLUDED = frozenset({"kube-system", SYSTEM})
"""Namespaces in which the webhook does not inject."""
FETCH_SECONDS = 6.0


def read_expected() -> Mapping[str, Mapping[str, Any]]:
    """Return the policies that the chart installs, with the API server's defaults."""
    loaded: Mapping[str, Mapping[str, Any]] = json.loads(
        resources.files("wi_operator.cli").joinpath("policies.json").read_text()
    )
    return loaded


async def gather(reach: Reach, clock: Clock) -> Facts:
    """Read everything; raises ``ApiError`` only when the API server does not answer at all."""
    client = reach.client
    version = await client.get("/version")
    skew = await _skew(client, clock)
    expected = read_expected()
    installation, yours, theirs, definitions, policies, webhooks = await asyncio.gather(
        read_installation(client),
        _your_rights(client, reach.namespace),
        _or_none(_operator_rights(client)),
        _read_all(
            client, {name: f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{name}" for name in DEFINITIONS}
        ),
        _read_policies(client, expected),
        _read_all(
            client,
            {
                kind: webhook_configuration_path(kind, names.WEBHOOK_CONFIGURATION)
                for kind in ("mutating", "validating")
            },
        ),
    )
    configs, credentials, nodes, skews, held, endpoints = await asyncio.gather(
        _list(client, CONFIGS, reach.namespace),
        _list(client, CREDENTIALS, reach.namespace),
        _or_none(_items(client, NODES)),
        _or_none(_node_skews(client)),
        read_held(client),
        _endpoints(client),
    )
    dry_run = await _try_injection(client, reach.namespace)
    url = installation.issuer_url
    served = await _served(client, url) if url else None
    return Facts(
        version=str(version.get("gitVersion", "")),
        now=clock.now(),
        skew=skew,
        node_skews=skews,
        definitions=definitions,
        your_rights=yours,
        operator_rights=theirs,
        installation=installation,
        held_keys=held,
        configs=configs,
        credentials=credentials,
        served=served,
        seen_here=await _seen_here(url) if url and not _is_proven(configs) else None,
        endpoints=endpoints,
        webhooks=webhooks,
        policies=policies,
        expected_policies=expected,
        nodes=nodes,
        dry_run=dry_run,
        plain_refusal=await _try_plain(client, reach.namespace) if dry_run else "",
        dry_run_namespace=reach.namespace,
    )


async def _or_none(work: Awaitable[T]) -> T | None:
    try:
        return await work
    except (ForbiddenError, NotFoundError):
        return None


async def _items(client: KubernetesClient, path: str) -> list[dict[str, Any]]:
    return (await client.list(path))[0]


async def _list(client: KubernetesClient, path: str, namespace: str) -> list[dict[str, Any]]:
    """List in all namespaces, else in the one at hand; nothing without rights or definitions."""
    from wi_operator.cluster.paths import in_namespace

    for each in (path, in_namespace(path, namespace)):
        found = await _or_none(_items(client, each))
        if found is not None:
            return found
    return []


async def _read_all(client: KubernetesClient, paths: Mapping[str, str]) -> dict[str, Maybe]:
    found = await asyncio.gather(*(read_quietly(client, path) for path in paths.values()))
    return dict(zip(paths, found, strict=True))


async def _read_policies(client: KubernetesClient, wanted: Iterable[str]) -> dict[str, tuple[Maybe, Maybe]]:
    kinds = ("validatingadmissionpolicies", "validatingadmissionpolicybindings")
    paths = {f"{kind}/{name}": f"{ADMISSION}/{kind}/{name}" for name in wanted for kind in kinds}
    found = await _read_all(client, paths)
    return {name: (found[f"{kinds[0]}/{name}"], found[f"{kinds[1]}/{name}"]) for name in wanted}


async def _skew(client: KubernetesClient, clock: Clock) -> float | None:
    """Return our clock minus the API server's, in seconds; the header has whole ones, and the answer needs its time."""
    before = clock.now()
    text = await client.read_clock()
    after = clock.now()
    with contextlib.suppress(ValueError, TypeError):
        theirs = parsedate_to_datetime(text).timestamp() + 0.5
        return (before + after) / 2 - theirs
    return None


async def _node_skews(client: KubernetesClient) -> dict[str, float]:
    """Return each node's clock minus the API server's: a Lease has the node's time, its managedFields the server's."""
    skews: dict[str, float] = {}
    for lease in await _items(client, LEASES):
        entries = [each for each in lease["metadata"].get("managedFields") or [] if each.get("manager") == "kubelet"]
        with contextlib.suppress(ValueError, KeyError, IndexError):
            skews[lease["metadata"]["name"]] = parse_rfc3339(lease["spec"]["renewTime"]) - parse_rfc3339(
                entries[-1]["time"]
            )
    return skews


async def _your_rights(client: KubernetesClient, namespace: str) -> list[Right]:
    async def ask(verb: str, group: str, resource: str, where: str) -> Right:
        spec = {"resourceAttributes": _attributes(verb, group, resource, where or namespace)}
        answer = await client.create(f"{REVIEWS}/selfsubjectaccessreviews", _review("SelfSubjectAccessReview", spec))
        shown = f"{resource} in {where or namespace}"
        return Right("you", verb, shown, bool(answer["status"].get("allowed")))

    return list(await asyncio.gather(*(ask(*each) for each in YOURS)))


async def _operator_rights(client: KubernetesClient) -> list[Right]:
    async def ask(account: str, verb: str, group: str, resource: str, where: str) -> Right:
        spec = {
            "user": f"system:serviceaccount:{SYSTEM}:{account}",
            "groups": ["system:serviceaccounts", f"system:serviceaccounts:{SYSTEM}", "system:authenticated"],
            "resourceAttributes": _attributes(verb, group, resource, where),
        }
        answer = await client.create(f"{REVIEWS}/subjectaccessreviews", _review("SubjectAccessReview", spec))
        return Right(account, verb, resource, bool(answer["status"].get("allowed")))

    return list(await asyncio.gather(*(ask(*each) for each in THEIRS)))


def _review(kind: str, spec: Mapping[str, Any]) -> dict[str, Any]:
    return {"apiVersion": "authorization.k8s.io/v1", "kind": kind, "spec": spec}


def _attributes(verb: str, group: str, resource: str, namespace: str) -> dict[str, str]:
    plural, _, below = resource.partition("/")
    return {"verb": verb, "group": group, "resource": plural, "subresource": below, "namespace": namespace}


async def _endpoints(client: KubernetesClient) -> dict[str, int | None]:
    async def ask(service: str) -> int | None:
        namespace, name = service.split("/")
        path = f"/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices"
        slices = await _or_none(client.list(path, selectors={"labelSelector": f"kubernetes.io/service-name={name}"}))
        if slices is None:
            return None
        if not slices[0]:
            return -1
        listed = [each for item in slices[0] for each in item.get("endpoints") or []]
        return sum((each.get("conditions") or {}).get("ready") is not False for each in listed)

    return dict(zip(SERVICES, await asyncio.gather(*map(ask, SERVICES)), strict=True))


async def _served(client: KubernetesClient, url: str) -> str | None:
    """Ask the issuer's Service for its documents: "" when they are right, ``None`` when we may not."""
    try:
        discovery, jwks = await fetch(client, url)
    except Complaint as complaint:
        return None if isinstance(complaint.__cause__, ForbiddenError) else str(complaint)
    return judge_documents(url, discovery, jwks)


def judge_documents(url: str, discovery: bytes, jwks: bytes) -> str:
    """Return what is wrong with both documents, "" when nothing is; pure."""
    try:
        if json.loads(discovery) != render_discovery(url):
            return f"The discovery document is not that of {url}."
        return "" if json.loads(jwks)["keys"] else "The key set is empty."
    except (ValueError, LookupError, TypeError):
        return "What answers is not the issuer."


def _is_proven(configs: Iterable[Mapping[str, Any]]) -> bool:
    kinds = (reasons.HANDSHAKE_SUCCEEDED, reasons.ISSUER_PUBLISHED)
    return any(condition(item, kind).get("status") == "True" for item in configs for kind in kinds)


async def _seen_here(url: str) -> str:
    """Fetch the documents from this machine: "" when they are right, else what happened."""
    import aiohttp

    from wi_operator.federation.discovery import DISCOVERY_PATH, JWKS_PATH

    bodies = []
    try:
        async with asyncio.timeout(FETCH_SECONDS), aiohttp.ClientSession(trust_env=True) as session:
            for path in (DISCOVERY_PATH, JWKS_PATH):
                async with session.get(url + path, allow_redirects=False) as response:
                    if response.status != 200:
                        return f"{url}{path} answers {response.status}"
                    bodies.append(await response.read())
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        return f"{url} ({type(error).__name__})"
    return judge_documents(url, bodies[0], bodies[1])


def probe_pod() -> dict[str, Any]:
    """Return a pod that asks for a secret, fit for PodSecurity ``restricted`` and quotas; it is never stored."""
    container = {
        "name": "app",
        "image": "wi-doctor",
        "command": ["true"],
        "env": [{"name": "WI_DOCTOR", "value": "secret://wi-doctor/wi-doctor"}],
        # Not equal: most pods are not Guaranteed, and the sidecar asks for more in one that is.
        "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}, "limits": {"cpu": "20m", "memory": "32Mi"}},
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }
    spec = {
        "restartPolicy": "Never",
        "securityContext": {"runAsNonRoot": True, "runAsUser": 1000, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [container],
    }
    metadata = {"generateName": "wi-doctor-", "labels": {names.INJECT_LABEL: "true"}}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


async def _dry_run(client: KubernetesClient, namespace: str, pod: Mapping[str, Any]) -> Any:
    return await client.create(f"/api/v1/namespaces/{namespace}/pods", pod, dryRun="All")


async def _try_injection(client: KubernetesClient, namespace: str) -> str | None:
    """Create a pod in a dry run and look for the sidecar: "" when it is there, ``None`` when we may not."""
    if namespace in EXCLUDED:
        return None
    try:
        pod = await _dry_run(client, namespace, probe_pod())
    except ForbiddenError as error:
        # A policy that denies answers 422 or 403 too; only RBAC says "cannot create".
        return None if "cannot create" in str(error) else f"A pod that asks for a secret is refused: {error}"
    except ApiError as error:
        return f"A pod that asks for a secret is refused: {error}"
    started = [each["name"] for each in pod["spec"].get("initContainers") or []]
    return "" if names.SIDECAR in started else "A pod that asks for a secret got no sidecar: nobody injected it."


async def _try_plain(client: KubernetesClient, namespace: str) -> str:
    """Create the same pod without a secret in a dry run: "" when it is accepted, else who refused it and why."""
    pod = probe_pod()
    del pod["metadata"]["labels"], pod["spec"]["containers"][0]["env"]
    try:
        await _dry_run(client, namespace, pod)
    except ApiError as error:
        return str(error)
    return ""


def render(checks: Sequence[Check]) -> RenderableType:
    """Return a line a check, its remedy below, and the sum. Pure."""
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(no_wrap=True)
    grid.add_column(style="bold", no_wrap=True)
    grid.add_column(overflow="fold")
    for check in checks:
        grid.add_row(level(check.level), check.name, check.message)
        if check.remedy:
            grid.add_row("", "", Text.assemble(("what to do  ", "bold"), check.remedy))
    counted = count(checks)
    worst = max((each for each, number in counted.items() if number), key=list(Level).index)
    told = [f"{counted[Level.OK]} ok"]
    for each, word in ((Level.WARN, "warning"), (Level.FAIL, "failure")):
        told.append(f"{counted[each]} {word}{'' if counted[each] == 1 else 's'}")
    sentence = ", ".join(told)
    return Group(grid, Text(""), Text(sentence, {Level.OK: "green", Level.WARN: "yellow"}.get(worst, "bold red")))
