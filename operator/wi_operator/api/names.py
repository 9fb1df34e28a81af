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
CA_ANNOTATION = f"{GROUP}/ca-sha256"

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
WEBHOOK_CONFIGURATION = "wi-webhook"

GRANT_AUDIENCE = "wi-issuer"
HANDSHAKE_AUDIENCE = "wi-issuer-controller"

RESERVED_PREFIX = "wi-"
SIDECAR = "wi-sidecar"
TOKEN_VOLUME = "wi-token"  # noqa: S105
NO_API_TOKEN_VOLUME = "wi-no-api-token"  # noqa: S105
RUN_VOLUME_PREFIX = "wi-run-"

RUN_DIR = "/run/wi"
TOKEN_DIR = "/var/run/secrets/identity.crewai.com"  # noqa: S105
"""Not below /var/run/wi: where /var/run links to /run that would hide the sockets."""
API_TOKEN_DIR = "/var/run/secrets/kubernetes.io/serviceaccount"  # noqa: S105

FIELD_MANAGER = "workload-identity-operator"
