"""The file that the kubelet reads for ``fileKeyRef``: ``NAME='value'`` lines (Kubernetes 1.36, kubelet ``ParseEnv``).

A value stands between single quotes and is taken literally, also over several lines; nothing is escaped. So a quote
cannot be written, a carriage return before a line's end is lost, a NUL cannot stand in an environment at all, an empty
value means "not found", and a line of 64 KiB is refused. A value that could end its quotes could set another variable.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

QUOTE = "'"
LINE_BYTES = 65000
"""Longest line written: the kubelet's scanner ends at 64 KiB with the line's end."""
VALUE_BYTES = 131000
"""Longest value: Linux takes 128 KiB for one ``NAME=VALUE`` with its NUL (MAX_ARG_STRLEN)."""


class EnvFileError(Exception):
    """A file is not what the kubelet would read as the values that were meant; the text holds no value."""


def find_problem(value: str) -> str:
    """Say why a value cannot be written; empty if it can."""
    if not value:
        return "it is empty, which the kubelet takes for missing"
    for character, name in ((QUOTE, "a single quote"), ("\r", "a carriage return"), ("\0", "a NUL")):
        if character in value:
            return f"it holds {name}"
    encoded = value.encode()
    # The first line also holds the name, which is short; the limit leaves room for it.
    if len(encoded) > VALUE_BYTES or any(len(line) > LINE_BYTES for line in encoded.split(b"\n")):
        return "it is larger than the kubelet reads (64 KiB for a line, 128 KiB for all)"
    return ""


def render(values: Mapping[str, str]) -> str:
    """Write the file; raises ``EnvFileError`` for a value that ``find_problem`` complains about."""
    for name, value in values.items():
        if problem := find_problem(value):
            raise EnvFileError(f"{name}: {problem}")
    return "".join(f"{name}={QUOTE}{value}{QUOTE}\n" for name, value in values.items())


def parse(text: str) -> dict[str, str]:
    """Read a file as the kubelet does, all of it; of two assignments the first counts. Raises ``EnvFileError``."""
    lines = iter(_scan(text))
    values: dict[str, str] = {}
    for line in lines:
        line = line.lstrip(" \t")
        if not line or line.startswith("#"):
            continue
        name, equals, rest = line.partition("=")
        if not equals or not name or name != name.rstrip(" \t"):
            raise EnvFileError("a line is no assignment")
        if rest != rest.lstrip(" \t"):
            values.setdefault(name, "")
            continue
        if not rest.startswith(QUOTE):
            raise EnvFileError("a value does not begin with a quote")
        parts = [rest[1:]]
        while QUOTE not in parts[-1]:
            following = next(lines, None)
            if following is None:
                raise EnvFileError("a quote is not closed")
            parts.append(following)
        value, _, tail = parts.pop().partition(QUOTE)
        if tail.lstrip(" \t")[:1] not in {"", "#"}:
            raise EnvFileError("something follows a closing quote")
        values.setdefault(name, "\n".join([*parts, value]))
    return values


def check_file(path: str, wanted: Mapping[str, str]) -> None:
    """Read ``path`` again as the kubelet will; raises ``EnvFileError`` unless it says exactly ``wanted``."""
    with open(path, "rb") as file:
        data = file.read()
    if parse(data.decode()) != dict(wanted):
        raise EnvFileError(f"{os.path.basename(path)} does not read as it was meant")


def _scan(text: str) -> list[str]:
    """Split into lines as the kubelet's scanner does: without the carriage return before a line's end."""
    lines = text.split("\n")
    if lines[-1] == "":
        lines.pop()
    for line in lines:
        if len(line.encode()) + 1 >= 65536:
            raise EnvFileError("a line is too long")
    return [line.removesuffix("\r") for line in lines]
