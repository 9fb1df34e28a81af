"""Why a pod, a workload or a credential is not admitted: answers of the webhook and of the policies in the chart.

The policies repeat these reasons at the beginning of their messages.
"""

from __future__ import annotations

from wi_operator.federation.diagnosis.base import Provenance, Retry, Row, Surface

SURFACES = frozenset({Surface.ADMISSION})


def _row(reason: str, cause: str, remedy: str) -> Row:
    return Row(reason, reason, cause, remedy, Retry.CONFIG, Provenance.ASSUMED, SURFACES)


MALFORMED_REFERENCE = _row("MalformedReference", "{detail} at position {position}.", "Write {correction}.")
VARIABLE_IN_REFERENCE = _row(
    "VariableInReference", "A reference cannot hold {detail}: it is read before variables are expanded.",
    "Write the name out.",
)  # fmt: skip
INVALID_VARIABLE_NAME = _row(
    "InvalidVariableName", "An environment variable of this name cannot take a secret.",
    "Name it with a letter or underscore, then letters, digits, underscores.",
)  # fmt: skip
VARIABLE_SET_TWICE = _row(
    "VariableSetTwice", "{detail} is set more than once and used in between.", "Give the values two names."
)
IMPOSSIBLE_SECRET_NAME = _row("ImpossibleSecretName", "{detail}.", "Correct the reference.")
INVALID_INTERPRETER = _row(
    "InvalidInterpreter", "{detail} is not the path of a program.", "Write for example /usr/bin/python3."
)
INVALID_OVERRIDE = _row(
    "InvalidSidecarOverride", "{object} is not what a pod of this cluster may choose for its sidecar.",
    "Write {detail}, or remove the annotation.",
)  # fmt: skip
REQUEST_OVER_LIMIT = _row(
    "SidecarRequestOverLimit", "Its request of {object} is over its limit of {detail}.",
    "Set both by annotation (identity.crewai.com/sidecar-<resource>-request and -limit), or neither.",
)  # fmt: skip
COMMAND_MISSING = _row(
    "CommandMissing", "It takes secrets ({detail}) but has no command, and the operator never asks a registry what an "
    "image starts.",
    "Set command (and args) to the image's ENTRYPOINT and CMD, or choose the delivery mode envfile "
    "(annotation identity.crewai.com/delivery), which needs no command.",
)  # fmt: skip
SECRET_OUTSIDE_ENVIRONMENT = _row(
    "SecretOutsideEnvironment", "{detail} refers to $({variable}), a secret that belongs into the program's environment only.",
    "Let the program read the variable {variable} itself.",
)  # fmt: skip
RESERVED_NAME = _row("ReservedName", "Names that begin with wi- are the operator's.", "Rename it.")
RESERVED_PATH = _row(
    "ReservedPath", "Volume '{detail}' is mounted at or below /run/wi, the launcher's folder.", "Mount it elsewhere."
)
FOREIGN_SIDECAR = _row(
    "ForeignSidecar", "It is not what the operator wrote (image {detail}): {object} differs.",
    "Remove it from the pod template. If another webhook changed it: where one rewrites images, set the chart's image to what "
    "it writes; one that takes restartPolicy away does not know native sidecars, update it.",
)  # fmt: skip
WINDOWS_POD = _row(
    "WindowsPod", "Secrets are delivered on Linux nodes only.", "Remove the references, or run the pod on Linux."
)
STATIC_POD = _row(
    "StaticPod", "It is the mirror of a static pod, which runs from a file of its node whatever is admitted here.",
    "Make it a DaemonSet or another pod of the API.",
)  # fmt: skip
HOST_NETWORK_DNS = _row(
    "HostNetworkWithoutClusterDns", "With hostNetwork: true and this dnsPolicy the sidecar cannot find the issuer.",
    "Set dnsPolicy: ClusterFirstWithHostNet.",
)  # fmt: skip
SIDECAR_READABLE = _row(
    "SidecarReadable", "It {detail}, and the pod shares its process namespace: it could read the sidecar's token.",
    "Give it another user and no such capability, or remove shareProcessNamespace and hostPID.",
)  # fmt: skip
SIDECAR_USER_UNKNOWN = _row(
    "SidecarUserUnknown", "The pod shares its process namespace, and the platform chooses the sidecar's user: it may be "
    "the application's own.",
    "Remove shareProcessNamespace and hostPID.",
)  # fmt: skip
EPHEMERAL_SECRET = _row(
    "EphemeralContainerSecret", "An ephemeral container takes no secret.",
    "Put the reference into a container of the pod template.",
)  # fmt: skip
INVALID_DELIVERY = _row(
    "InvalidDelivery", "Annotation identity.crewai.com/delivery: {detail}.",
    "Write exec, envfile, or a list such as web=envfile,worker=exec.",
)  # fmt: skip
ENVFILE_NOT_ALLOWED = _row(
    "EnvfileNotAllowed", "It asks for the delivery mode envfile, which this installation does not allow.",
    "Use the mode exec (set command), or let an administrator set injection.envfile.enabled of the chart: values are "
    "then kept on the node's disk by the container runtime.",
)  # fmt: skip
ENVFILE_NODES = _row(
    "EnvfileNodesTooOld", "The delivery mode envfile needs Kubernetes 1.35 on every Linux node; these are older: {detail}.",
    "Upgrade them, or use the mode exec.",
)  # fmt: skip
ENVFILE_NODES_UNKNOWN = _row(
    "EnvfileNodesUnknown", "The delivery mode envfile needs Kubernetes 1.35 on every Linux node, and none is known.",
    "Wait until the cluster has a node, or use the mode exec.",
)  # fmt: skip
ENVFILE_RESTART = _row(
    "EnvfileRestart", "It may be started again ({detail}), and would then get the values of the pod's first start.",
    "Set restartPolicy: Never, or accept that with the annotation identity.crewai.com/accept-stale-restart: \"true\".",
)  # fmt: skip
LITERAL_NOT_INJECTED = _row(
    "LiteralNotInjected", "A container's env holds a secret:// reference that was not injected.",
    "Set the label identity.crewai.com/inject: \"true\" in the metadata of the pod template; if it is there, look at "
    "MutatingWebhookConfiguration wi-webhook and whether it covers this namespace.",
)  # fmt: skip
TEMPLATE_NOT_LABELLED = _row(
    "TemplateNotLabelled", "The pod template holds secret:// references but lacks the label: its pods will be refused.",
    "Set the label identity.crewai.com/inject: \"true\" in the metadata of the pod template.",
)  # fmt: skip
USE_NOT_ALLOWED = _row(
    "UseNotAllowed", "The user may not use the WorkloadIdentityConfig that the credential links to.",
    "Let an administrator grant the verb use on workloadidentityconfigs.identity.crewai.com in this namespace; without "
    "spec.workloadIdentityRef it is needed on all of them.",
)  # fmt: skip
ROWS = (
    MALFORMED_REFERENCE, VARIABLE_IN_REFERENCE, INVALID_VARIABLE_NAME, VARIABLE_SET_TWICE, IMPOSSIBLE_SECRET_NAME,
    INVALID_INTERPRETER, COMMAND_MISSING, SECRET_OUTSIDE_ENVIRONMENT, RESERVED_NAME, RESERVED_PATH, FOREIGN_SIDECAR,
    WINDOWS_POD, STATIC_POD, HOST_NETWORK_DNS, SIDECAR_READABLE, SIDECAR_USER_UNKNOWN, EPHEMERAL_SECRET,
    INVALID_DELIVERY, ENVFILE_NOT_ALLOWED, ENVFILE_NODES, ENVFILE_NODES_UNKNOWN, ENVFILE_RESTART, LITERAL_NOT_INJECTED,
    TEMPLATE_NOT_LABELLED, USE_NOT_ALLOWED, INVALID_OVERRIDE, REQUEST_OVER_LIMIT,
)  # fmt: skip


def tell(place: str, row: Row, **facts: str) -> str:
    """Return one line: where, the reason, what happened and what to do."""
    diagnosis = row.diagnose(**facts)
    return f"{place}: {diagnosis.reason}: {diagnosis.message}"
