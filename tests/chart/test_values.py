"""What each value does, and what is refused with which words."""

import json
import tarfile

import pytest
import yaml
from chart_cases import BASE, CASES, DIGEST, URL

from wi_operator import settings
from wi_testkit.stage.chart import CHART, DEFINITIONS, NAMESPACE, render_chart
from wi_testkit.stage.errors import CommandError
from wi_testkit.stage.images import ROOT
from wi_testkit.stage.install import merge

COMPONENTS = ("controller", "issuer", "webhook")
PROCESSES = {
    "controller": settings.ControllerProcessSettings,
    "issuer": settings.IssuerProcessSettings,
    "webhook": settings.WebhookProcessSettings,
}
REFUSED = {
    "no image": ({"image": {"repository": ""}}, "/image/repository.*the image of the operator, for example"),
    "a tag in the repository": ({"image": {"repository": "a.b/c:1"}}, "/image/repository.*without tag and digest"),
    "half a digest": ({"image": {"digest": "sha256:12"}}, "/image/digest.*64 hexadecimal digits"),
    "http": ({"issuer": {"url": "http://a.example"}}, "/issuer/url.*an https URL in lower case"),
    "trailing slash": ({"issuer": {"url": f"{URL}/"}}, "/issuer/url.*without trailing slash"),
    "capitals": ({"issuer": {"url": "https://Identity.example.com"}}, "/issuer/url.*in lower case"),
    "a query": ({"issuer": {"url": f"{URL}?a=b"}}, "/issuer/url.*query"),
    "a typing error": ({"issuer": {"ulr": URL}}, "/issuer.*additional properties 'ulr' not allowed"),
    "an unknown block": ({"isuer": {}}, "additional properties 'isuer' not allowed"),
    "a certificate for the grants": ({"issuer": {"certManager": {}}}, "additional properties 'certManager' not allowed"),
    "an https proxy": ({"sidecar": {"proxy": {"https": "https://p"}}}, "/sidecar/proxy.*an http:// URL"),
    "a level": ({"logLevel": "debug"}, "/logLevel.*one of 'DEBUG', 'INFO'"),
    "our variable": ({"extraEnv": [{"name": "WI_NAMESPACE", "value": "x"}]}, "/extraEnv/0/name.*a name without WI_"),
    "our label": ({"commonLabels": {"app.kubernetes.io/name": "x"}}, "a label that the chart does not set itself"),
    "a label that is a number": ({"commonLabels": {"cost": 42}}, "/commonLabels/cost.*want string|got number, want string"),
    "a constraint": ({"topologySpreadConstraints": [{"topologyKey": "rack"}]}, "missing properties 'maxSkew'"),
    "minutes of a certificate": ({"webhook": {"certManager": {"duration": "90d"}}}, "a number of hours"),
    "a long drain": ({"issuer": {"drainSeconds": 20}}, "/issuer/drainSeconds.*maximum: got 20, want 15"),
    "a short publication": ({"issuer": {"rotation": {"publishBeforeSeconds": 60}}}, "minimum: got 60, want 3,600"),
    "a long review": ({"issuer": {"reviewCacheSeconds": 60}}, "/issuer/reviewCacheSeconds.*maximum"),
    "a webhook that never answers": ({"webhook": {"timeoutSeconds": 31}}, "/webhook/timeoutSeconds.*maximum"),
    "a key retired too early": ({"issuer": {"grantSeconds": 7201}}, "tokens would outlive their key"),
    "exposed without a URL": ({"issuer": {"ingress": {"enabled": True}}}, "need issuer.url"),
    "a route to no gateway": ({"issuer": {"url": URL, "gateway": {"enabled": True}}}, "parentRefs names the Gateway"),
    "two strategies": ({"issuer": {"strategy": {"type": "Recreate"}}}, "issuer.strategy.rollingUpdate null"),
}  # fmt: skip


