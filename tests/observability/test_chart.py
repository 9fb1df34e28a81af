"""What the chart renders for Prometheus and Grafana."""

import json
from pathlib import Path

import pytest
import yaml

from wi_testkit.controlplane import binaries
from wi_testkit.controlplane.errors import ControlPlaneError
from wi_testkit.controlplane.modules import HELM
from wi_testkit.controlplane.progress import Progress
from wi_testkit.stage.commands import CommandError, run

CHART = Path(__file__).parents[2] / "charts/workload-identity-operator"
FILE = yaml.safe_load((CHART / "files/alerts.yaml").read_text())
RULES = [rule for group in FILE["groups"] for rule in group["rules"]]
RULE, MONITOR, SERVICE_MONITOR = "monitoring.prometheusRule", "monitoring.podMonitor", "monitoring.serviceMonitor"


@pytest.fixture(scope="module")
def render():
    helm = binaries.find_program(HELM, "helm", Progress())

    def template(*settings):
        flags = [f"--set-json={setting}" for setting in ('image.ref="i"', *settings)]
        text = run([helm, "template", "wi", CHART, "--namespace=wi-system", *flags])
        items = [item for item in yaml.safe_load_all(text) if item]
        return {(item["kind"], item["metadata"]["name"]): item for item in items}

    return template


def ports(items):
    """Port name → number of the containers that a monitor with these labels selects."""
    pods = [item["spec"]["template"] for item in items.values() if item["kind"] == "Deployment"]
    return [{port["name"]: port["containerPort"] for port in pod["spec"]["containers"][0]["ports"]} for pod in pods]


def test_nothing_is_there_unless_asked_for(render):
    kinds = {kind for kind, _ in render()}
    assert not kinds & {"PodMonitor", "ServiceMonitor", "PrometheusRule"}


def test_a_pod_monitor_finds_the_port_of_every_process(render):
    items = render(f"{MONITOR}.enabled=true", f'{MONITOR}.labels={{"release":"stack"}}')
    monitor = items["PodMonitor", "wi-operator"]
    assert monitor["metadata"]["labels"]["release"] == "stack"
    (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
    wanted = monitor["spec"]["selector"]["matchLabels"].items()
    deployments = [item for item in items.values() if item["kind"] == "Deployment"]
    assert len(deployments) == 3
    assert all(wanted <= item["spec"]["template"]["metadata"]["labels"].items() for item in deployments)
    assert [found[endpoint["port"]] for found in ports(items)] == [8081] * 3


def test_a_service_monitor_has_a_service_for_every_process(render):
    items = render(f"{SERVICE_MONITOR}.enabled=true")
    monitor, service = items["ServiceMonitor", "wi-operator"], items["Service", "wi-metrics"]
    assert monitor["spec"]["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    others = [item for (kind, name), item in items.items() if kind == "Service" and name != "wi-metrics"]
    assert not any(
        monitor["spec"]["selector"]["matchLabels"].items() <= o["metadata"]["labels"].items() for o in others
    )
    (port,) = service["spec"]["ports"]
    assert monitor["spec"]["endpoints"][0]["port"] == port["name"]
    assert all(port["targetPort"] in found for found in ports(items))


def test_both_monitors_are_refused(render):
    with pytest.raises((CommandError, ControlPlaneError), match="would be scraped twice"):
        render(f"{MONITOR}.enabled=true", f"{SERVICE_MONITOR}.enabled=true")


def test_the_rules_are_those_of_the_file(render):
    rule = render(f"{RULE}.enabled=true")["PrometheusRule", "wi-operator"]
    assert rule["spec"]["groups"] == FILE["groups"]


def test_alerts_can_be_left_out_and_labelled_and_sent_to_a_runbook_elsewhere(render):
    settings = (
        f"{RULE}.enabled=true",
        f'{RULE}.disabled=["WorkloadIdentityKeyAge"]',
        f'{RULE}.alertLabels={{"team":"x"}}',
    )
    items = render(*settings, f'{RULE}.runbookUrl="https://docs.example.com/runbook/"')
    rules = [rule for group in items["PrometheusRule", "wi-operator"]["spec"]["groups"] for rule in group["rules"]]
    assert [rule["alert"] for rule in rules] == [r["alert"] for r in RULES if r["alert"] != "WorkloadIdentityKeyAge"]
    for rule in rules:
        assert rule["labels"]["team"] == "x"
        assert rule["labels"]["severity"] in {"critical", "warning"}
        assert rule["annotations"]["runbook_url"] == f"https://docs.example.com/runbook/#{rule['alert'].lower()}"


@pytest.mark.parametrize(
    ("setting", "complaint"),
    [
        (f'{RULE}.disabled=["WorkloadIdentityNoSuch"]', "there is no alert WorkloadIdentityNoSuch"),
        (f'{MONITOR}.interval="often"', "interval"),
        ('monitoring.grafana="x"', "grafana"),
    ],
)
def test_a_wrong_value_is_refused_by_its_name(render, setting, complaint):
    with pytest.raises((CommandError, ControlPlaneError), match=complaint):
        render(f"{RULE}.enabled=true", setting)


def test_grafana_finds_the_dashboard_as_it_is_in_the_file(render):
    annotations = 'monitoring.grafanaDashboard.annotations={"grafana_folder":"Identity"}'
    item = render("monitoring.grafanaDashboard.enabled=true", annotations)["ConfigMap", "wi-dashboard"]
    assert item["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert item["metadata"]["annotations"] == {"grafana_folder": "Identity"}
    (text,) = item["data"].values()
    assert json.loads(text) == json.loads((CHART / "files/dashboard.json").read_text())
