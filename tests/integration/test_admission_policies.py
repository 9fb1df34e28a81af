"""Policies and webhook on a real API server, as the chart writes them; pods by server-side dry run."""

import copy
import json
from pathlib import Path

import pytest

from wi_testkit.controlplane.plane import Plane
from wi_testkit.stage.chart import DEFINITIONS, render_objects

TEMPLATES = Path(__file__).parents[2] / "charts/workload-identity-operator/templates"
ORGANIZATION = "identity.crewai.com/organization"
UUID = "3f2504e0-4f89-41d3-9a0c-0305e82c3301"
OTHER_UUID = "3f2504e0-4f89-41d3-9a0c-0305e82c3302"
RESTRICTED = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "runAsNonRoot": True,
    "runAsUser": 1000,
    "seccompProfile": {"type": "RuntimeDefault"},
}


def make_pod(env=(), label=None, **fields):
    container = {"name": "app", "image": "img", "command": ["run"], "securityContext": RESTRICTED, **fields}
    container["env"] = [{"name": name, "value": value} for name, value in env]
    metadata = {"name": "kick", "labels": {"identity.crewai.com/inject": label} if label else {}}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"containers": [container]}}


REFERENCE = [("DB", "secret://demo/db")]


@pytest.fixture(scope="module")
def cluster(admission):
    # An own plane: a policy on every pod and namespace would disturb the tests that share one.
    with Plane(controllers=["validatingadmissionpolicy-status-controller"]) as plane:
        cluster = admission.Cluster(plane)
        cluster.make_namespace("before")
        cluster.must("create", "--namespace=before", item=make_pod(REFERENCE))
        plane.run_kubectl("apply", "--server-side", "--filename", str(DEFINITIONS))
        for name in ("policy-literals.yaml", "policy-organization.yaml", "policy-use.yaml"):
            plane.run_kubectl("apply", "--filename", str(TEMPLATES / name))
        cluster.make_namespace("team-a", **{"pod-security.kubernetes.io/enforce": "restricted"})
        cluster.make_namespace("opted-out", **{"identity.crewai.com/allow-literal-references": "true"})
        cluster.wait_for(lambda: cluster.create(make_pod(REFERENCE), "team-a")[0] is None)
        cluster.wait_for(
            lambda: cluster.create(make_workload("Deployment", [("A", "secret://A/b")]), "team-a")[0] is None
        )
        yield cluster


def make_workload(kind, env, label=None):
    template = copy.deepcopy(make_pod(env, label))
    del template["apiVersion"], template["kind"], template["metadata"]["name"]
    template["metadata"]["labels"]["app"] = "x"
    selector = {"matchLabels": {"app": "x"}}
    once = {**template, "spec": {**template["spec"], "restartPolicy": "Never"}}
    spec = {
        "Deployment": {"selector": selector, "template": template},
        "ReplicaSet": {"selector": selector, "template": template},
        "DaemonSet": {"selector": selector, "template": template},
        "StatefulSet": {"selector": selector, "template": template, "serviceName": "x"},
        "ReplicationController": {"selector": {"app": "x"}, "template": template},
        "Job": {"template": once},
        "CronJob": {"schedule": "0 0 * * *", "jobTemplate": {"spec": {"template": once}}},
    }[kind]
    group = {"Job": "batch/v1", "CronJob": "batch/v1", "ReplicationController": "v1"}.get(kind, "apps/v1")
    return {"apiVersion": group, "kind": kind, "metadata": {"name": "x"}, "spec": spec}


KINDS = ["Deployment", "ReplicaSet", "DaemonSet", "StatefulSet", "ReplicationController", "Job", "CronJob"]


def test_the_policies_pass_the_type_checker(cluster):
    def read():
        items = json.loads(cluster.must("get", "validatingadmissionpolicies", "--output=json"))["items"]
        return {item["metadata"]["name"]: item.get("status", {}) for item in items}

    cluster.wait_for(lambda: all("typeChecking" in status for status in read().values()))
    assert {name: status["typeChecking"] for name, status in read().items()} == {
        "wi-config-use": {},
        "wi-literals": {},
        "wi-malformed-templates": {},
        "wi-organization": {},
        "wi-unlabelled-templates": {},
    }


@pytest.mark.attack(twin="test_other_pods_are_admitted")
@pytest.mark.parametrize("value", ["secret://demo/db", "secret:///db", "secret://Malformed", "secret://"])
def test_a_literal_in_an_unlabelled_pod_is_refused(cluster, value):
    made, complaint = cluster.create(make_pod([("X", "1"), ("DB", value)]), "team-a")
    assert made is None
    assert "container app, variable DB holds a secret:// reference" in complaint
    assert 'set the label identity.crewai.com/inject: "true"' in complaint


