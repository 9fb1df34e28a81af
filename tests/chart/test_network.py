"""Who talks to whom, taken from the code, equals the NetworkPolicies."""

import ast
import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml
from chart_cases import BASE, URL

import wi_operator
from wi_operator import settings
from wi_operator.api import names
from wi_operator.federation.hosts import parse_endpoint
from wi_testkit.controlplane import binaries
from wi_testkit.controlplane.modules import HELM
from wi_testkit.stage.chart import CHART, NAMESPACE
from wi_testkit.stage.commands import run
from wi_testkit.stage.images import ROOT
from wi_testkit.stage.install import merge

PROCESSES = {
    "controller": settings.ControllerProcessSettings,
    "issuer": settings.IssuerProcessSettings,
    "webhook": settings.WebhookProcessSettings,
}
SOURCE = Path(wi_operator.__file__).parent
OPENERS = {
    "open_connection", "create_connection", "ClientSession", "session", "ApiClient", "AioHttpTransport", "socket", "urlopen",
}  # fmt: skip
"""What opens a connection, in the libraries that we use and in what wraps them."""
TALKERS = {
    "wi_operator.cluster.client": {"api server"},
    "wi_operator.reconcile.connections": set(),  # opens them for the next two
    "wi_operator.reconcile.handshake": {"grants", "clouds"},
    "wi_operator.reconcile.publication": {"issuer.url"},
    "wi_operator.reconcile.public_keys": {"issuer.url"},
    "wi_operator.federation.exchange.sdk": {"clouds"},
    "wi_operator.agent.client": {"grants", "clouds"},
    "wi_operator.agent.sockets": set(),  # opens them for the client
    "wi_operator.agent.server": set(),  # the sockets of containers
    "wi_operator.agent.env_writer": set(),  # likewise
    "wi_operator.admission.registration": set(),  # its own listener, on loopback
}
"""Every module that opens connections, and to whom."""
GRANTS = settings.IssuerProcessSettings.model_fields["grants_port"].default
PUBLIC = settings.IssuerProcessSettings.model_fields["public_port"].default
HTTPS = parse_endpoint("https://vault.example.com").port
DNS = 53


def ports_of(component):
    """The ports on which a process listens: the settings whose type is a port's."""
    fields = PROCESSES[component].model_fields.items()
    return {field.default for name, field in fields if name == "port" or name.endswith("_port")}


def openers(file):
    for node in ast.walk(ast.parse(file.read_text())):
        used = [node.func] if isinstance(node, ast.Call) else node.bases if isinstance(node, ast.ClassDef) else []
        yield from {getattr(each, "attr", getattr(each, "id", "")) for each in used} & OPENERS


def test_every_module_that_opens_connections_is_known():
    found = {
        "wi_operator." + ".".join(file.relative_to(SOURCE).with_suffix("").parts)
        for file in SOURCE.rglob("*.py")
        if "cli" not in file.parts and list(openers(file))
    }
    assert found == set(TALKERS)


def destinations(module):
    """Whom a process may talk to: what the modules that it imports open connections to."""
    program = f"import {module}, json, sys; print(json.dumps(sorted(sys.modules)))"
    environment = {**os.environ, "PYTHONPATH": str(SOURCE.parent)}
    command = [sys.executable, "-c", program]
    answer = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    loaded = set(json.loads(answer.stdout))
    return set().union(*(TALKERS[each] for each in TALKERS if each in loaded))