@pytest.mark.parametrize(("values", "words"), REFUSED.values(), ids=REFUSED)
def test_it_is_refused_with_what_was_expected(values, words):
    with pytest.raises(CommandError, match=f"(?s){words}"):
        render_chart(merge(BASE, values))


def test_another_namespace_is_refused():
    with pytest.raises(CommandError, match="--namespace wi-system"):
        render_chart(BASE, flags=["--namespace=elsewhere"])


def test_values_of_chart_0_1_0_are_still_taken(charts):
    with tarfile.open(ROOT / "e2e" / "charts" / "workload-identity-operator-0.1.0.tgz") as packed:
        before = yaml.safe_load(packed.extractfile("workload-identity-operator/values.yaml"))
    before["image"]["ref"] = "registry.example.com/wi:0.1.0"
    assert charts.of(**before).pod("issuer")["spec"]["containers"][0]["image"] == "registry.example.com/wi:0.1.0"


IMAGES = {
    "default": "registry.example.com/workload-identity-operator:0.1.0",
    "image-by-digest": f"registry.example.com/workload-identity-operator@{DIGEST}",
    "image-by-reference": f"registry.example.com/wi@{DIGEST}",
}


@pytest.mark.parametrize(("name", "image"), IMAGES.items())
def test_one_image_for_all_pods_and_for_sidecars(charts, name, image):
    chart = charts.of(name)
    assert {chart.pod(each)["spec"]["containers"][0]["image"] for each in COMPONENTS} == {image}
    assert chart.env("webhook")["WI_SIDECAR_IMAGE"] == image


def test_pull_secrets_and_policy(charts):
    chart = charts.of("image-by-digest")
    for each in COMPONENTS:
        assert chart.pod(each)["spec"]["imagePullSecrets"] == [{"name": "registry"}]
        assert chart.pod(each)["spec"]["containers"][0]["imagePullPolicy"] == "Always"
    assert chart.env("webhook")["WI_IMAGE_PULL_POLICY"] == "Always"


