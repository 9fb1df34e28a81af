"""Every label and annotation of ours: where it stands, who sets it, what it may hold. The reference page is written from it."""

from __future__ import annotations

from dataclasses import dataclass

from wi_operator.api import names

POD = "pod (template)"
NAMESPACE = "Namespace"
KINDS = "WorkloadIdentityConfig, SecretProviderCredential"
KEYS_SECRET = f"Secret {names.KEYS_SECRET}"
CA_SECRET = f"Secret {names.CA_SECRET}"
STATE = f"ConfigMap {names.STATE_CONFIGMAP}"


@dataclass(frozen=True, slots=True)
class Key:
    """One label or annotation; ``on`` names the objects, ``values`` what may be written."""

    name: str
    on: str
    values: str
    meaning: str
    is_label: bool = False
    is_ours: bool = False
    """Written by the operator, only to be read."""


def _describe_resource(annotation: str) -> str:
    part, kind = annotation.removeprefix(f"{names.GROUP}/sidecar-").split("-")
    return f"The sidecar's {part} {kind}, within `sidecar.resourceBounds` of the chart."


KEYS: tuple[Key, ...] = (
    Key(names.INJECT_LABEL, POD, '`"true"`', "The pod takes part: its references are injected.", is_label=True),
    Key(
        names.ALLOW_LITERALS_LABEL, NAMESPACE, '`"true"`',
        "Opts the namespace out of the policy against literal references: it uses `secret://` for something else.", is_label=True,
    ),
    Key(
        names.ORGANIZATION_ANNOTATION, NAMESPACE, "a lower-case UUID",
        "Who the namespace's pods are: the subject is `organization:<uuid>`. Needs the verb `bind` on `organizations`.",
    ),
    Key(names.TEST_ANNOTATION, KINDS, "any new value", "Checks now; `status.handshake.observedTestRequest` echoes the value."),
    Key(names.PYTHON_ANNOTATION, POD, "a path in the image", "The interpreter, if it is not `python3` on the `PATH`."),
    Key(
        names.DELIVERY_ANNOTATION, POD, "`exec`, `envfile`, or `web=envfile,worker=exec`",
        "How values reach a container; `exec` unless said.",
    ),
    Key(
        names.STALE_RESTART_ANNOTATION, POD, '`"true"`',
        "`envfile` also where a container may be started again, with the values of the pod's first start.",
    ),
    Key(names.HOOK_ANNOTATION, POD, '`"false"`', "Keeps the runtime hook out; values are those of the container's start."),
    Key(
        names.SIDECAR_LOG_LEVEL_ANNOTATION, POD, "one of `sidecar.logLevels` of the chart", "The sidecar's log level."
    ),
    *(
        Key(annotation, POD, "a quantity, for example `64Mi` or `20m`", _describe_resource(annotation))
        for annotation in names.SIDECAR_RESOURCE_ANNOTATIONS
    ),
    Key(
        names.WARNINGS_ANNOTATION, "pod", "text", "What was warned about when the pod was created.", is_ours=True
    ),
    Key(names.CA_ANNOTATION, "pod", "a SHA-256", "Which bundle of the internal CA the sidecar was started with.", is_ours=True),
    Key(names.KIDS_ANNOTATION, KEYS_SECRET, "key ids", "The ids of the keys, so that nobody has to read the keys to know them.",
        is_ours=True),
    Key(
        names.VERIFY_LABEL, "Job", "the name of a Job", "On a copy that `kubectl wi verify-rotation` made: of which Job.",
        is_label=True, is_ours=True,
    ),
    Key(names.ROTATE_ANNOTATION, f"{KEYS_SECRET}; {CA_SECRET}", "any new value", "Begins a rotation."),
    Key(names.TAINT_ANNOTATION, KEYS_SECRET, "a key id", "A key that leaked: it is out of the key set within seconds."),
    Key(
        names.CONFIRM_ANNOTATION, KEYS_SECRET, "a key id",
        "You have seen the key in public, where the cluster cannot reach its own public URL.",
    ),
    Key(names.ACCEPT_LOSS_ANNOTATION, STATE, "the id of the lost key", "Gives the lost key up: a new one is made."),
    Key(
        names.ROTATE_NOW_ANNOTATION, CA_SECRET, "any new value",
        "Does not wait for pods that do not know the next CA; those without a kickoff meanwhile have to be started anew.",
    ),
)  # fmt: skip
