"""What a user is told instead of a traceback: one sentence and the remedy. Pure."""

from __future__ import annotations

import re

from wi_operator.api import names
from wi_operator.cli.exits import Exit
from wi_operator.cluster.errors import ApiError, ConflictError, ForbiddenError, NotFoundError, UnreachableError
from wi_operator.core.errors import SettingsError, WorkloadIdentityError

INSTALL = (
    "helm upgrade --install workload-identity-operator … --namespace wi-system --create-namespace (docs: README, chart)"
)
_OBJECT = re.compile(rf"/apis/{re.escape(names.GROUP)}/[^/ ]+(?:/namespaces/([^/ ]+))?/([a-z]+)(?:/([^ :?]+))?")


class Complaint(WorkloadIdentityError):  # noqa: N818 - it is what a user reads
    """Ends a command with ``text`` and an exit code."""

    def __init__(self, text: str, code: Exit = Exit.CANNOT) -> None:
        super().__init__(text)
        self.code = code


def explain(error: WorkloadIdentityError) -> Complaint:
    """Return what to say of an error."""
    if isinstance(error, Complaint):
        return error
    if isinstance(error, SettingsError):
        return Complaint(
            f"{_sentence(str(error))} Choose one with --kubeconfig or --context; `kubectl config view` shows what there is."
        )
    return Complaint(_of_api(error)) if isinstance(error, ApiError) else Complaint(str(error))


def _of_api(error: ApiError) -> str:
    if isinstance(error, UnreachableError):
        return f"The API server did not answer ({error}). Look at `kubectl cluster-info`; --context chooses another cluster."
    if isinstance(error, ForbiddenError):
        return _of_forbidden(error)
    if isinstance(error, NotFoundError):
        return _of_missing(error)
    if isinstance(error, ConflictError):
        return f"Somebody else changed the object at the same moment ({error}). Run the command again."
    return f"The API server refused: {error}."


def _of_forbidden(error: ApiError) -> str:
    if error.status == 401:
        return "The API server does not know who you are (401). Log in again: the kubeconfig's token or certificate has ended."
    what = str(error).partition(": 403 ")[2] or str(error)
    return (
        f"You may not do that: {_sentence(what)} Ask for a role: workload-identity-configs-manager and "
        "secret-providers-manager in a namespace, cluster-admin for wi-system."
    )


def _of_missing(error: ApiError) -> str:
    found = _OBJECT.search(str(error))
    if found is None:
        return f"There is no such object ({error})."
    namespace, plural, name = found.groups()
    # An unknown resource and an unknown object are both 404; the first has no Status that names an object.
    if name is None or "not found" not in str(error):
        return f"The operator is not installed in this cluster: it does not know {plural}.{names.GROUP}. Install it: {INSTALL}."
    kind = {names.CONFIG_PLURAL: names.CONFIG_SHORT, names.CREDENTIAL_PLURAL: names.CREDENTIAL_SHORT}.get(
        plural, plural
    )
    there = f"There is no {kind} '{name}' in namespace '{namespace}'."
    return f"{there} `kubectl get {kind} -A` lists them; -n chooses the namespace."


def _sentence(text: str) -> str:
    text = text.strip()
    return text if text.endswith(".") else text + "."
