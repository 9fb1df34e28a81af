"""What the rows' classes mean in words, and reasons that are no errors; the handbook and ``kubectl wi explain`` say the same."""

from __future__ import annotations

from wi_operator.api import reasons
from wi_operator.federation.diagnosis.base import Retry, Surface

SYMPTOMS = {
    Surface.CONFIG: "condition and event of the WorkloadIdentityConfig",
    Surface.CREDENTIAL: "condition and event of the SecretProviderCredential",
    Surface.KICKOFF: "a refused kickoff (exit code 78, log and termination message)",
    Surface.ADMISSION: "a refusal or warning of the API server",
    Surface.GRANT: "an answer of the issuer, in the sidecar's log",
}
RETRIES = {
    Retry.TRANSIENT: "tried again by itself within seconds to a minute",
    Retry.PROPAGATION: "tried again for 30 minutes, because a change takes time to arrive; then it waits for you",
    Retry.CONFIG: "waits for you; looked at again every 10 minutes",
    Retry.BUG: "a fault of the operator; looked at again every 10 minutes",
}
PLAIN: dict[str, str] = {
    reasons.SUCCEEDED: "What the condition says was proven.",
    reasons.RESOLVED: "The credential's WorkloadIdentityConfig was found.",
    reasons.NOT_TESTED: "Nothing was claimed, because nothing was tried; the message says what to set.",
    reasons.PROGRESSING: "The first check is under way.",
    reasons.ORGANIZATION_CHANGED: "The namespace has another organization: the subject of its assertions is another; create a "
    "federated credential for `status.federation.subject`.",
    reasons.FEDERATED_CREDENTIAL_LIMIT: "More than 18 organizations use one app: Entra allows 20 federated credentials for one.",
    "OrganizationImplicit": "The organization is the namespace's UID: set the annotation "
    "`identity.crewai.com/organization` before creating federated credentials.",
    reasons.DEFAULT_CHANGED: "The credential names no config, and the default of its namespace is another than before.",
}
