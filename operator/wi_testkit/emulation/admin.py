"""Pieces of the admin APIs, and the client that tests and demos use for them."""

from __future__ import annotations

import json
import ssl
import urllib.error
import urllib.request
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

from aiohttp import web

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class RuleError(Exception):
    """The admin asked for something that the real service refuses too, or that does not exist."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


class AdminError(Exception):
    """The admin API refused a call."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"HTTP {status}: {message}")
        self.status = status


@web.middleware
async def rule_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer a broken rule with its reason."""
    try:
        return await handler(request)
    except RuleError as error:
        return web.json_response({"error": str(error)}, status=error.status)


async def json_object(request: web.Request) -> dict[str, Any]:
    """Read the request's JSON object; an empty body is an empty object."""
    raw = await request.read()
    try:
        body = json.loads(raw) if raw else {}
    except ValueError as error:
        raise RuleError(f"the body is not JSON: {error}") from error
    if not isinstance(body, dict):
        raise RuleError("the body must be a JSON object")
    return body


class AdminClient:
    """A blocking client of an admin API; standard library only, so that demos need nothing else."""

    def __init__(self, url: str, token: str, ca: Path) -> None:
        self.url = url
        self._token = token
        # The environment's proxies would be asked for loopback addresses too.
        self._opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}),
            urllib.request.HTTPSHandler(context=ssl.create_default_context(cafile=str(ca))),
        )

    def call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """Make one call and return the JSON answer."""
        request = urllib.request.Request(f"{self.url}/_admin/{path}", method=method)
        request.add_header("Authorization", f"Bearer {self._token}")
        data = json.dumps(body).encode() if body is not None else None
        try:
            with self._opener.open(request, data, timeout=10) as response:
                return json.load(response)
        except urllib.error.HTTPError as error:
            with error:
                raise AdminError(error.code, error.read().decode(errors="replace")) from error

    def put(self, path: str, body: dict[str, Any] | None = None) -> Any:
        """PUT a JSON object."""
        return self.call("PUT", path, body or {})

    def requests(self) -> list[dict[str, Any]]:
        """Return the journal."""
        return list(self.call("GET", "requests"))

    def forget_requests(self) -> None:
        """Empty the journal."""
        self.call("DELETE", "requests")

    def add_fault(self, act: Mapping[str, Any], *, realm: str = "", name: str = "", **options: Any) -> str:
        """Let a fault happen (see :mod:`wi_testkit.emulation.faults` for its members) and return its id.

        ``act`` is one of :mod:`wi_testkit.emulation.acts`; ``options``: times, probability, seed, operation, authenticated.
        """
        fault = self.call("POST", "faults", {**act, **options, "realm": realm, "name": name})
        return str(fault["id"])

    def heal(self, fault: str = "") -> None:
        """Remove a fault, or all of them."""
        self.call("DELETE", f"faults/{fault}" if fault else "faults")

    def faults(self) -> list[dict[str, Any]]:
        """Return all faults; ``fired`` tells how often each has happened."""
        return list(self.call("GET", "faults"))

    def set(self, **settings: Any) -> dict[str, Any]:
        """Change settings by their JSON names and return all of them."""
        return dict(self.call("PATCH", "settings", settings))

    def settings(self) -> dict[str, Any]:
        """Return the settings."""
        return dict(self.call("GET", "settings"))

    def codes(self) -> list[dict[str, Any]]:
        """Return every error that a fault can answer by its code."""
        return list(self.call("GET", "codes"))

    def cpu_seconds(self) -> float:
        """Return the CPU time that the emulator's process has used so far."""
        return float(self.call("GET", "usage")["cpuSeconds"])
