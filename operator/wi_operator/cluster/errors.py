"""Errors of the Kubernetes API, by meaning.

ApiError
├── NotFoundError      404
├── ConflictError      409: it exists already, or the resourceVersion is old
├── ForbiddenError     401, 403: our role lacks a rule
└── UnreachableError   no answer, 429 or 5xx: try again

Bodies are dropped unless they are a ``Status``; texts are cut, to limit what can leak into logs.
"""

from __future__ import annotations

import json

from wi_operator.core.errors import WorkloadIdentityError

TEXT_LIMIT = 256


class ApiError(WorkloadIdentityError):
    """The Kubernetes API refused; ``status`` is the HTTP status (0: no answer)."""

    def __init__(self, request: str, status: int, text: str) -> None:
        super().__init__(f"{request}: {status} {text[:TEXT_LIMIT]}")
        self.status = status


class NotFoundError(ApiError):
    """There is no such object."""


class ConflictError(ApiError):
    """The object exists already, or was changed by somebody else."""


class ForbiddenError(ApiError):
    """Our account may not do that."""


class UnreachableError(ApiError):
    """The API server did not answer, or not now."""


class ExpiredVersionError(ApiError):
    """410: a watch must start with a new list."""


_BY_STATUS: dict[int, type[ApiError]] = {
    401: ForbiddenError,
    403: ForbiddenError,
    404: NotFoundError,
    409: ConflictError,
    410: ExpiredVersionError,
    429: UnreachableError,
}


def error_of(request: str, status: int, body: bytes) -> ApiError:
    """Translate an answer of 400 and above."""
    kind = _BY_STATUS.get(status, UnreachableError if status >= 500 else ApiError)
    return kind(request, status, _message(body))


def _message(body: bytes) -> str:
    try:
        document = json.loads(body)
    except ValueError:
        return ""
    return str(document.get("message", "")) if isinstance(document, dict) and document.get("kind") == "Status" else ""
