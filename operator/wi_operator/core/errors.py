"""The error tree.

WorkloadIdentityError
├── SettingsError       a process was started with settings it cannot use
├── MalformedReferenceError  a ``secret://`` reference does not parse (``api.reference``)
├── ApiError            the Kubernetes API refused or did not answer (``cluster.errors``)
├── KeysError           signing keys are missing or unusable (``federation.keys``)
└── DiagnosedError      carries a diagnosis: reason, cause, remedy (``federation.diagnosis``)
"""


class WorkloadIdentityError(Exception):
    """Base of all errors of the product; the text is fit for a user and holds no secret."""


class SettingsError(WorkloadIdentityError):
    """A setting is missing or malformed; the text names the setting and what to write."""
