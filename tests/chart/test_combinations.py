"""Every documented combination of values: clean, always the same, and accepted by a real API server."""

import copy
import json
from collections import Counter

import pytest
import yaml
from chart_cases import BASE, CASES

from wi_testkit.controlplane import binaries
from wi_testkit.controlplane.errors import ControlPlaneError
from wi_testkit.controlplane.modules import HELM
from wi_testkit.stage.chart import CHART, NAMESPACE, render_chart
from wi_testkit.stage.commands import run
from wi_testkit.stage.errors import CommandError
from wi_testkit.stage.install import merge


def lint(values):
    helm = binaries.find_program(HELM, "helm")
    return run([helm, "lint", "--strict", f"--namespace={NAMESPACE}", "--values=-", CHART], stdin=json.dumps(values))


def test_it_is_clean(case):
    assert "0 chart(s) failed" in lint(merge(BASE, CASES[case]))


def test_lint_complains_of_what_is_not():
    with pytest.raises(CommandError, match="1 chart\\(s\\) failed"):
        lint({})


def test_it_renders_the_same_again(case, charts):
    again = list(filter(None, yaml.safe_load_all(render_chart(merge(BASE, CASES[case])))))
    assert charts.of(case).items == again


def test_the_very_bytes_are_the_same():
    values = merge(BASE, merge(CASES["extras"], CASES["scheduling"]))
    assert render_chart(values) == render_chart(values)


def test_no_template_asks_the_cluster_or_chance():
    words = (
        "lookup ",
        "genCA",
        "genSelfSigned",
        "genSigned",
        "genPrivateKey",
        "rand",
        "uuidv4",
        "now",
        "getHostByName",
    )
    for file in (CHART / "templates").iterdir():
        code = [part.split("}}")[0] for part in file.read_text().split("{{")[1:]]
        used = {word for word in words for part in code if f" {word}" in f" {part.replace('(', ' ')}"}
        assert not used, (file.name, used)


def test_the_api_server_takes_it(case, charts, api):
    items = charts.of(case).items
    answer = api.run_kubectl(
        "apply", "--server-side", "--force-conflicts", "--dry-run=server", "--validate=strict", "--filename=-",
        stdin=yaml.safe_dump_all(items),
    )  # fmt: skip
    assert len(answer.splitlines()) == len(items)


def test_the_api_server_refuses_an_unknown_field(charts, api):
    item = copy.deepcopy(charts.of("default").one("Deployment", "wi-issuer"))
    item["spec"]["template"]["spec"]["containers"][0]["enf"] = []
    with pytest.raises(ControlPlaneError, match="enf"):
        api.run_kubectl("apply", "--server-side", "--dry-run=server", "--filename=-", stdin=yaml.safe_dump(item))


def make_pod(template, name):
    return {"apiVersion": "v1", "kind": "Pod", **template, "metadata": {"name": name, "namespace": NAMESPACE}}


def test_pod_security_restricted_takes_the_pods(case, charts, api):
    pods = [make_pod(item["spec"]["template"], item["metadata"]["name"]) for item in charts.of(case).all("Deployment")]
    assert len(pods) == 3
    # The nodes' network is what the profile forbids; nothing else of that pod may be.
    hosts = [pod for pod in pods if pod["spec"].get("hostNetwork")]
    assert bool(hosts) == (case == "host-network")
    for pod in hosts:
        pod["spec"] = pod["spec"] | {"hostNetwork": False}
    api.run_kubectl("create", "--dry-run=server", "--filename=-", stdin=yaml.safe_dump_all(pods))


def test_pod_security_refuses_a_pod_that_is_not_restricted(charts, api):
    pod = copy.deepcopy(make_pod(charts.of("default").pod("issuer"), "issuer"))
    del pod["spec"]["securityContext"]["seccompProfile"]
    with pytest.raises(ControlPlaneError, match="seccompProfile"):
        api.run_kubectl("create", "--dry-run=server", "--filename=-", stdin=yaml.safe_dump(pod))


def test_every_object_is_one_and_is_where_it_belongs(case, charts):
    items = charts.of(case).items
    keys = Counter((i["apiVersion"], i["kind"], i["metadata"].get("namespace"), i["metadata"]["name"]) for i in items)
    assert set(keys.values()) == {1}
    assert {item["metadata"].get("namespace") for item in items} == {None, NAMESPACE}