def issuer_pods(*, elsewhere=False):
    labels = {"app.kubernetes.io/name": "workload-identity-operator", "app.kubernetes.io/component": "issuer"}
    peer = {"podSelector": {"matchLabels": labels}}
    return peer | (
        {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": NAMESPACE}}} if elsewhere else {}
    )


def wanted_egress(talks_to, *, elsewhere=False, api=(443, 6443), clouds=(HTTPS,)):
    """What a process needs, as {(peer, port, protocol)}; a peer ``null`` is anywhere."""
    anywhere, issuer = "null", json.dumps(issuer_pods(elsewhere=elsewhere), sort_keys=True)
    rules = set()
    if "api server" in talks_to:
        rules |= {(anywhere, port, "TCP") for port in api}
    if "grants" in talks_to:
        rules |= {(issuer, GRANTS, "TCP")}
    if "issuer.url" in talks_to:
        rules |= {(issuer, PUBLIC, "TCP"), (anywhere, HTTPS, "TCP")}
    if "clouds" in talks_to:
        rules |= {(anywhere, port, "TCP") for port in clouds}
    if talks_to - {"api server"}:  # whose address is in the environment
        rules |= {(anywhere, DNS, "TCP"), (anywhere, DNS, "UDP")}
    return rules


def flatten(rules, side):
    return {
        (json.dumps(peer, sort_keys=True), port["port"], port.get("protocol", "TCP"))
        for rule in rules
        for peer in rule.get(side) or [None]
        for port in rule["ports"]
    }


@pytest.mark.parametrize("component", PROCESSES)
def test_a_process_may_reach_exactly_whom_it_talks_to(charts, component):
    policy = charts.of("network-policy").one("NetworkPolicy", f"wi-{component}")
    assert policy["spec"]["policyTypes"] == ["Ingress", "Egress"]
    talks_to = destinations(f"wi_operator.processes.{component}")
    assert flatten(policy["spec"]["egress"], "to") == wanted_egress(talks_to)


def test_the_processes_talk_to_different_ones():
    found = {component: destinations(f"wi_operator.processes.{component}") for component in PROCESSES}
    assert found["controller"] == {"api server", "grants", "issuer.url", "clouds"}
    assert found["issuer"] == found["webhook"] == {"api server"}


@pytest.mark.parametrize("component", PROCESSES)
def test_a_process_is_reached_at_exactly_the_ports_on_which_it_listens(charts, component):
    chart = charts.of("network-policy")
    policy = chart.one("NetworkPolicy", f"wi-{component}")
    assert {port for _, port, _ in flatten(policy["spec"]["ingress"], "from")} == ports_of(component)
    (container,) = chart.pod(component)["spec"]["containers"]
    ports = {each["name"]: each["containerPort"] for each in container["ports"]}
    assert set(ports.values()) == ports_of(component)
    assert policy["spec"]["podSelector"]["matchLabels"].items() <= chart.pod(component)["metadata"]["labels"].items()


def test_services_lead_to_ports_that_are_open(charts):
    chart = charts.of("network-policy")
    services = chart.all("Service")
    assert {names.GRANTS_SERVICE, names.ISSUER, names.WEBHOOK} <= {each["metadata"]["name"] for each in services}
    for service in services:
        component = service["spec"]["selector"]["app.kubernetes.io/component"]
        (container,) = chart.pod(component)["spec"]["containers"]
        for port in service["spec"]["ports"]:
            assert port["targetPort"] in {each["name"] for each in container["ports"]}
    host = urlsplit(chart.env("controller")["WI_GRANTS_URL"]).hostname
    assert host == f"{names.GRANTS_SERVICE}.{NAMESPACE}.svc"


def test_grants_and_metrics_come_from_pods_and_admission_and_documents_from_anywhere(charts):
    chart = charts.of("network-policy")
    issuer = flatten(chart.one("NetworkPolicy", "wi-issuer")["spec"]["ingress"], "from")
    pods = '{"namespaceSelector": {}}'
    assert issuer == {("null", PUBLIC, "TCP"), (pods, GRANTS, "TCP"), (pods, 8081, "TCP")}
    webhook = flatten(chart.one("NetworkPolicy", "wi-webhook")["spec"]["ingress"], "from")
    assert webhook == {("null", 9443, "TCP"), (pods, 8081, "TCP")}


def test_ports_of_further_hosts_and_of_the_proxy_are_open(charts):
    narrow = charts.of("network-policy-narrow").one("NetworkPolicy", "wi-controller")
    ports = {port for _, port, _ in flatten(narrow["spec"]["egress"], "to")}
    assert {8443, 443, 6443, 53, 5353} <= ports
    proxied = charts.of("proxy").one("NetworkPolicy", "wi-controller")
    assert ("null", 3128, "TCP") in flatten(proxied["spec"]["egress"], "to")
    assert not charts.of("default").all("NetworkPolicy")


def notes(api, **values):
    helm = binaries.find_program(HELM, "helm")
    command = [
        helm,
        "install",
        "x",
        CHART,
        f"--namespace={NAMESPACE}",
        "--dry-run=client",
        "--take-ownership",
        "--values=-",
    ]
    text = run(command, stdin=json.dumps(merge(BASE, values)), environment=api.environment())
    return text.split("NOTES:\n")[1]


def test_notes_name_the_issuer_and_the_federation(api):
    text = notes(api, issuer={"url": URL})
    for line in (f"issuer    {URL}", "subject   organization:<uuid>", "audience  api://AzureADTokenExchange"):
        assert line in text
    assert "issuer.url is not set" in notes(api)


def read_policy(text):
    before, start, rest = text.partition("apiVersion: networking.k8s.io/v1")
    indent = before.rpartition("\n")[2]
    return yaml.safe_load(textwrap.dedent(indent + start + rest.split("```")[0]))


def test_the_policy_of_a_tenant_is_what_a_sidecar_needs(api):
    policy = read_policy(notes(api))
    wanted = wanted_egress(destinations("wi_operator.agent.process"), elsewhere=True)
    assert flatten(policy["spec"]["egress"], "to") == wanted
    assert policy["spec"]["podSelector"]["matchLabels"] == {names.INJECT_LABEL: "true"}
    through = read_policy(notes(api, sidecar={"proxy": {"https": "http://proxy.example.com:3128"}}))
    assert ("null", 3128, "TCP") in flatten(through["spec"]["egress"], "to")
    policy["metadata"]["namespace"] = NAMESPACE
    api.run_kubectl("apply", "--dry-run=server", "--filename=-", stdin=yaml.safe_dump(policy))
    assert read_policy((ROOT / "docs" / "network.md").read_text()) == {
        **policy,
        "metadata": {"name": "workload-identity"},
    }
