"""A table of bad requests: what both emulators' tables have in common."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import aiohttp

ANY_TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{7}Z"


@dataclass(frozen=True)
class Ask:
    """One HTTP request, relative to the emulator's address."""

    method: str
    path: str
    headers: dict[str, str] = field(default_factory=dict)
    form: dict[str, str] | None = None
    json: Any = None


@dataclass(frozen=True)
class Answer:
    """What came back: status, headers (lower-case names) and body."""

    status: int
    headers: dict[str, str]
    body: Any


@dataclass(frozen=True)
class Change:
    """What leaving out one check did: which cases answered differently."""

    check: str
    changed: frozenset[str]

    @property
    def line(self) -> str:
        """Return the row of the printed table."""
        return f"{self.check:32} → {', '.join(sorted(self.changed)) or '(nothing!)'}"


async def send(session: aiohttp.ClientSession, url: str, ask: Ask) -> Answer:
    """Make the request and read the answer, JSON or not."""
    async with session.request(
        ask.method, f"{url}{ask.path}", headers=ask.headers, data=ask.form, json=ask.json, allow_redirects=False
    ) as response:
        is_json = response.content_type == "application/json"
        body = await response.json() if is_json else await response.text()
        return Answer(response.status, {name.lower(): value for name, value in response.headers.items()}, body)


def matches(template: str, text: str) -> bool:
    """Compare with a text in which ``<time>`` stands for any time."""
    return re.fullmatch(re.escape(template).replace("<time>", ANY_TIME), text) is not None


def table(changes: Iterable[Change]) -> str:
    """Return the printed table of a mutation run."""
    return "\n".join(change.line for change in changes)
