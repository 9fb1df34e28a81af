"""What is refused or warned of at admission, one case for each row: pods for the webhook, objects for the chart's policies."""

import re
from dataclasses import dataclass, field, replace

from row_scene import ROOT

from wi_operator.admission.declaration import Entry, write
from wi_operator.admission.review import judge_pod
from wi_operator.admission.settings import InjectionSettings
from wi_operator.api import names
from wi_operator.federation.diagnosis import admission as rows
from wi_operator.index.store import Index

SPACE = "a"
SETTINGS = InjectionSettings("registry.test/wi", "https://g", "c")
REFERENCE = "secret://demo/db"
TEMPLATES = ROOT / "charts/workload-identity-operator/templates"
POLICIES = ("policy-literals.yaml", "policy-use.yaml")
LINKER = "linker"


@dataclass
class PodCase:
    """How a pod with one reference differs so that it is refused, and for whom."""

    env: tuple = (("V", REFERENCE),)
    container: dict = field(default_factory=dict)
    spec: dict = field(default_factory=dict)
    annotations: dict = field(default_factory=dict)
    settings: dict = field(default_factory=dict)
    nodes: tuple = ("v1.36.3",)
    sub_resource: str = ""

    def review(self):
        container = make_container(self.env, **self.container)
        spec = {"containers": [container], **self.spec}
        metadata = {"name": "p", "labels": {names.INJECT_LABEL: "true"}, "annotations": self.annotations}
        operation = "UPDATE" if self.sub_resource else "CREATE"
        request = {"resource": {"resource": "pods"}, "subResource": self.sub_resource, "operation": operation}
        return {**request, "namespace": SPACE, "object": {"metadata": metadata, "spec": spec}}

    def index(self):
        index = Index()
        metadata = {"namespace": SPACE, "name": "demo"}
        index.put_credential({"metadata": metadata, "spec": {"provider": "AzureKeyVault"}})
        for number, version in enumerate(self.nodes):
            info = {"kubeletVersion": version, "operatingSystem": "linux"}
            index.put_node({"metadata": {"name": f"node-{number}"}, "status": {"nodeInfo": info}})
        return index

    def judge(self, index=None):
        """Return the product's verdict, with another index if one is given."""
        return judge_pod(self.review(), index=index or self.index(), settings=replace(SETTINGS, **self.settings))


def make_container(env=(("V", REFERENCE),), **fields):
    entries = [{"name": name, "value": value} for name, value in env]
    return {"name": "app", "image": "i", "command": ["c"], "env": entries, **fields}


def annotated(**texts):
    return {f"{names.GROUP}/{name.replace('_', '-')}": text for name, text in texts.items()}


def by_file(nodes=("v1.36.3",), is_allowed=True, restart="Never"):
    """A pod of the delivery mode envfile."""
    return PodCase(
        annotations=annotated(delivery="envfile"),
        spec={"restartPolicy": restart},
        settings={"is_envfile_allowed": is_allowed},
        nodes=nodes,
    )


FORGED = {
    "name": names.SIDECAR,
    "image": "evil",
    "env": [{"name": "WI_DECLARATION", "value": write({"app": (Entry("V", REFERENCE),)})}],
}
DEBUG = {"name": "debug", "image": "i", "env": [{"name": "V", "value": REFERENCE}]}
WEBHOOK = {
    rows.MALFORMED_REFERENCE: PodCase(env=(("V", "secret://demo/a#k?version=1"),)),
    rows.VARIABLE_IN_REFERENCE: PodCase(env=(("V", "secret://$(STAGE)/db"),)),
    rows.INVALID_VARIABLE_NAME: PodCase(env=(("1.V", REFERENCE),)),
    rows.VARIABLE_SET_TWICE: PodCase(env=(("V", REFERENCE), ("URL", "x$(V)"), ("V", "plain"))),
    rows.IMPOSSIBLE_SECRET_NAME: PodCase(env=(("V", "secret://demo/has_dot."),)),
    rows.INVALID_INTERPRETER: PodCase(annotations=annotated(python="/bin/sh -c")),
    rows.COMMAND_MISSING: PodCase(container={"command": []}),
    rows.SECRET_OUTSIDE_ENVIRONMENT: PodCase(container={"args": ["--password=$(V)"]}),
    rows.RESERVED_NAME: PodCase(spec={"volumes": [{"name": "wi-mine", "emptyDir": {}}]}),
    rows.RESERVED_PATH: PodCase(container={"volumeMounts": [{"name": "v", "mountPath": "/run/wi/app"}]}),
    rows.FOREIGN_SIDECAR: PodCase(spec={"initContainers": [FORGED]}),
    rows.WINDOWS_POD: PodCase(spec={"os": {"name": "windows"}}),
    rows.STATIC_POD: PodCase(annotations={"kubernetes.io/config.mirror": "hash"}),
    rows.HOST_NETWORK_DNS: PodCase(spec={"hostNetwork": True, "dnsPolicy": "ClusterFirst"}),
    rows.SIDECAR_READABLE: PodCase(spec={"shareProcessNamespace": True}, container={"securityContext": {"runAsUser": 0}}),
    rows.SIDECAR_USER_UNKNOWN: PodCase(spec={"hostPID": True}, settings={"sidecar_uid": None}),
    rows.EPHEMERAL_SECRET: PodCase(spec={"ephemeralContainers": [DEBUG]}, sub_resource="ephemeralcontainers"),
    rows.INVALID_DELIVERY: PodCase(annotations=annotated(delivery="none=envfile")),
    rows.ENVFILE_NOT_ALLOWED: by_file(is_allowed=False),
    rows.ENVFILE_NODES: by_file(nodes=("v1.36.3", "v1.34.9")),
    rows.ENVFILE_NODES_UNKNOWN: by_file(nodes=()),
    rows.ENVFILE_RESTART: by_file(restart="OnFailure"),
    rows.INVALID_OVERRIDE: PodCase(annotations=annotated(sidecar_cpu_limit="64")),
    rows.REQUEST_OVER_LIMIT: PodCase(annotations=annotated(sidecar_memory_request="128Mi")),
}  # fmt: skip


