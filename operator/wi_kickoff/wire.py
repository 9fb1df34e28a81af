"""The exchange between a container and its sidecar, over the unix stream socket ``kickoff.sock``.

Request: one line, ``wi1 kickoff <source>``. Reply, until end of file: NUL-terminated fields, first ``wi1 ok`` or
``wi1 error``, then tagged fields, last ``.``; a reply without that last field was cut off and must not be used.
Standard library only. ``launch.py`` and ``trouble.py`` stand alone and repeat the constants they need.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

SOCKET_NAME = "kickoff.sock"
LAUNCHER_NAME = "launch.py"
STARTED_NAME = "started"
FILES = (LAUNCHER_NAME, "trouble.py")
"""What the sidecar copies from this package into each container's folder."""
SITE_NAME = "sitecustomize.py"
HOOK_FOLDER = "hook"
"""Beside the launcher, for the application's ``PYTHONPATH``: ``sitecustomize.py`` and this package."""

PROTOCOL = "wi1"
VERB = "kickoff"
CHECK = "check"
SOURCES = ("launcher", "envfile", "hook", "api", CHECK)
"""Who asks; a ``check`` reads everything, and is told about values instead of the values."""
TOLD_ID = ("hook", "api", CHECK)
MAX_REQUEST = 128
"""Bytes of a request, with its line end."""

HEAD_OK = "wi1 ok"
HEAD_ERROR = "wi1 error"
END = "."
VALUE = "v"
TEMPLATE = "t"
LOG_LINE = "l"
MESSAGE = "m"
RETRY = "r"
"""In an error: seconds after which asking again makes sense (the sidecar's queue was full)."""
KICKOFF = "k"
"""The kickoff's id; not sent to the launcher, which takes every other tag for a variable's."""
INFORMATION = "i"
"""In the answer to a ``check``: variable, version, age in seconds, fingerprint and reference, separated by tabs."""
TAGS = (VALUE, TEMPLATE, LOG_LINE, MESSAGE, RETRY, KICKOFF, INFORMATION)

EXIT_CODE = 78
"""Exit code of a kickoff that failed (``EX_CONFIG`` of sysexits.h): the application was not started."""
TERMINATION_LIMIT = 4096
"""Bytes that the kubelet keeps of a termination message."""
TERMINATION_LOG = "/dev/termination-log"
RETRY_SECONDS = 5
"""How long a client tries again when the sidecar cannot be reached or breaks off: it may be restarting."""
REPLY_SECONDS = 65
"""How long a client waits for a reply: the largest budget that a sidecar may be given (60 s) and some."""


class WireError(Exception):
    """The other side did not speak this protocol; the text never quotes what it sent."""


class TruncatedReplyError(WireError):
    """The reply ended before its last field: the sidecar ended in between; trying again is right."""


@dataclass(frozen=True, slots=True)
class Field:
    """One tagged field of a reply; ``repr`` leaves the content out, it may be a value."""

    tag: str
    text: str

    def __repr__(self) -> str:
        return f"Field(tag={self.tag!r})"


@dataclass(frozen=True, slots=True)
class Reply:
    """A complete reply; its fields keep the order of the container's environment."""

    ok: bool
    fields: tuple[Field, ...]


def encode_request(source: str) -> bytes:
    """Return the request line for one of ``SOURCES``."""
    return f"{PROTOCOL} {VERB} {source}\n".encode()


def decode_request(line: bytes) -> str:
    """Return the source; raises ``WireError`` on anything but a known request."""
    for source in SOURCES:
        if line == encode_request(source):
            return source
    raise WireError(f"not a request of protocol {PROTOCOL}")


def encode_reply(reply: Reply) -> bytes:
    """Return the reply's bytes; raises ``WireError`` for a field that cannot travel (NUL, lone surrogate)."""
    head = HEAD_OK if reply.ok else HEAD_ERROR
    return b"".join(_encode(text) for text in (head, *_tagged(reply.fields), END))


def decode_reply(data: bytes) -> Reply:
    """Read a whole reply; raises ``TruncatedReplyError`` or ``WireError``."""
    parts = data.split(b"\0")
    if parts[-2:] != [END.encode(), b""]:
        raise TruncatedReplyError("the reply was cut off")
    head, *rest = (_decode(part) for part in parts[:-2])
    if head not in (HEAD_OK, HEAD_ERROR):
        raise WireError(f"not a reply of protocol {PROTOCOL}")
    return Reply(head == HEAD_OK, tuple(_field(part) for part in rest))


def _tagged(fields: Iterable[Field]) -> Iterable[str]:
    return (f"{field.tag} {field.text}" for field in fields)


def _encode(text: str) -> bytes:
    if "\0" in text:
        # A NUL in a value would end the field, and what follows would be read as fields of its own.
        raise WireError("a field holds NUL")
    try:
        return text.encode() + b"\0"
    except UnicodeEncodeError:
        raise WireError("a field is not Unicode text") from None


def _decode(part: bytes) -> str:
    try:
        return part.decode()
    except UnicodeDecodeError:
        raise WireError("a field is not UTF-8") from None


def _field(part: str) -> Field:
    tag, blank, text = part.partition(" ")
    if tag not in TAGS or not blank:
        raise WireError("a field has an unknown tag")
    return Field(tag, text)