def test_definitions_are_those_that_are_installed_apart(charts):
    chart = charts.of("default")
    apart = {item["metadata"]["name"]: item for item in map(yaml.safe_load, map(open_text, DEFINITIONS.glob("*.yaml")))}
    assert len(apart) == 2
    for item in chart.all("CustomResourceDefinition"):
        assert item["spec"] == apart.pop(item["metadata"]["name"])["spec"]
        assert item["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}
        assert item["metadata"]["labels"]["app.kubernetes.io/managed-by"] == "Helm"
    assert not apart
    assert not charts.of("definitions-apart").all("CustomResourceDefinition")
    gone = charts.of("definitions-go-with-the-release").all("CustomResourceDefinition")
    assert [item["metadata"]["annotations"] for item in gone] == [{"example.com/owner": "platform"}] * 2


def open_text(path):
    return path.read_text()


def test_only_labels_of_the_chart_select(charts):
    chart = charts.of(podLabels={"app.kubernetes.io/component": "x", "app.kubernetes.io/name": "x", "mine": "1"})
    for each in COMPONENTS:
        deployment = chart.one("Deployment", f"wi-{each}")
        labels = deployment["spec"]["template"]["metadata"]["labels"]
        assert deployment["spec"]["selector"]["matchLabels"].items() <= labels.items()
        assert labels["app.kubernetes.io/component"] == each
        assert labels["mine"] == "1"


def test_common_labels_are_on_every_object(charts):
    items = charts.of("common-labels").items
    assert len(items) > 30
    for item in items:
        assert item["metadata"]["labels"].items() >= {"example.com/team": "platform", "cost": "42"}.items(), item
    pods = [item["spec"]["template"] for item in items if item["kind"] == "Deployment"]
    assert all(pod["metadata"]["labels"]["cost"] == "42" for pod in pods)


def test_pods_spread_over_nodes_and_zones_and_one_component_may_differ(charts):
    for constraint in charts.of("default").pod("issuer")["spec"]["topologySpreadConstraints"]:
        assert constraint["labelSelector"]["matchLabels"]["app.kubernetes.io/component"] == "issuer"
        assert constraint["whenUnsatisfiable"] == "ScheduleAnyway"
    chart = charts.of("scheduling")
    assert [c["topologyKey"] for c in chart.pod("webhook")["spec"]["topologySpreadConstraints"]] == ["rack"]
    assert len(chart.pod("issuer")["spec"]["topologySpreadConstraints"]) == 2
    assert "topologySpreadConstraints" not in charts.of("no-spread").pod("issuer")["spec"]


def test_scheduling_of_all_and_of_one(charts):
    chart = charts.of("scheduling")
    for each in COMPONENTS:
        spec = chart.pod(each)["spec"]
        assert spec["priorityClassName"] == "system-cluster-critical"
        assert spec["tolerations"] == CASES["scheduling"]["tolerations"]
        assert spec["affinity"] == CASES["scheduling"]["affinity"]
        assert spec["nodeSelector"] == {"kubernetes.io/os": "linux", "pool": "edge" if each == "issuer" else "system"}
        assert chart.one("Deployment", f"wi-{each}")["spec"]["revisionHistoryLimit"] == 0
    assert chart.one("Deployment", "wi-webhook")["spec"]["strategy"] == {"type": "Recreate"}


OF_ONE = {
    "priorityClassName": "system-node-critical",
    "tolerations": [{"key": "edge", "operator": "Exists"}],
    "affinity": {"nodeAffinity": {}},
    "revisionHistoryLimit": 9,
}


@pytest.mark.parametrize("component", COMPONENTS)
def test_a_components_own_value_replaces_that_of_all(charts, component):
    chart = charts.of(**merge(CASES["scheduling"], {component: OF_ONE}))
    for each in COMPONENTS:
        wanted = OF_ONE if each == component else CASES["scheduling"]
        spec = {**chart.pod(each)["spec"], **chart.one("Deployment", f"wi-{each}")["spec"]}
        assert {name: spec[name] for name in OF_ONE} == {name: wanted[name] for name in OF_ONE}


def test_a_disruption_takes_one_pod_of_each_component(charts):
    budgets = charts.of("default").all("PodDisruptionBudget")
    assert {b["metadata"]["name"]: b["spec"]["maxUnavailable"] for b in budgets} == {f"wi-{c}": 1 for c in COMPONENTS}
    chart = charts.of("scheduling")
    assert chart.names("PodDisruptionBudget") == {"wi-issuer", "wi-webhook"}
    spec = chart.one("PodDisruptionBudget", "wi-issuer")["spec"]
    assert (spec["minAvailable"], "maxUnavailable" in spec) == (2, False)


def test_extras_of_all_and_of_one(charts):
    chart = charts.of("extras")
    assert (chart.env("issuer")["TZ"], chart.env("issuer")["LANG"]) == ("CET", "C.UTF-8")
    assert (chart.env("webhook")["TZ"], chart.env("webhook").get("LANG")) == ("UTC", None)
    assert chart.pod("issuer")["metadata"]["annotations"]["prometheus.io/scrape"] == "false"
    assert chart.pod("webhook")["metadata"]["annotations"]["prometheus.io/scrape"] == "true"
    for each in COMPONENTS:
        spec = chart.pod(each)["spec"]
        assert {"name": "more", "emptyDir": {}} in spec["volumes"]
        assert {"name": "more", "mountPath": "/more"} in spec["containers"][0]["volumeMounts"]
    assert chart.one("ServiceAccount", "wi-issuer")["metadata"]["annotations"] == {"example.com/role": "issuer"}
    assert "annotations" not in chart.one("ServiceAccount", "wi-webhook")["metadata"]


def test_further_objects_are_templates(charts):
    chart = charts.of("extras")
    assert {"of-workload-identity-operator", "text"} <= chart.names("ConfigMap")
    assert chart.one("ConfigMap", "text")["metadata"]["namespace"] == NAMESPACE


def test_viewers_are_aggregated_unless_not(charts):
    label = "rbac.authorization.k8s.io/aggregate-to-view"
    for name, wanted in (("default", 2), ("no-aggregation", 0)):
        roles = charts.of(name).all("ClusterRole")
        assert sum(label in role["metadata"]["labels"] for role in roles) == wanted


def test_the_webhook_is_asked_in_the_namespaces_that_were_selected(charts):
    chart = charts.of("webhook")
    mutating = chart.one("MutatingWebhookConfiguration", "wi-webhook")
    (hook,) = mutating["webhooks"]
    assert hook["timeoutSeconds"] == 10
    assert hook["failurePolicy"] == "Fail"
    assert hook["namespaceSelector"]["matchLabels"] == {"crews": "true"}
    ours, theirs = hook["namespaceSelector"]["matchExpressions"]
    assert ours["values"] == ["kube-system", NAMESPACE]
    assert theirs["key"] == "stage"
    assert mutating["metadata"]["annotations"] == {"admissions.enforcer/disabled": "true"}


def test_with_cert_manager_the_controller_may_not_touch_the_webhooks_certificate(charts):
    before, chart = charts.of("default"), charts.of("cert-manager")
    assert before.env("controller")["WI_OWN_WEBHOOK_CERTIFICATE"] == "false"
    assert chart.env("controller")["WI_OWN_WEBHOOK_CERTIFICATE"] == "true"
    assert "admissionregistration" in str(before.one("ClusterRole", "wi-controller")["rules"])
    assert "admissionregistration" not in str(chart.one("ClusterRole", "wi-controller")["rules"])
    assert "wi-webhook-tls" in str(before.one("Role", "wi-controller")["rules"])
    assert "wi-webhook-tls" not in str(chart.one("Role", "wi-controller")["rules"])
    certificate = chart.one("Certificate", "wi-webhook")["spec"]
    mounted = next(v["secret"]["secretName"] for v in chart.pod("webhook")["spec"]["volumes"] if v["name"] == "tls")
    assert certificate["secretName"] == mounted != "wi-webhook-tls"
    assert f"wi-webhook.{NAMESPACE}.svc" in certificate["dnsNames"]
    for kind in ("MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"):
        annotations = chart.one(kind, "wi-webhook")["metadata"]["annotations"]
        assert annotations["cert-manager.io/inject-ca-from"] == f"{NAMESPACE}/wi-webhook"
    # The CA of sidecars is never another's.
    tls = next(v["secret"]["secretName"] for v in chart.pod("issuer")["spec"]["volumes"] if v["name"] == "tls")
    assert tls == "wi-issuer-tls"


def test_an_issuer_of_ones_own_signs_the_webhooks_certificate(charts):
    (certificate,) = charts.of("cert-manager-issuer").all("Certificate")
    wanted = {"name": "internal", "kind": "ClusterIssuer", "group": "cert-manager.io"}
    assert certificate["spec"]["issuerRef"] == wanted
    assert not charts.of("cert-manager-issuer").all("Issuer")


def test_no_user_is_named_where_the_platform_chooses(charts):
    chart = charts.of("openshift")
    for each in COMPONENTS:
        context = chart.pod(each)["spec"]["securityContext"]
        assert context == {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    assert chart.env("webhook")["WI_SIDECAR_UID"] == "null"


def test_a_proxy_is_never_asked_for_the_cluster(charts):
    env = charts.of("proxy").env("controller")
    assert env["HTTPS_PROXY"] == "http://proxy.example.com:3128"
    direct = env["NO_PROXY"].split(",")
    assert {"$(KUBERNETES_SERVICE_HOST)", ".svc", ".internal.example.com"} <= set(direct)
    assert "HTTPS_PROXY" not in charts.of("proxy").env("issuer")
    assert "HTTPS_PROXY" not in charts.of("default").env("controller")


# What a process is told elsewhere, or never needs to be told.
UNSET = {
    "controller": {"health_port"},
    "issuer": {"health_port", "public_port", "grants_port", "private_key"},
    "webhook": {"health_port", "port", "extra_ca_file"},
}
EVERYTHING = ("own-keys", "public-tls", "another-cloud", "proxy", "times")


@pytest.mark.parametrize("component", COMPONENTS)
def test_every_setting_of_a_process_has_a_value_in_the_chart(charts, component):
    told = {name for case in EVERYTHING for name in charts.of(case).env(component) if name.startswith("WI_")}
    fields = PROCESSES[component].model_fields
    assert told <= {f"WI_{name.upper()}" for name in fields}, "variables that no process reads"
    assert {name for name in fields if f"WI_{name.upper()}" not in told} == UNSET[component]


@pytest.mark.parametrize("component", COMPONENTS)
def test_a_process_takes_what_it_is_told(case, charts, component, monkeypatch):
    for name, value in charts.of(case).env(component).items():
        monkeypatch.setenv(name, value or "")
    assert settings.load(PROCESSES[component]).grant_seconds >= 60


def test_times_and_levels_reach_the_processes(charts):
    chart = charts.of("times")
    issuer, webhook, controller = map(chart.env, ("issuer", "webhook", "controller"))
    assert (issuer["WI_DRAIN_SECONDS"], webhook["WI_DRAIN_SECONDS"]) == ("15", "0.5")
    assert (issuer["WI_LOG_LEVEL"], webhook["WI_LOG_LEVEL"], controller["WI_LOG_LEVEL"]) == (
        "DEBUG",
        "WARNING",
        "WARNING",
    )
    assert webhook["WI_SIDECAR_LOG_LEVEL"] == "ERROR"
    assert (controller["WI_RECHECK_SECONDS"], controller["WI_AUDIT_SECONDS"]) == ("60", "30")
    assert issuer["WI_POD_RATE"] == "0.5"


def test_a_changed_extra_ca_restarts_who_reads_it_once(charts):
    before, after = charts.of("default"), charts.of("another-cloud")
    for each in ("controller", "issuer"):
        annotations = [chart.pod(each)["metadata"]["annotations"]["checksum/extra-ca"] for chart in (before, after)]
        assert annotations[0] != annotations[1]


def without_doubles(pairs):
    assert len(dict(pairs)) == len(pairs), "of two definitions of one name the last one counts, silently"
    return dict(pairs)


def test_the_schema_knows_every_value_and_no_other():
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    schema = json.loads((CHART / "values.schema.json").read_text(), object_pairs_hook=without_doubles)
    assert set(values) == set(schema["properties"]) - {"global"}
    for name, block in values.items():
        known = schema["properties"][name].get("properties")
        if known and isinstance(block, dict):
            # What stands for all pods may be given for one component.
            assert set(block) <= set(known)
            assert set(known) - set(block) <= set(values), name


def test_the_webhook_on_the_nodes_network_listens_where_it_says(charts):
    spec = charts.of("host-network").pod("webhook")["spec"]
    (container,) = spec["containers"]
    assert (spec["hostNetwork"], spec["dnsPolicy"]) == (True, "ClusterFirstWithHostNet")
    assert [port["containerPort"] for port in container["ports"]] == [10260, 10261]
    environment = charts.of("host-network").env("webhook")
    assert (environment["WI_PORT"], environment["WI_HEALTH_PORT"]) == ("10260", "10261")
    others = [charts.of("host-network").pod(component)["spec"] for component in ("controller", "issuer")]
    assert not [spec for spec in (*others, charts.of("default").pod("webhook")["spec"]) if "hostNetwork" in spec]


@pytest.mark.parametrize("values", [{}, {"webhook": {"annotations": {"example.com/owner": "platform"}}}])
def test_no_platform_writes_selectors_into_the_webhook_configurations(charts, values):
    """AKS's admissions enforcer leaves alone what carries this; it would fight every server-side apply otherwise."""
    for item in charts.of(**values).all("MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"):
        assert item["metadata"]["annotations"]["admissions.enforcer/disabled"] == "true"
