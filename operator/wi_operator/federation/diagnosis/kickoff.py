"""What can go wrong inside a kickoff itself: with a value, with its declaration, with the sidecar."""

from __future__ import annotations

from wi_operator.federation.diagnosis.base import Provenance, Retry, Row, Surface

SURFACES = frozenset({Surface.KICKOFF})


def _row(reason: str, cause: str, remedy: str, retry: Retry = Retry.CONFIG) -> Row:
    return Row(reason, reason, cause, remedy, retry, Provenance.ASSUMED, SURFACES)


VALUE_NOT_REPRESENTABLE = _row(
    "ValueNotRepresentable", "The value of secret '{secret}' cannot stand in an environment variable: {detail}.",
    "Environment variables hold text without NUL, up to 128 KiB: store it encoded (base64), or read it from the vault in "
    "the application.",
)  # fmt: skip
VALUE_NOT_JSON = _row(
    "ValueNotJson", "The reference asks for a JSON key, but secret '{secret}' is no JSON object.",
    "Remove #{json_key} from the reference, or store a JSON object.",
)  # fmt: skip
JSON_KEY_NOT_FOUND = _row(
    "JsonKeyNotFound", "The JSON object in secret '{secret}' has no key '{json_key}'.",
    "Correct the part after # in the reference (case counts), or add the key to the secret.",
)  # fmt: skip
INVALID_SECRET_NAME = _row("InvalidSecretName", "{detail}.", "Correct the reference in the container's env.")
LITERAL_REFERENCE = _row(
    "LiteralReference", "A variable still holds a secret:// reference, and no value.",
    "It came from a ConfigMap, a Secret or envFrom; write the reference into `env` of the container.",
)  # fmt: skip
SIDECAR_UNREACHABLE = _row(
    "SidecarUnreachable", "The workload identity sidecar did not answer.",
    "Look at the sidecar with `kubectl logs <pod> -c wi-sidecar --previous` and without.", Retry.TRANSIENT,
)  # fmt: skip
SIDECAR_BUSY = _row(
    "SidecarBusy", "Too many kickoffs wait in this pod at once.",
    "Start fewer at a time: one sidecar serves a few in parallel and keeps a short queue.", Retry.TRANSIENT,
)  # fmt: skip
VALUE_NOT_IN_FILE = _row(
    "ValueNotInFile", "The value cannot be delivered in the mode envfile: {detail}.",
    "Store it encoded (base64), or use the delivery mode exec for this container.",
)  # fmt: skip
ENVFILE_NOT_WRITTEN = _row(
    "EnvfileNotWritten", "The file for the kubelet could not be written: {detail}.",
    "Look at volume wi-env of the pod; if it is there and writable, report it.", Retry.BUG,
)  # fmt: skip
OUT_OF_TIME = _row(
    "KickoffOutOfTime", "The kickoff's time of {detail} s was over before this secret was read.",
    "Try again; if it stays, look at the way to vault and identity provider.", Retry.TRANSIENT,
)  # fmt: skip
INTERNAL_ERROR = _row(
    "InternalError", "The sidecar failed with {detail}.", "This is a fault of the operator: report it.", Retry.BUG
)
COMMAND_NOT_FOUND = _row(
    "CommandNotFound", "The container's command is not in its image.", "Correct `command` of the container."
)
COMMAND_NOT_EXECUTABLE = _row(
    "CommandNotExecutable", "The container's command cannot be run.",
    "Make it executable in the image, and give a script its #! line.",
)  # fmt: skip
CREWAI_TOO_OLD = _row(
    "CrewAITooOld", "The installed CrewAI is older than the runtime hook knows.",
    "Install CrewAI 1.14.5 or newer, or set the annotation identity.crewai.com/hook to \"false\" and restart the pod for "
    "every rotation.",
)  # fmt: skip
ROWS = (
    VALUE_NOT_REPRESENTABLE, VALUE_NOT_JSON, JSON_KEY_NOT_FOUND, INVALID_SECRET_NAME, LITERAL_REFERENCE,
    SIDECAR_UNREACHABLE, SIDECAR_BUSY,
    VALUE_NOT_IN_FILE, ENVFILE_NOT_WRITTEN, OUT_OF_TIME, INTERNAL_ERROR, COMMAND_NOT_FOUND, COMMAND_NOT_EXECUTABLE,
    CREWAI_TOO_OLD,
)  # fmt: skip
