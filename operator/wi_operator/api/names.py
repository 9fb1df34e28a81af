"""Names that users and other processes see: group, labels, annotations, objects, paths."""

GROUP = "identity.crewai.com"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
CATEGORY = "identity"

CONFIG_KIND = "WorkloadIdentityConfig"
CONFIG_PLURAL = "workloadidentityconfigs"
CONFIG_SHORT = "wic"
CREDENTIAL_KIND = "SecretProviderCredential"
CREDENTIAL_PLURAL = "secretprovidercredentials"
CREDENTIAL_SHORT = "spcred"

INJECT_LABEL = f"{GROUP}/inject"
ALLOW_LITERALS_LABEL = f"{GROUP}/allow-literal-references"
"""On a namespace: "true" opts it out of the policy against literal references."""

ORGANIZATION_ANNOTATION = f"{GROUP}/organization"
TEST_ANNOTATION = f"{GROUP}/test-connection"
WARNINGS_ANNOTATION = f"{GROUP}/injection-warnings"
PYTHON_ANNOTATION = f"{GROUP}/python"
SIDECAR_LOG_LEVEL_ANNOTATION = f"{GROUP}/sidecar-log-level"
SIDECAR_RESOURCE_ANNOTATIONS = {
    f"{GROUP}/sidecar-{resource}-{kind}": (f"{kind}s", resource)
    for resource in ("cpu", "memory")
    for kind in ("request", "limit")
}
"""Annotation → where it stands in a container's resources."""
DELIVERY_ANNOTATION = f"{GROUP}/delivery"
STALE_RESTART_ANNOTATION = f"{GROUP}/accept-stale-restart"
HOOK_ANNOTATION = f"{GROUP}/hook"
"""On a pod: "false" keeps the runtime hook out of its containers; the launcher still sets the values at their start."""
CA_ANNOTATION = f"{GROUP}/ca-sha256"

KIDS_ANNOTATION = f"{GROUP}/kids"
"""On the Secret of the signing keys: their ids, so that nobody has to read the keys to know them."""
ROTATE_ANNOTATION = f"{GROUP}/rotate"
"""On the Secret of the signing keys or of the internal CA: any new value begins a rotation."""
TAINT_ANNOTATION = f"{GROUP}/taint"
"""On the Secret of the signing keys: the id of a key that is out of the key set at once."""
CONFIRM_ANNOTATION = f"{GROUP}/confirm-published"
"""Likewise: the id of a key whose publication an administrator has seen, where the cluster cannot."""
ACCEPT_LOSS_ANNOTATION = f"{GROUP}/accept-key-loss"
"""On the record of the signing keys: the id of a lost key that is given up."""
VERIFY_LABEL = f"{GROUP}/verify-rotation"
"""On a Job that `kubectl wi verify-rotation` made: the one it is a copy of."""
ROTATE_NOW_ANNOTATION = f"{GROUP}/rotate-now"
"""On the Secret of the internal CA: any new value stops waiting for pods that do not know the next CA."""

SYSTEM_NAMESPACE = "wi-system"
CONTROLLER = "wi-controller"
ISSUER = "wi-issuer"
WEBHOOK = "wi-webhook"
GRANTS_SERVICE = "wi-issuer-grants"
CA_SECRET = "wi-internal-ca"  # noqa: S105 - the name of an object
ISSUER_TLS_SECRET = "wi-issuer-tls"  # noqa: S105
WEBHOOK_TLS_SECRET = "wi-webhook-tls"  # noqa: S105
KEYS_SECRET = "wi-issuer-keys"  # noqa: S105
STATE_CONFIGMAP = "wi-issuer-state"
CA_CONFIGMAP = "wi-ca-bundle"
ORGANIZATION_POLICY = "wi-organization"
WEBHOOK_CONFIGURATION = "wi-webhook"

GRANT_AUDIENCE = "wi-issuer"
HANDSHAKE_AUDIENCE = "wi-issuer-controller"

RESERVED_PREFIX = "wi-"
SIDECAR = "wi-sidecar"
ENV_WRITER = "wi-env"
TOKEN_VOLUME = "wi-token"  # noqa: S105
NO_API_TOKEN_VOLUME = "wi-no-api-token"  # noqa: S105
RUN_VOLUME_PREFIX = "wi-run-"
ENV_VOLUME = "wi-env"

RUN_DIR = "/run/wi"
ENV_DIR = "/run/wi-env"
TOKEN_DIR = "/var/run/secrets/identity.crewai.com"  # noqa: S105
"""Not below /var/run/wi: where /var/run links to /run that would hide the sockets."""
API_TOKEN_DIR = "/var/run/secrets/kubernetes.io/serviceaccount"  # noqa: S105

FIELD_MANAGER = "workload-identity-operator"