def with_init_container(env):
    pod = make_pod()
    pod["spec"]["initContainers"] = [{**make_pod(env)["spec"]["containers"][0], "name": "setup"}]
    return pod


def test_a_plain_value_in_an_init_container_is_admitted(cluster):
    assert cluster.create(with_init_container([("DB", "x")]), "team-a")[0]


@pytest.mark.attack(twin="test_a_plain_value_in_an_init_container_is_admitted")
def test_a_literal_in_an_init_container_is_refused(cluster):
    assert "container setup, variable DB" in cluster.create(with_init_container(REFERENCE), "team-a")[1]


@pytest.mark.attack(twin="test_an_injected_pod_is_admitted_under_pod_security_restricted")
def test_a_labelled_pod_is_refused_when_the_injector_did_not_run(cluster):
    assert "the injector did not run" in cluster.create(make_pod(REFERENCE, "true"), "team-a")[1]


@pytest.mark.parametrize(
    "env", [(), [("A", "https://x"), ("B", "my secret://a/b"), ("C", "")], [("X", "1"), ("DB", "postgres://demo/db")]]
)
def test_other_pods_are_admitted(cluster, env):
    assert cluster.create(make_pod(env), "team-a")[0]


def test_a_namespace_may_opt_out(cluster):
    assert cluster.create(make_pod(REFERENCE), "opted-out")[0]


def test_a_pod_from_before_can_be_updated(cluster):
    cluster.must("label", "pod", "kick", "--namespace=before", "a=b", "--overwrite")


def add_ephemeral_container(cluster, value):
    body = {"spec": {"ephemeralContainers": [{"name": "debug", "image": "i", "env": [{"name": "DB", "value": value}]}]}}
    return cluster.run(
        "patch", "pod", "kick", "--namespace=before", "--subresource=ephemeralcontainers", "--dry-run=server",
        "--type=strategic", f"--patch={json.dumps(body)}",
    )  # fmt: skip


def test_a_plain_value_in_an_ephemeral_container_is_admitted(cluster):
    # The containers of the pod itself are from before the policy.
    assert add_ephemeral_container(cluster, "x").returncode == 0


@pytest.mark.attack(twin="test_a_plain_value_in_an_ephemeral_container_is_admitted")
def test_a_literal_in_an_ephemeral_container_is_refused(cluster):
    done = add_ephemeral_container(cluster, "secret://demo/db")
    assert "container debug, variable DB" in done.stderr
    assert done.returncode


@pytest.mark.parametrize("kind", KINDS)
def test_a_malformed_reference_in_a_template_is_refused(cluster, kind):
    made, complaint = cluster.create(make_workload(kind, [("DB", "secret://Demo/db")], "true"), "team-a")
    assert made is None
    assert "container app, variable DB holds a malformed reference; the form is secret://[credential]/" in complaint


@pytest.mark.parametrize("kind", KINDS)
def test_an_unlabelled_template_is_warned(cluster, kind):
    made, complaint = cluster.create(make_workload(kind, REFERENCE), "team-a")
    assert made
    assert "Warning: " in complaint
    assert "lacks the label identity.crewai.com/inject" in complaint


@pytest.mark.parametrize("kind", KINDS)
def test_a_good_template_is_silent(cluster, kind):
    made, complaint = cluster.create(make_workload(kind, REFERENCE, "true"), "team-a")
    assert made
    assert complaint == ""


def test_a_workload_from_before_can_be_scaled(cluster):
    workload = make_workload("Deployment", [("DB", "secret://Demo/db")])
    cluster.must("create", "--namespace=opted-out", item=workload)
    cluster.must("label", "namespace", "opted-out", "identity.crewai.com/allow-literal-references-")
    try:
        cluster.wait_for(lambda: cluster.create(make_workload("Job", [("DB", "secret://D/b")]), "opted-out")[0] is None)
        # Not by kubectl scale: that writes the subresource, which the policy does not cover.
        cluster.must("patch", "deployment", "x", "--namespace=opted-out", '--patch={"spec":{"replicas":0}}')
        changed = '{"spec":{"template":{"metadata":{"annotations":{"a":"b"}}}}}'
        done = cluster.run("patch", "deployment", "x", "--namespace=opted-out", f"--patch={changed}")
        assert "malformed reference" in done.stderr
    finally:
        cluster.must("label", "namespace", "opted-out", "identity.crewai.com/allow-literal-references=true")


