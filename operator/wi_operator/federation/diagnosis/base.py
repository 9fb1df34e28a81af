"""What a row of the diagnosis table is, and how it becomes a message.

One row per error; conditions, events, logs, the command line and kickoff errors print the same row.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from wi_operator.core.errors import WorkloadIdentityError


class Retry(Enum):
    """What time can do about an error."""

    TRANSIENT = "transient"  # likely gone in seconds: retry with backoff
    PROPAGATION = "propagation"  # a change needs minutes to arrive: keep retrying, then treat as CONFIG
    CONFIG = "config"  # a human must change something; slow retry
    BUG = "bug"  # ours: no tight retry


class Provenance(Enum):
    """How well the vendor's code or text is known."""

    CAPTURED = "captured"  # seen in a real answer
    DOCUMENTED = "documented"  # in the vendor's documentation
    ASSUMED = "assumed"  # inferred


class Surface(Enum):
    """Where a row can be met."""

    CONFIG = "WorkloadIdentityConfig condition"
    CREDENTIAL = "SecretProviderCredential condition"
    KICKOFF = "kickoff error"
    ADMISSION = "admission answer"
    GRANT = "grant answer"


@dataclass(frozen=True, slots=True)
class Row:
    """One row. ``cause`` and ``remedy`` are ``str.format`` templates over the facts of the case."""

    code: str
    reason: str
    cause: str
    remedy: str
    retry: Retry
    provenance: Provenance
    surfaces: frozenset[Surface] = field(default=frozenset({Surface.CONFIG, Surface.CREDENTIAL, Surface.KICKOFF}))

    @property
    def anchor(self) -> str:
        """The heading in ``docs/troubleshooting.md``."""
        return self.reason.lower()

    def diagnose(self, *, text: str = "", trace_id: str = "", correlation_id: str = "", **facts: str) -> Diagnosis:
        """Fill the templates with ``facts``; a fact that is missing shows as ``<name>``."""
        known = _Facts(facts)
        return Diagnosis(
            row=self,
            cause=self.cause.format_map(known),
            remedy=self.remedy.format_map(known),
            text=text,
            trace_id=trace_id,
            correlation_id=correlation_id,
        )


class _Facts(dict[str, str]):
    def __missing__(self, key: str) -> str:
        return f"<{key}>"


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """A row applied to a case: stable text, safe to show; never holds a token or a value.

    ``text`` is the cloud's own sentence without its trailer of trace id and time; those would change
    the message at every retry and are kept apart in ``trace_id`` and ``correlation_id``.
    """

    row: Row
    cause: str
    remedy: str
    text: str = ""
    trace_id: str = ""
    correlation_id: str = ""
    retry_after: float | None = None

    @property
    def reason(self) -> str:
        """CamelCase reason, as conditions use it."""
        return self.row.reason

    @property
    def code(self) -> str:
        """The vendor's code, for example ``AADSTS700213``."""
        return self.row.code

    @property
    def message(self) -> str:
        """What happened and what to do, in one line."""
        return f"{self.code}: {self.cause} {self.remedy}" if self.code != self.reason else f"{self.cause} {self.remedy}"


class DiagnosedError(WorkloadIdentityError):
    """An operation failed and it is known why; ``diagnosis`` says what to do."""

    def __init__(self, diagnosis: Diagnosis) -> None:
        super().__init__(f"{diagnosis.reason}: {diagnosis.message}")
        self.diagnosis = diagnosis
