"""What the chart renders to expose the issuer is what the API server and the Gateway API accept."""

import subprocess

import pytest
import yaml

from wi_testkit.controlplane import binaries
from wi_testkit.controlplane.errors import ControlPlaneError
from wi_testkit.controlplane.modules import HELM
from wi_testkit.gateway_api import find_definitions
from wi_testkit.stage.install import CHART

DOCUMENTS = {"/tenants/one/.well-known/openid-configuration", "/tenants/one/oauth2/jwks"}


def render(*settings):
    helm = binaries.find_program(HELM, "helm")
    values = ("image.ref=unused", "issuer.url=https://identity.example.com/tenants/one", *settings)
    flags = [f"--set={value}" for value in values]
    command = [helm, "template", "x", CHART, "--namespace=wi-system", *flags]
    done = subprocess.run(
        [*command, "--show-only=templates/issuer-exposure.yaml"], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise ValueError(done.stderr)
    return [item for item in yaml.safe_load_all(done.stdout) if item]


@pytest.fixture(scope="module")
def gateway(plane):
    """The plane, with the standard definitions of the Gateway API."""
    folder = find_definitions()
    for file in sorted(folder.glob("gateway.networking.k8s.io_*.yaml")):
        plane.run_kubectl("apply", "--server-side", f"--filename={file}")
    plane.run_kubectl(
        "wait", "--for=condition=Established", "crd/httproutes.gateway.networking.k8s.io", "--timeout=30s"
    )
    namespace = yaml.safe_dump({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "wi-system"}})
    plane.run_kubectl("apply", "--filename=-", stdin=namespace)
    return plane


def accept(plane, item):
    return plane.run_kubectl(
        "create", "--dry-run=server", "--validate=strict", "--filename=-", stdin=yaml.safe_dump(item)
    )


def test_the_route_of_the_gateway_api_is_accepted_and_leads_to_both_documents_only(gateway):
    (route,) = render("issuer.gateway.enabled=true", "issuer.gateway.parentRefs[0].name=public")
    assert "httproute" in accept(gateway, route)
    (rule,) = route["spec"]["rules"]
    assert {match["path"]["type"] for match in rule["matches"]} == {"Exact"}
    assert {match["method"] for match in rule["matches"]} == {"GET", "HEAD"}
    paths = {match["path"]["value"] for match in rule["matches"]}
    assert paths == DOCUMENTS | {"/.well-known/openid-configuration/tenants/one"}
    assert route["spec"]["hostnames"] == ["identity.example.com"]
    route["spec"]["rules"][0]["matches"][0]["path"]["type"] = "Eggsact"
    with pytest.raises(ControlPlaneError, match="Unsupported value"):
        accept(gateway, route)


def test_the_ingress_is_accepted_and_leads_to_both_documents_only(gateway):
    settings = ("className=nginx", "tlsSecretName=public", "enabled=true", "annotations.a/b=c")
    (ingress,) = render(*(f"issuer.ingress.{setting}" for setting in settings))
    assert "ingress" in accept(gateway, ingress)
    (rule,) = ingress["spec"]["rules"]
    assert {path["path"] for path in rule["http"]["paths"]} >= DOCUMENTS
    assert {path["pathType"] for path in rule["http"]["paths"]} == {"Exact"}
    assert ingress["spec"]["tls"] == [{"hosts": ["identity.example.com"], "secretName": "public"}]


def test_nothing_is_exposed_without_a_url_or_a_gateway():
    with pytest.raises(ValueError, match=r"need issuer\.url"):
        render("issuer.ingress.enabled=true", "issuer.url=")
    with pytest.raises(ValueError, match="parentRefs"):
        render("issuer.gateway.enabled=true")