def make_credential(name="c", config="azure", **spec):
    ref = {"workloadIdentityRef": {"name": config}} if config else {}
    body = {"provider": "AzureKeyVault", "azureKeyVault": {"vaultUrl": "https://demo.vault.azure.net"}, **ref, **spec}
    metadata = {"name": name, "namespace": "team-a"}
    return {
        "apiVersion": "identity.crewai.com/v1alpha1",
        "kind": "SecretProviderCredential",
        "metadata": metadata,
        "spec": body,
    }


@pytest.fixture(scope="module")
def managers(cluster):
    """Two users who may do everything to credentials; one may use config ``azure``, the other every config."""
    group = "rbac.authorization.k8s.io"
    credentials = {"apiGroups": ["identity.crewai.com"], "resources": ["secretprovidercredentials"], "verbs": ["*"]}
    use = {"apiGroups": ["identity.crewai.com"], "resources": ["workloadidentityconfigs"], "verbs": ["use"]}
    for user, rule in (("of-azure", {**use, "resourceNames": ["azure"]}), ("of-all", use)):
        metadata = {"name": user, "namespace": "team-a"}
        role = {"apiVersion": f"{group}/v1", "kind": "Role", "metadata": metadata, "rules": [credentials, rule]}
        binding = {
            "apiVersion": f"{group}/v1",
            "kind": "RoleBinding",
            "metadata": metadata,
            "roleRef": {"apiGroup": group, "kind": "Role", "name": user},
            "subjects": [{"apiGroup": group, "kind": "User", "name": user}],
        }
        cluster.must("apply", item=role)
        cluster.must("apply", item=binding)
        cluster.wait_for(
            lambda user=user: cluster.run("get", "spcred", "--namespace=team-a", user=user).returncode == 0
        )
    cluster.wait_for(lambda: cluster.create(make_credential(config="other"), "team-a", user="of-azure")[0] is None)


@pytest.mark.parametrize(("user", "config"), [("of-azure", "azure"), ("of-all", "other"), ("of-all", "")])
def test_who_may_use_a_config_may_link_it(cluster, managers, user, config):
    assert cluster.create(make_credential(config=config), "team-a", user=user)[0]


@pytest.mark.attack(twin="test_who_may_use_a_config_may_link_it")
def test_a_link_without_use(cluster, managers):
    made, complaint = cluster.create(make_credential(config="other"), "team-a", user="of-azure")
    assert made is None
    assert "UseNotAllowed: of-azure may not use" in complaint
    assert "team-a/other" in complaint


@pytest.mark.attack(twin="test_who_may_use_a_config_may_link_it")
def test_an_omitted_reference(cluster, managers):
    """The default may be another config tomorrow: use of one by name is not enough."""
    made, complaint = cluster.create(make_credential(config=""), "team-a", user="of-azure")
    assert made is None
    assert "on all of its workloadidentityconfigs" in complaint


def test_static_credentials_need_no_config(cluster, managers):
    assert cluster.create(make_credential(config="", authMethod="ClientSecret"), "team-a", user="of-azure")[0]


NEW_VAULT = {"azureKeyVault": {"vaultUrl": "https://mine.vault.azure.net"}}
NEW_DEFAULT = {"default": True}
NO_LINK = {"workloadIdentityRef": None}


@pytest.fixture(scope="module")
def linked(cluster, managers):
    """Credentials of the configs ``other`` and ``azure``; return how to change one of them by dry run."""
    cluster.must("create", item=make_credential("of-other", config="other"))
    cluster.must("create", item=make_credential("of-azure", config="azure"))

    def patch(name, user, spec=None, **metadata):
        change = {"spec": spec or {}, "metadata": metadata}
        flags = ["--namespace=team-a", "--type=merge", f"--patch={json.dumps(change)}", "--dry-run=server"]
        return cluster.run("patch", "spcred", name, *flags, user=user)

    return patch


@pytest.mark.parametrize(
    ("name", "user", "spec"),
    [
        ("of-other", "of-all", NEW_VAULT),
        ("of-other", "of-all", NEW_DEFAULT),
        ("of-azure", "of-all", NO_LINK),
        ("of-azure", "of-azure", NEW_VAULT),
        ("of-azure", "of-azure", NEW_DEFAULT),
        ("of-other", "of-azure", {"workloadIdentityRef": {"name": "azure"}}),
    ],
)
def test_who_may_use_a_config_may_change_what_is_linked_to_it(linked, name, user, spec):
    assert linked(name, user, spec).returncode == 0


