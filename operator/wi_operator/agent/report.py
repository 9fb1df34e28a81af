"""What a kickoff tells: its log lines, fingerprints, and the one error that lists every variable."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from wi_operator.api.reference import Reference
from wi_operator.core.secret import SecretValue
from wi_operator.federation.diagnosis.base import Diagnosis

FINGERPRINT_LENGTH = 12


@dataclass(frozen=True, slots=True)
class Failure:
    """A variable that has no value, and why."""

    variable: str
    reference: Reference
    diagnosis: Diagnosis


def resolved_line(config: str, count: int) -> str:
    """Return the line that says how many variables came through a configuration ``namespace/name``."""
    return f"Workload identity config '{config}' (azure): {count} secret(s) resolved"


def with_kickoff(line: str, kickoff: str) -> str:
    """Return a line as an application's log gets it: with the id under which the sidecar's log tells the rest."""
    return f"{line} kickoff={kickoff}"


def fingerprint(key: bytes, value: SecretValue) -> str:
    """Return a keyed digest that tells two values apart and nothing else; empty without a key.

    Without the key, a digest of a short password could be reversed by trying.
    """
    if not key:
        return ""
    return hmac.new(key, value.reveal().encode(), hashlib.sha256).hexdigest()[:FINGERPRINT_LENGTH]


def error_lines(failures: Sequence[Failure], total: int) -> list[str]:
    """Return the error of a kickoff: every variable that failed, why, and what to do; equal faults are told once."""
    groups: dict[tuple[str, str], list[Failure]] = {}
    for failure in failures:
        groups.setdefault((failure.diagnosis.reason, failure.diagnosis.message), []).append(failure)
    lines = [f"Workload identity kickoff failed: {len(failures)} of {total} secret variable(s) have no value."]
    lines += [_group_line(group) for group in groups.values()]
    return lines


def log_failures(failures: Iterable[Failure]) -> list[dict[str, str]]:
    """Return the failures as structured fields."""
    return [
        {
            "variable": failure.variable,
            "reference": str(failure.reference),
            "reason": failure.diagnosis.reason,
            "code": failure.diagnosis.code,
            "text": failure.diagnosis.text,
            "trace_id": failure.diagnosis.trace_id,
            "correlation_id": failure.diagnosis.correlation_id,
        }
        for failure in failures
    ]


def _group_line(group: Sequence[Failure]) -> str:
    diagnosis = group[0].diagnosis
    names = ", ".join(f"{failure.variable} ({failure.reference})" for failure in group)
    trace = f" Trace id {diagnosis.trace_id}." if diagnosis.trace_id else ""
    return f"{names}: {diagnosis.reason}: {diagnosis.message}{trace}"
