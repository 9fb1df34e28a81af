"""The chart rendered, each combination of values once; an API server with the definitions of all the kinds it renders."""

import functools

import pytest
import yaml
from chart_cases import BASE, CASES

from wi_testkit.controlplane.plane import Plane
from wi_testkit.definitions import CERT_MANAGER, GATEWAY_API, PROMETHEUS_OPERATOR
from wi_testkit.stage.chart import DEFINITIONS, NAMESPACE, render_chart
from wi_testkit.stage.install import merge

RENDERED = ("httproutes", "certificates", "issuers", "servicemonitors", "podmonitors", "prometheusrules")
"""Kinds of others that the chart may render."""


# The fast loader is libyaml's; where it is missing the slow one does.
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@functools.cache
def rendered(name):
    return Rendered(render_chart(merge(BASE, CASES[name])))


class Rendered:
    """Objects of one rendering, found by kind and name."""

    def __init__(self, text):
        self.items = [item for item in yaml.load_all(text, Loader=LOADER) if item]

    def all(self, *kinds):
        return [item for item in self.items if item["kind"] in kinds]

    def one(self, kind, name):
        (found,) = (item for item in self.all(kind) if item["metadata"]["name"] == name)
        return found

    def names(self, kind):
        return {item["metadata"]["name"] for item in self.all(kind)}

    def pod(self, component):
        """The pod template of a component."""
        return self.one("Deployment", f"wi-{component}")["spec"]["template"]

    def env(self, component):
        """The variables of its container, the last of each name."""
        (container,) = self.pod(component)["spec"]["containers"]
        return {entry["name"]: entry.get("value") for entry in container["env"]}


class Charts:
    """``of`` a case (do not change its objects) or of other values."""

    def of(self, name=None, **values):
        if name:
            return rendered(name)
        return Rendered(render_chart(merge(BASE, values)))


@pytest.fixture(scope="session")
def charts():
    return Charts()


@pytest.fixture(scope="session", params=CASES)
def case(request):
    return request.param


@pytest.fixture(scope="session")
def api():
    """An API server that knows every kind, with our namespace, whose pods have to be restricted, and our accounts."""
    with Plane() as plane:
        files = [
            file for each in (GATEWAY_API, CERT_MANAGER, PROMETHEUS_OPERATOR) for file in each.find().glob("*.yaml")
        ]
        wanted = [file for file in files if file.stem.split("_")[-1] in RENDERED]
        assert len(wanted) == len(RENDERED)
        flags = [f"--filename={file}" for file in [*wanted, *DEFINITIONS.glob("*.yaml")]]
        plane.run_kubectl("apply", "--server-side", *flags)
        plane.run_kubectl("wait", "--for=condition=Established", *flags, "--timeout=30s")
        labels = {"pod-security.kubernetes.io/enforce": "restricted"}
        space = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE, "labels": labels}}
        accounts = Charts().of("default").all("ServiceAccount")
        plane.run_kubectl("apply", "--server-side", "--filename=-", stdin=yaml.safe_dump_all([space, *accounts]))
        yield plane