@pytest.mark.attack(twin="test_who_may_use_a_config_may_change_what_is_linked_to_it")
def test_somebody_elses_link_pointed_at_another_vault(linked):
    assert "UseNotAllowed" in linked("of-other", "of-azure", NEW_VAULT).stderr


@pytest.mark.attack(twin="test_who_may_use_a_config_may_change_what_is_linked_to_it")
def test_a_default_flipped_to_somebody_elses_link(linked):
    """References without a credential's name would go through the config that one may not use."""
    assert "UseNotAllowed" in linked("of-other", "of-azure", NEW_DEFAULT).stderr


@pytest.mark.attack(twin="test_who_may_use_a_config_may_change_what_is_linked_to_it")
def test_a_link_that_is_taken_away_to_wait_for_a_flipped_default(linked):
    assert "on all of its workloadidentityconfigs" in linked("of-azure", "of-azure", NO_LINK).stderr


def test_a_test_of_the_connection_is_no_use(linked):
    assert linked("of-other", "of-azure", annotations={"identity.crewai.com/test-connection": "1"}).returncode == 0


@pytest.fixture(scope="module")
def tenant(cluster):
    """May do everything to namespaces, and bind one organization."""
    everything = ["namespaces", "namespaces/status", "namespaces/finalize"]
    rules = [
        {"apiGroups": [""], "resources": everything, "verbs": ["*"]},
        {
            "apiGroups": ["identity.crewai.com"],
            "resources": ["organizations"],
            "verbs": ["bind"],
            "resourceNames": [OTHER_UUID],
        },
    ]
    group = "rbac.authorization.k8s.io"
    cluster.must(
        "apply",
        item={"apiVersion": f"{group}/v1", "kind": "ClusterRole", "metadata": {"name": "tenant"}, "rules": rules},
    )
    binding = {
        "apiVersion": f"{group}/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": "tenant"},
        "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": "tenant"},
        "subjects": [{"apiGroup": group, "kind": "User", "name": "tenant"}],
    }
    cluster.must("apply", item=binding)
    cluster.make_namespace("tenants")
    cluster.wait_for(lambda: cluster.run("get", "namespaces", user="tenant").returncode == 0)
    return "tenant"


def annotate(cluster, value, *flags, user=None):
    patch = json.dumps({"metadata": {"annotations": {ORGANIZATION: value}}})
    return cluster.run(
        "patch", "namespace", "tenants", "--type=merge", f"--patch={patch}", "--dry-run=server", *flags, user=user
    )


@pytest.mark.attack(twin="test_whoever_may_bind_may_set")
@pytest.mark.parametrize("flags", [[], ["--subresource=status"]])
def test_a_tenant_cannot_take_an_organization(cluster, tenant, flags):
    done = annotate(cluster, UUID, *flags, user=tenant)
    assert f"needs the verb bind on organizations.identity.crewai.com {UUID}" in done.stderr
    assert done.returncode


@pytest.mark.attack(twin="test_whoever_may_bind_may_set_by_finalize")
def test_a_tenant_cannot_take_one_by_finalize(cluster, tenant):
    done = finalize(cluster, UUID, tenant)
    assert "needs the verb bind" in done.stderr
    assert ORGANIZATION not in cluster.must("get", "namespace", "tenants", "--output=json")


def finalize(cluster, value, user):
    item = json.loads(cluster.must("get", "namespace", "tenants", "--output=json"))
    item["metadata"]["annotations"] = {ORGANIZATION: value}
    return cluster.run("replace", "--raw=/api/v1/namespaces/tenants/finalize", item=item, user=user)


def test_whoever_may_bind_may_set_by_finalize(cluster, tenant):
    try:
        assert OTHER_UUID in finalize(cluster, OTHER_UUID, tenant).stdout
        assert OTHER_UUID in cluster.must("get", "namespace", "tenants", "--output=json")
    finally:
        cluster.must("annotate", "namespace", "tenants", f"{ORGANIZATION}-")


@pytest.mark.attack(twin="test_whoever_may_bind_may_create_a_namespace_of_it")
def test_a_tenant_cannot_create_a_namespace_of_an_organization(cluster, tenant):
    made, complaint = cluster.create(namespace_of(UUID), "default", user=tenant)
    assert made is None
    assert "needs the verb bind" in complaint


def namespace_of(organization):
    metadata = {"name": "new", "annotations": {ORGANIZATION: organization}}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}


def test_whoever_may_bind_may_create_a_namespace_of_it(cluster, tenant):
    assert cluster.create(namespace_of(OTHER_UUID), "default", user=tenant)[0]


@pytest.mark.parametrize("flags", [[], ["--subresource=status"]])
def test_whoever_may_bind_may_set(cluster, tenant, flags):
    assert annotate(cluster, OTHER_UUID, *flags, user=tenant).returncode == 0


