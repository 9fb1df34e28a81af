"""Pods, an index and an independent reading of RFC 6902."""

import copy
from types import SimpleNamespace

import pytest

from wi_operator.admission.injection import inject
from wi_operator.admission.settings import InjectionSettings
from wi_operator.index.store import Index

CA = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"


def make_pod(*containers, init=(), annotations=None, label="true", **spec):
    metadata = {"name": "kick", "labels": {"identity.crewai.com/inject": label}}
    if annotations:
        metadata["annotations"] = annotations
    body = {"containers": list(containers), **spec}
    if init:
        body["initContainers"] = list(init)
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": body}


def make_container(name="app", env=None, **fields):
    container = {"name": name, "image": "img", "command": ["run"], **fields}
    if env is not None:
        container["env"] = [{"name": n, "value": v} for n, v in env]
    return container


def apply_patch(document, operations):
    """Apply RFC 6902 add, remove, replace and move to a copy."""
    document = copy.deepcopy(document)
    for operation in operations:
        if operation["op"] == "move":
            value = _remove(document, operation["from"])
            _add(document, operation["path"], value)
        elif operation["op"] == "add":
            _add(document, operation["path"], copy.deepcopy(operation["value"]))
        elif operation["op"] == "replace":
            _remove(document, operation["path"])
            _add(document, operation["path"], copy.deepcopy(operation["value"]))
        else:
            assert operation["op"] == "remove"
            _remove(document, operation["path"])
    return document


def _parent(document, path):
    tokens = [t.replace("~1", "/").replace("~0", "~") for t in path.split("/")[1:]]
    for token in tokens[:-1]:
        document = document[int(token)] if isinstance(document, list) else document[token]
    return document, tokens[-1]


def _add(document, path, value):
    parent, token = _parent(document, path)
    if not isinstance(parent, list):
        parent[token] = value
        return
    index = len(parent) if token == "-" else int(token)
    assert 0 <= index <= len(parent)
    parent.insert(index, value)


def _remove(document, path):
    parent, token = _parent(document, path)
    return parent.pop(int(token) if isinstance(parent, list) else token)


def make_index():
    """Credential ``demo`` (Ready), ``aws``, ``cold`` (not Ready) and the default ``main`` for one account."""
    index = Index()
    index.put_config(
        {"metadata": {"namespace": "team-a", "name": "azure"}, "spec": {"provider": "Azure", "default": True}}
    )
    ready = {"conditions": [{"type": "Ready", "status": "True", "reason": "Succeeded"}]}
    cold = {"conditions": [{"type": "Ready", "status": "False", "reason": "VaultForbidden", "message": "Grant it."}]}
    for name, spec, status in (
        ("demo", {"provider": "AzureKeyVault"}, ready),
        ("main", {"provider": "AzureKeyVault", "default": True, "allowedServiceAccounts": ["crew"]}, ready),
        ("cold", {"provider": "AzureKeyVault"}, cold),
        ("aws", {"provider": "AWSSecretsManager"}, {}),
    ):
        index.put_credential({"metadata": {"namespace": "team-a", "name": name}, "spec": spec, "status": status})
    index.put_node(make_node("new", "v1.36.3"))
    return index


def make_node(name, version, system="linux"):
    return {"metadata": {"name": name}, "status": {"nodeInfo": {"kubeletVersion": version, "operatingSystem": system}}}


SETTINGS = InjectionSettings(
    sidecar_image="registry.test/wi@sha256:" + "0" * 64,
    grants_url="https://wi-issuer-grants.wi-system.svc",
    ca_bundle=CA,
)


@pytest.fixture
def kit():
    """Everything above in one place; property-based tests need plain functions."""
    index = make_index()

    def judge(pod, settings=SETTINGS, namespace="team-a", index=index):
        return inject(pod, namespace=namespace, index=index, settings=settings)

    def mutate(pod, **arguments):
        verdict = judge(pod, **arguments)
        assert verdict.problems == ()
        return apply_patch(pod, list(verdict.operations))

    return SimpleNamespace(
        pod=make_pod, container=make_container, apply=apply_patch, judge=judge, mutate=mutate, settings=SETTINGS,
        index=index, node=make_node,
    )  # fmt: skip
