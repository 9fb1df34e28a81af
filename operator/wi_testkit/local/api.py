"""A blocking client of the API server for tests with thousands of calls: one connection per thread, no kubectl."""

from __future__ import annotations

import base64
import http.client
import json
import re
import ssl
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

Item = dict[str, Any]

THREADS = 6
APPLY = "application/apply-patch+yaml"
MERGE = "application/merge-patch+json"
MANAGER = "wi-testkit"


class CallError(RuntimeError):
    """The API server refused."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"HTTP {status}: {message}")
        self.status = status


class Api:
    """Calls as the user of a kubeconfig that holds its certificates."""

    def __init__(self, kubeconfig: Path) -> None:
        document = json.loads(kubeconfig.read_text())
        cluster, user = document["clusters"][0]["cluster"], document["users"][0]["user"]
        self.server = str(cluster["server"])
        self._context = ssl.create_default_context(cadata=_decode(cluster["certificate-authority-data"]))
        with tempfile.NamedTemporaryFile("w") as pair:  # ssl reads a client's certificate from files only
            pair.write(_decode(user["client-certificate-data"]) + _decode(user["client-key-data"]))
            pair.flush()
            self._context.load_cert_chain(pair.name)
        self._connections = threading.local()

    def call(self, method: str, path: str, body: Any = None, *, content_type: str = "application/json") -> Item:
        """Return the JSON answer; raises ``CallError``."""
        status, data = self._send(method, path, None if body is None else json.dumps(body), content_type)
        answer: Item = json.loads(data) if data else {}
        if status >= 400:
            raise CallError(status, str(answer.get("message", "")))
        return answer

    def _send(self, method: str, path: str, data: str | None, content_type: str) -> tuple[int, bytes]:
        headers = {"Content-Type": content_type, "Accept": "application/json"}
        for last in (False, True):
            connection = self._connection()
            try:
                connection.request(method, path, data, headers)
                response = connection.getresponse()
                return response.status, response.read()
            except (OSError, http.client.HTTPException):
                # The server closes connections that were idle for minutes.
                del self._connections.one
                if last:
                    raise
        raise AssertionError("unreachable")

    def _connection(self) -> http.client.HTTPSConnection:
        if not hasattr(self._connections, "one"):
            self._connections.one = self._connect(timeout=60)
        connection: http.client.HTTPSConnection = self._connections.one
        return connection

    def _connect(self, timeout: float | None) -> http.client.HTTPSConnection:
        parts = urlsplit(self.server)
        return http.client.HTTPSConnection(
            parts.hostname or "", parts.port or 443, context=self._context, timeout=timeout
        )

    def get(self, path: str) -> Item:
        """Read."""
        return self.call("GET", path)

    def apply(self, path: str, item: Item) -> Item:
        """Server-side apply."""
        return self.call("PATCH", f"{path}?fieldManager={MANAGER}&force=true", item, content_type=APPLY)

    def merge(self, path: str, patch: Item) -> Item:
        """Apply a merge patch."""
        return self.call("PATCH", path, patch, content_type=MERGE)

    def delete(self, path: str) -> None:
        """Delete an object or a collection; what is not there is fine."""
        try:
            self.call("DELETE", path)
        except CallError as error:
            if error.status != 404:
                raise

    def list(self, path: str) -> list[Item]:
        """Read a whole collection."""
        return list(self.get(path)["items"])

    def watch(self, path: str, version: str, stop: threading.Event) -> Iterator[Item]:
        """Yield the events of a watch until ``stop`` is set, noticing it at the next event or bookmark."""
        connection = self._connect(timeout=None)
        connection.request("GET", f"{path}?watch=true&resourceVersion={version}&timeoutSeconds=3600")
        response = connection.getresponse()
        try:
            while not stop.is_set() and (line := response.readline()):
                yield json.loads(line)
        finally:
            connection.close()

    def count(self, metric: str, **labels: str) -> float:
        """Return the sum of a metric of the API server over the series with these labels."""
        status, data = self._send("GET", "/metrics", None, "text/plain")
        if status != 200:
            raise CallError(status, "no metrics")
        total = 0.0
        for name, text, value in re.findall(r"^(\w+)\{(.*)\} (\S+)$", data.decode(), re.MULTILINE):
            if name == metric and all(f'{label}="{wanted}"' in text for label, wanted in labels.items()):
                total += float(value)
        return total


def in_parallel(calls: Iterable[Callable[[], Any]], threads: int = THREADS) -> None:
    """Make all calls; raises the first error."""
    with ThreadPoolExecutor(threads) as pool:
        for done in [pool.submit(call) for call in calls]:
            done.result()


def _decode(text: str) -> str:
    return base64.b64decode(text).decode()


def named(items: Iterable[Mapping[str, Any]]) -> dict[tuple[str, str, str], Mapping[str, Any]]:
    """Return objects by kind, namespace and name."""
    return {(i["kind"], i["metadata"].get("namespace", ""), i["metadata"]["name"]): i for i in items}
