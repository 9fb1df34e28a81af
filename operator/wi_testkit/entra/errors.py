"""What Entra answers on the wire when it refuses: rows of :mod:`wi_testkit.entra.codes`, filled in."""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from wi_testkit.entra.codes import BY_NUMBER, Code


@dataclass(frozen=True)
class EntraError:
    """One refusal: the row and the text between code and trailer."""

    row: Code
    text: str
    oauth_error: str = ""
    legacy: bool = False

    @property
    def code(self) -> int:
        """Return the AADSTS number."""
        return self.row.number

    @property
    def error(self) -> str:
        """Return the OAuth error."""
        return self.oauth_error or self.row.error

    @property
    def status(self) -> int:
        """Return the HTTP status."""
        return self.row.status

    def body(self, now: float, trace_id: str, correlation_id: str) -> dict[str, Any]:
        """Return the JSON body. The trailer has single spaces in all captures since December 2023, line ends before."""
        moment = datetime.datetime.fromtimestamp(now, datetime.UTC).strftime("%Y-%m-%d %H:%M:%SZ")
        gap = "\r\n" if self.legacy or self.row.legacy else " "
        trailer = gap.join(("", f"Trace ID: {trace_id}", f"Correlation ID: {correlation_id}", f"Timestamp: {moment}"))
        body = {
            "error": self.error,
            "error_description": f"AADSTS{self.code}: {self.text}{trailer}",
            "error_codes": [self.code, *self.row.also],
            "timestamp": moment,
            "trace_id": trace_id,
            "correlation_id": correlation_id,
        }
        uri = {"error_uri": f"https://login.microsoftonline.com/error?code={self.code}"}
        return body | uri if self.row.uri else body


def refusal(code: int, facts: Mapping[str, str] | None = None, *, variant: int = 0, error: str = "") -> EntraError:
    """Return the refusal with this number; ``facts`` fill the text, ``error`` replaces the OAuth error."""
    row = BY_NUMBER[code][variant]
    return EntraError(row, row.text.format_map(facts or {}), error)


def correlation(header: str | None) -> str:
    """Return the caller's ``client-request-id`` if it is a GUID, else a new one."""
    try:
        return str(uuid.UUID(header or ""))
    except ValueError:
        return str(uuid.uuid4())


def seven_digits(moment: float) -> str:
    """Write a time as .NET does: with seven digits of a second."""
    try:
        shown = datetime.datetime.fromtimestamp(moment, datetime.UTC)
    except (OverflowError, ValueError, OSError):
        shown = datetime.datetime.max.replace(tzinfo=datetime.UTC)
    return shown.strftime("%Y-%m-%dT%H:%M:%S.%f") + "0Z"
