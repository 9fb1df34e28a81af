"""The reference that a pod writes into an env value: ``secret://[credential]/<secret-name>[?version=v][#json_key]``.

Standard library only: the sidecar reads references too.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import unquote

from wi_operator.core.errors import WorkloadIdentityError

SCHEME = "secret://"
FORM = "secret://[credential]/<secret-name>[?version=<version>][#<json-key>]"

_CREDENTIAL = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")
_AZURE_NAME = re.compile(r"[0-9a-zA-Z-]{1,127}")
_AZURE_VERSION = re.compile(r"[0-9a-fA-F]{32}")
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")


class MalformedReferenceError(WorkloadIdentityError):
    """A reference does not parse; ``position`` is the 0-based character where it goes wrong."""

    def __init__(self, problem: str, *, position: int, correction: str = "") -> None:
        hint = f"write {correction}" if correction else f"the form is {FORM}"
        super().__init__(f"{problem} at position {position}; {hint}")
        self.problem = problem
        self.position = position
        self.correction = correction


@dataclass(frozen=True, slots=True)
class Reference:
    """A parsed reference; empty ``credential`` means the namespace's default, empty ``version`` the latest."""

    credential: str
    secret: str
    version: str = ""
    json_key: str = ""

    def __str__(self) -> str:
        version = f"?version={self.version}" if self.version else ""
        key = f"#{self.json_key}" if self.json_key else ""
        return f"{SCHEME}{self.credential}/{self.secret}{version}{key}"


def is_reference(value: str) -> bool:
    """Tell whether an env value claims to be a reference (well-formed or not)."""
    return value.startswith(SCHEME)


def parse(text: str) -> Reference:
    """Parse a reference; raises ``MalformedReferenceError`` with the position and, where it is clear, the correction."""
    if not is_reference(text):
        raise MalformedReferenceError("the scheme must be secret://", position=0)
    body, json_key = _split_fragment(text)
    path, version = _split_version(body)
    credential, slash, secret = path[len(SCHEME) :].partition("/")
    if not slash:
        raise MalformedReferenceError(
            "the secret's name is missing", position=len(path), correction=f"{SCHEME}{credential}/<secret-name>"
        )
    _check_credential(credential)
    start = len(SCHEME) + len(credential) + 1
    return Reference(credential, _decode(secret, start, "secret's name"), version, json_key)


def _split_fragment(text: str) -> tuple[str, str]:
    body, mark, fragment = text.partition("#")
    if not mark:
        return body, ""
    start = len(body) + 1
    key, query_mark, query = fragment.partition("?")
    if query_mark and query.startswith("version="):
        raise MalformedReferenceError(
            "the JSON key stands before the version", position=start + len(key), correction=f"{body}?{query}#{key}"
        )
    return body, _decode(fragment, start, "JSON key", slashes=True)


def _split_version(body: str) -> tuple[str, str]:
    path, mark, query = body.partition("?")
    if not mark:
        return path, ""
    name, equals, value = query.partition("=")
    if name != "version" or not equals or not value or "&" in value or "=" in value:
        raise MalformedReferenceError("after ? only version=<version> is known", position=len(path) + 1)
    return path, _decode(value, len(path) + 1 + len("version="), "version")


def _check_credential(credential: str) -> None:
    if credential and not _CREDENTIAL.fullmatch(credential):
        raise MalformedReferenceError(
            f"{credential!r} is not the name of a SecretProviderCredential (lower-case letters, digits, '-', '.')",
            position=len(SCHEME),
        )


def _decode(part: str, start: int, what: str, *, slashes: bool = False) -> str:
    """Undo percent-encoding once; refuse what could not have been meant."""
    if not part:
        raise MalformedReferenceError(f"the {what} is empty", position=start)
    if bad := _BAD_ESCAPE.search(part):
        raise MalformedReferenceError(
            "a percent sign must be followed by two hexadecimal digits", position=start + bad.start()
        )
    if not slashes and "/" in part:
        raise MalformedReferenceError(f"a slash in the {what}", position=start + part.index("/"))
    try:
        decoded = unquote(part, errors="strict")
    except UnicodeDecodeError:
        raise MalformedReferenceError(f"the {what} is not UTF-8", position=start) from None
    if decoded.isprintable() and " " not in decoded:
        return decoded
    for index, character in enumerate(decoded):
        if not character.isprintable() or (character == " " and what != "JSON key"):
            raise MalformedReferenceError(f"a blank or control character in the {what}", position=start + index)
    return decoded


def azure_secret_name(reference: Reference) -> str:
    """Return the Key Vault name that ``reference`` means: underscores become hyphens.

    Raises ``MalformedReferenceError`` for a name or version that Key Vault cannot have (Microsoft Learn, "Key Vault keys,
    secrets and certificates overview": a name is 1-127 of ``0-9a-zA-Z-``, a version 32 hexadecimal digits).
    """
    start = len(SCHEME) + len(reference.credential) + 1
    name = reference.secret.replace("_", "-")
    if not _AZURE_NAME.fullmatch(name):
        raise MalformedReferenceError(
            f"{reference.secret!r} is no Key Vault name (1 to 127 letters, digits, hyphens; underscores become hyphens)",
            position=start,
        )
    if reference.version and not _AZURE_VERSION.fullmatch(reference.version):
        raise MalformedReferenceError(
            f"{reference.version!r} is no Key Vault version (32 hexadecimal digits)",
            position=start + len(reference.secret) + len("?version="),
        )
    return name


def is_variable_name(name: str) -> bool:
    """Tell whether ``name`` may carry a reference: a letter or underscore, then letters, digits, underscores."""
    return name.isascii() and name.isidentifier()