def fixed_words(row):
    """Return a pattern of the row's cause and remedy with anything but nothing, and no missing fact, for each fact."""
    text = re.escape(f"{row.reason}: {row.cause} {row.remedy}")
    return re.compile(re.sub(r"\\\{(\w+)\\\}", lambda fact: rf"(?!<{fact[1]}>).+", text))


@dataclass
class PolicyCase:
    """What is sent to an API server with the chart's policies, and which of the row's words the answer repeats."""

    item: dict
    words: str
    is_warning: bool = False
    user: str | None = None

    def ask(self, cluster):
        """Return what would be stored, and what the API server says."""
        return cluster.create(self.item, SPACE, user=self.user)


def make_pod(**labels):
    metadata = {"name": "p", "labels": labels}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"containers": [make_container()]}}


def make_deployment():
    template = {"metadata": {"labels": {"app": "x"}}, "spec": {"containers": [make_container()]}}
    spec = {"selector": {"matchLabels": {"app": "x"}}, "template": template}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "x"}, "spec": spec}


def make_credential(**more):
    spec = {"provider": "AzureKeyVault", "azureKeyVault": {"vaultUrl": "https://demo.vault.azure.net"}, **more}
    return {
        "apiVersion": names.API_VERSION,
        "kind": names.CREDENTIAL_KIND,
        "metadata": {"name": "demo"},
        "spec": spec,
    }


LABEL = 'identity.crewai.com/inject: "true"'
WEBHOOK_CONFIGURATION = "look at MutatingWebhookConfiguration wi-webhook and whether it covers this namespace"
USE = "workloadidentityconfigs.identity.crewai.com"
POLICY = (
    (rows.LITERAL_NOT_INJECTED, PolicyCase(make_pod(), f"et the label {LABEL} in the metadata of the pod template")),
    (rows.LITERAL_NOT_INJECTED, PolicyCase(make_pod(**{names.INJECT_LABEL: "true"}), WEBHOOK_CONFIGURATION)),
    (rows.TEMPLATE_NOT_LABELLED, PolicyCase(make_deployment(), LABEL, is_warning=True)),
    (rows.USE_NOT_ALLOWED, PolicyCase(make_credential(workloadIdentityRef={"name": "azure"}), USE, user=LINKER)),
    (rows.USE_NOT_ALLOWED, PolicyCase(make_credential(), "without spec.workloadIdentityRef", user=LINKER)),
)


def install_policies(cluster):
    """Apply the chart's policies, and let one user write credentials but use no config."""
    cluster.plane.run_kubectl("apply", "--server-side", f"--filename={ROOT / 'crds'}")
    kinds = [f"crd/{plural}.{names.GROUP}" for plural in (names.CONFIG_PLURAL, names.CREDENTIAL_PLURAL)]
    cluster.must("wait", "--for=condition=Established", *kinds, "--timeout=30s")
    for name in POLICIES:
        cluster.must("apply", f"--filename={TEMPLATES / name}")
    cluster.make_namespace(SPACE)
    resource = f"--resource={names.CREDENTIAL_PLURAL}.{names.GROUP}"
    cluster.must("create", "role", LINKER, "--verb=*", resource, f"--namespace={SPACE}")
    cluster.must("create", "rolebinding", LINKER, f"--role={LINKER}", f"--user={LINKER}", f"--namespace={SPACE}")
