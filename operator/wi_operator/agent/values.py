"""From a secret's text to a variable's value: JSON keys, and what an environment can hold."""

from __future__ import annotations

import json
from typing import Any, NoReturn

from wi_operator.api.reference import Reference
from wi_operator.core.secret import SecretValue
from wi_operator.federation.diagnosis import kickoff
from wi_operator.federation.diagnosis.base import DiagnosedError


class _Number(str):
    """A JSON number as it was written: reading it as a float could change it."""

    __slots__ = ()


def extract(value: SecretValue, reference: Reference) -> SecretValue:
    """Return the value that ``reference`` means; raises ``DiagnosedError``."""
    text = value.reveal()
    if reference.json_key:
        text = _member(text, reference)
    problem = _problem(text)
    if problem:
        raise DiagnosedError(kickoff.VALUE_NOT_REPRESENTABLE.diagnose(secret=reference.secret, detail=problem))
    return SecretValue(text)


def _member(text: str, reference: Reference) -> str:
    facts = {"secret": reference.secret, "json_key": reference.json_key}
    try:
        document = json.loads(text, parse_int=_Number, parse_float=_Number, parse_constant=_refuse)
        if not isinstance(document, dict):
            raise DiagnosedError(kickoff.VALUE_NOT_JSON.diagnose(**facts))
        if reference.json_key not in document:
            raise DiagnosedError(kickoff.JSON_KEY_NOT_FOUND.diagnose(**facts))
        return _as_text(document[reference.json_key], text, reference.json_key)
    except (ValueError, RecursionError):
        # The parser's error quotes the document: it is not kept as the cause.
        raise DiagnosedError(kickoff.VALUE_NOT_JSON.diagnose(**facts)) from None


def _as_text(member: Any, text: str, key: str) -> str:
    if isinstance(member, str):
        return str(member)
    return json.dumps(json.loads(text)[key], separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def _refuse(constant: str) -> NoReturn:
    raise ValueError("NaN and Infinity are not JSON")


def _problem(text: str) -> str:
    if "\0" in text:
        return "it holds a NUL character"
    try:
        text.encode()
    except UnicodeEncodeError:
        return "it is not valid Unicode text"
    return ""
