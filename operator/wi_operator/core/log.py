"""Structured logging: one JSON object per line, stable keys, no values."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TextIO

from wi_operator.core.clock import format_rfc3339

FIELDS = "wi_fields"
STDERR = 2

Encode = Callable[[Mapping[str, object]], str]

encode_entry: Encode = json.JSONEncoder(default=str, ensure_ascii=False, separators=(",", ":")).encode

_bound: ContextVar[Mapping[str, object]] = ContextVar("wi_bound_fields", default={})  # noqa: B039 - never changed


class JsonFormatter(logging.Formatter):
    """Write ``time level logger message`` and the fields given by ``fields(...)``.

    Tracebacks are reduced to the exception's type: an exception's text may quote a foreign body.
    """

    def __init__(self, encode: Encode = encode_entry) -> None:
        super().__init__()
        self._encode = encode

    def format(self, record: logging.LogRecord) -> str:
        """Render one record as one line of JSON."""
        entry: dict[str, object] = {
            "time": format_rfc3339(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        entry.update(_bound.get())
        entry.update(getattr(record, FIELDS, {}))
        if record.exc_info and record.exc_info[0] is not None:
            entry["exception"] = record.exc_info[0].__name__
        return self._encode(entry)


def fields(**values: object) -> dict[str, dict[str, object]]:
    """Return the ``extra`` argument that adds structured fields to a log call."""
    return {FIELDS: values}


@contextmanager
def bound(**values: object) -> Iterator[None]:
    """Add fields to every line that is logged inside, also by tasks that are started there."""
    token = _bound.set({**_bound.get(), **values})
    try:
        yield
    finally:
        _bound.reset(token)


def configure(level: str = "INFO", stream: TextIO | None = None, *, encode: Encode = encode_entry) -> None:
    """Send all logging to ``stream`` (standard error) as JSON at ``level``.

    ``encode`` writes one entry without line breaks; who logs thousands of lines a second gives a faster one than the
    standard library's.
    """
    # Nothing that the formatter does not print is looked up for each record (Python's Logging HOWTO, "Optimization").
    logging._srcfile = None
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    handler: logging.Handler = logging.StreamHandler(stream) if stream else _Lines()
    handler.setFormatter(JsonFormatter(encode))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)


class _Lines(logging.Handler):
    """Writes each record with one system call, which needs neither a buffer nor a lock."""

    def createLock(self) -> None:  # noqa: N802 - the name is logging's
        self.lock = None

    def emit(self, record: logging.LogRecord) -> None:
        try:
            os.write(STDERR, (self.format(record) + "\n").encode("utf-8", "backslashreplace"))
        except OSError:
            return  # nobody reads: no reason to fail
        except Exception:  # noqa: BLE001 - as logging's own handlers: a line that cannot be written stops nothing
            self.handleError(record)