@pytest.mark.attack(twin="test_whoever_may_bind_may_leave")
@pytest.mark.parametrize("value", [None, OTHER_UUID])
def test_leaving_an_organization_needs_bind_on_it(cluster, tenant, value):
    cluster.must("annotate", "namespace", "tenants", f"{ORGANIZATION}={UUID}")
    try:
        done = annotate(cluster, value, user=tenant)
        assert f"organizations.identity.crewai.com {UUID}" in done.stderr
        assert done.returncode
    finally:
        cluster.must("annotate", "namespace", "tenants", f"{ORGANIZATION}-")


@pytest.mark.parametrize(("value", "user"), [(None, "tenant"), (UUID, None)])
def test_whoever_may_bind_may_leave(cluster, tenant, value, user):
    cluster.must("annotate", "namespace", "tenants", f"{ORGANIZATION}={OTHER_UUID}")
    try:
        assert annotate(cluster, value, user=user).returncode == 0
    finally:
        cluster.must("annotate", "namespace", "tenants", f"{ORGANIZATION}-")


def test_a_tenant_may_change_everything_else(cluster, tenant):
    cluster.must("label", "namespace", "tenants", "a=b", "--overwrite", user=tenant)


@pytest.mark.parametrize("value", [UUID.upper(), "team-a", "", f"{UUID} "])
def test_only_a_lower_case_uuid_is_taken(cluster, tenant, value):
    done = annotate(cluster, value)
    assert (done.returncode == 0) is (value == "")
    assert value == "" or "must be a lower-case UUID" in done.stderr


@pytest.fixture(scope="module")
def injected(admission, cluster, tmp_path_factory):
    authority = admission.Authority()
    with admission.Webhook(tmp_path_factory.mktemp("webhook"), authority) as port:
        documents = admission.configurations(port, authority)
        for document in documents:
            cluster.must("apply", item=document)
        cluster.wait_for(lambda: cluster.create(make_pod(REFERENCE, "true"), "team-a")[0])
        yield cluster
        for document in documents:
            cluster.must("delete", item=document)


def test_an_injected_pod_is_admitted_under_pod_security_restricted(injected):
    pod = make_pod([*REFERENCE, ("URL", "u:$(DB)")], "true")
    pod["spec"]["affinity"] = {"podAntiAffinity": {}}
    made, complaint = injected.create(pod, "team-a")
    (sidecar,) = made["spec"]["initContainers"]
    assert "Warning: CredentialNotFound" in complaint
    assert sidecar["name"] == "wi-sidecar"
    # Had the ServiceAccount plugin found the path free, it would have mounted the application's API token.
    assert [mount["name"] for mount in sidecar["volumeMounts"]][-2:] == ["wi-token", "wi-no-api-token"]
    assert made["spec"]["containers"][0]["command"] == ["python3", "-I", "-S", "/run/wi/launch.py", "--", "run"]
    assert "env" not in made["spec"]["containers"][0]


def test_the_stored_pod_is_not_changed_by_a_second_call(injected):
    made, _ = injected.create(make_pod(REFERENCE, "true"), "team-a")
    # What the API server answers holds all its defaults, as a reinvocation sees them.
    again = {**made, "metadata": {key: made["metadata"][key] for key in ("name", "labels", "annotations")}}
    second, _ = injected.create(again, "team-a")
    assert second["spec"] == made["spec"]
    assert second["metadata"]["annotations"] == made["metadata"]["annotations"]


def test_a_refusal_reaches_the_user(injected):
    made, complaint = injected.create(make_pod([("DB", "secret://demo")], "true"), "team-a")
    assert made is None
    assert (
        "container 'app', variable 'DB': MalformedReference: the secret's name is missing at position 13" in complaint
    )


def test_a_pod_without_command_is_refused(injected):
    _, complaint = injected.create(make_pod(REFERENCE, "true", command=[]), "team-a")
    assert "CommandMissing: It takes secrets (DB) but has no command" in complaint


def test_system_namespaces_are_left_alone(injected):
    injected.make_namespace("kube-system")
    assert injected.create(make_pod((), "true"), "kube-system")[0]
    assert "did not run" in injected.create(make_pod(REFERENCE, "true"), "kube-system")[1]


def test_the_configuration_needs_no_ca_bundle_to_be_applied(cluster):
    for document in render_objects({"image": {"ref": "unused"}}, only=["webhook-configuration"]):
        document["metadata"]["name"] = "dry"
        assert cluster.create(document, "default")[0]
