"""The only client of the Kubernetes API: JSON in, JSON out, every call bounded in time.

Connection, certificates and token refresh come from ``kubernetes.aio``; its generated models are not loaded into objects,
because fields unknown to them would be lost.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from typing import Any, TypedDict, Unpack
from urllib.parse import urlencode

import aiohttp
import yaml
from kubernetes.aio.client.api_client import ApiClient
from kubernetes.aio.client.configuration import Configuration
from kubernetes.aio.config.config_exception import ConfigException
from kubernetes.aio.config.incluster_config import load_incluster_config
from kubernetes.aio.config.kube_config import load_kube_config

from wi_operator.cluster.errors import ApiError, ExpiredVersionError, UnreachableError, error_of
from wi_operator.core.errors import SettingsError
from wi_operator.core.proxies import is_proxied

CALL_TIMEOUT = 10.0
"""Seconds for one call; a hung API server must not hang us."""
WATCH_TIMEOUT = 300
"""Seconds after which a watch is renewed; the API server ends it, we wait 15 s longer."""
WATCH_LINE_LIMIT = 4 * 1024 * 1024
PAGE_ITEMS = "100"

JSON = "application/json"
MERGE_PATCH = "application/merge-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"
METADATA_ONLY = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
METADATA_LIST = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"


class _Options(TypedDict, total=False):
    """Of one call, with the defaults of ``_send``."""

    body: Mapping[str, Any] | None
    content_type: str
    query: Mapping[str, str] | None
    accept: str


class KubernetesClient:
    """Calls by path; errors are those of ``cluster.errors``."""

    def __init__(self, api: ApiClient) -> None:
        self._api = api

    @property
    def api(self) -> ApiClient:
        """The library's client, for the library's own leader election."""
        return self._api

    @classmethod
    async def connect(cls) -> KubernetesClient:
        """Use the pod's account, or the kubeconfig outside a cluster; raises ``SettingsError`` without either."""
        configuration = Configuration()
        try:
            load_incluster_config(configuration)  # type: ignore[no-untyped-call]
        except ConfigException:
            try:
                await load_kube_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
            except (ConfigException, OSError) as error:
                raise SettingsError(
                    f"no way to reach Kubernetes: neither a pod's account nor a kubeconfig ({error})"
                ) from error
        configuration.client_session_kwargs = {"trust_env": is_proxied()}
        return cls(ApiClient(configuration))

    @classmethod
    async def of_kubeconfig(cls, file: str = "", context: str = "") -> tuple[KubernetesClient, str]:
        """Use a kubeconfig's ``context`` as kubectl does, for a person's tool; empty: the usual file, its current context.

        Returns the client and the context's namespace. Raises ``SettingsError``.
        """
        configuration = Configuration()
        try:
            loader = await load_kube_config(  # type: ignore[no-untyped-call]
                config_file=file or None, context=context or None, client_configuration=configuration
            )
            namespace = loader.current_context["context"].get("namespace") or "default"
        except (ConfigException, OSError, ValueError, KeyError, TypeError, yaml.YAMLError) as error:
            raise SettingsError(f"the kubeconfig cannot be used ({' '.join(str(error).split())})") from error
        configuration.client_session_kwargs = {"trust_env": is_proxied()}
        try:
            return cls(ApiClient(configuration)), namespace
        except OSError as error:  # a certificate that is named and not there, or none
            raise SettingsError(f"the kubeconfig cannot be used ({error})") from error

    @property
    def host(self) -> str:
        """URL of the API server."""
        return str(self._api.configuration.host)

    async def close(self) -> None:
        """Close the connections."""
        await self._api.close()  # type: ignore[no-untyped-call]

    async def get(self, path: str, **query: str) -> dict[str, Any]:
        """Read one object or one list."""
        return await self._call("GET", path, query=query)

    async def get_metadata(self, path: str) -> dict[str, Any]:
        """Read one object's metadata only: what it holds does not come here."""
        return await self._call("GET", path, accept=METADATA_ONLY)

    async def read_text(self, path: str, **query: str) -> str:
        """Read what is no JSON, a log for example."""
        return (await self._exchange("GET", path, query=query, accept="*/*"))[0].decode(errors="replace")

    async def read_clock(self) -> str:
        """Return the header ``Date`` of an answer: the API server's clock."""
        return (await self._exchange("GET", "/version"))[1]

    async def delete(self, path: str, **query: str) -> dict[str, Any]:
        """Delete the object at ``path``; raises ``NotFoundError`` when there is none."""
        return await self._call("DELETE", path, query=query)

    async def list_pages(
        self, path: str, *, metadata_only: bool = False, selectors: Mapping[str, str] | None = None
    ) -> AsyncIterator[tuple[list[dict[str, Any]], str]]:
        """Yield the items of each page of a collection, with the resourceVersion to watch from: no more than a page is held."""
        query = {"limit": PAGE_ITEMS, **(selectors or {})}
        while True:
            page = await (self._get_metadata(path, query) if metadata_only else self.get(path, **query))
            yield page.get("items") or [], str(page["metadata"]["resourceVersion"])
            token = page["metadata"].get("continue", "")
            if not token:
                return
            query = {"limit": PAGE_ITEMS, "continue": token, **(selectors or {})}

    async def list(
        self, path: str, *, metadata_only: bool = False, selectors: Mapping[str, str] | None = None
    ) -> tuple[list[dict[str, Any]], str]:
        """Read a whole collection page by page; returns its items and the resourceVersion to watch from.

        ``selectors`` are ``fieldSelector`` and ``labelSelector``.
        """
        items: list[dict[str, Any]] = []
        version = ""
        async for page, at in self.list_pages(path, metadata_only=metadata_only, selectors=selectors):
            items += page
            version = at
        return items, version

    async def _get_metadata(self, path: str, query: Mapping[str, str]) -> dict[str, Any]:
        return await self._call("GET", path, query=query, accept=METADATA_LIST)

    async def create(self, path: str, body: Mapping[str, Any], **query: str) -> dict[str, Any]:
        """Create below ``path``; raises ``ConflictError`` when it exists."""
        return await self._call("POST", path, body=body, query=query)

    async def replace(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Replace the object at ``path``; its resourceVersion guards against others' changes."""
        return await self._call("PUT", path, body=body)

    async def merge(self, path: str, body: Mapping[str, Any], **query: str) -> dict[str, Any]:
        """Apply a JSON merge patch (RFC 7396)."""
        return await self._call("PATCH", path, body=body, content_type=MERGE_PATCH, query=query)

    async def read_metadata(self, path: str) -> dict[str, Any]:
        """Return an object's metadata only, by an empty patch: our role may patch some Secrets, and must not read them."""
        return await self.merge_blind(path, {})

    async def merge_blind(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Apply a JSON merge patch and return the object's metadata only."""
        return await self._call("PATCH", path, body=body, content_type=MERGE_PATCH, accept=METADATA_ONLY)

    async def apply(self, path: str, body: Mapping[str, Any], *, manager: str, force: bool = True) -> dict[str, Any]:
        """Server-side apply as field manager ``manager``."""
        query = {"fieldManager": manager, "force": "true" if force else "false"}
        return await self._call("PATCH", path, body=body, content_type=APPLY_PATCH, query=query)

    async def _call(self, method: str, path: str, **options: Unpack[_Options]) -> dict[str, Any]:
        data, _ = await self._exchange(method, path, **options)
        loaded: dict[str, Any] = json.loads(data) if data else {}
        return loaded

    async def _exchange(self, method: str, path: str, **options: Unpack[_Options]) -> tuple[bytes, str]:
        """Return the body and the header ``Date`` of an answer."""
        request = f"{method} {path}"
        try:
            async with asyncio.timeout(CALL_TIMEOUT):
                response = await self._send(method, path, **options)
                data = await response.read()
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            raise UnreachableError(request, 0, f"no answer from the API server ({type(error).__name__})") from error
        if response.status >= 400:
            raise error_of(request, response.status, data)
        return data, response.headers.get("Date", "")

    async def _send(
        self,
        method: str,
        path: str,
        *,
        body: Mapping[str, Any] | None = None,
        content_type: str = JSON,
        query: Mapping[str, str] | None = None,
        timeout: float = CALL_TIMEOUT,
        accept: str = JSON,
    ) -> aiohttp.ClientResponse:
        headers = {"Accept": accept, "Content-Type": content_type}
        await self._api.update_params_for_auth(headers, [], ["BearerToken"], path, method, body)
        url = self.host + path + (f"?{urlencode(query)}" if query else "")
        payload = dict(body) if body is not None else None
        answer = await self._api.rest_client.request(  # type: ignore[no-untyped-call]
            method, url, headers=headers, body=payload, _request_timeout=timeout
        )
        response: aiohttp.ClientResponse = answer.response
        return response

    async def watch(
        self, path: str, *, resource_version: str, selectors: Mapping[str, str] | None = None
    ) -> AsyncIterator[dict[str, Any]]:
        """Yield watch events (``type``, ``object``) until the server ends the watch.

        Raises ``ExpiredVersionError`` when a new list is needed and ``UnreachableError`` on a broken connection.
        """
        query = {
            "watch": "true",
            "resourceVersion": resource_version,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(WATCH_TIMEOUT),
            **(selectors or {}),
        }
        request = f"WATCH {path}"
        try:
            response = await self._send("GET", path, query=query, timeout=WATCH_TIMEOUT + 15)
            if response.status >= 400:
                raise error_of(request, response.status, await response.read())
            async for line in _read_lines(response):
                yield _check_event(json.loads(line), request)
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            raise UnreachableError(request, 0, f"watch broken ({type(error).__name__})") from error


async def _read_lines(response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    """Split the stream into lines ourselves: aiohttp's own line limit is smaller than an object may be."""
    pending = b""
    try:
        async for chunk in response.content.iter_any():
            *lines, pending = (pending + chunk).split(b"\n")
            for line in lines:
                if line:
                    yield line
            if len(pending) > WATCH_LINE_LIMIT:
                raise UnreachableError("WATCH", 0, "an event of more than 4 MiB")
    finally:
        response.close()


def _check_event(event: dict[str, Any], request: str) -> dict[str, Any]:
    if event.get("type") != "ERROR":
        return event
    status = int(event.get("object", {}).get("code", 0))
    if status == 410:
        raise ExpiredVersionError(request, status, "the watch's version expired")
    raise ApiError(request, status, str(event.get("object", {}).get("message", "")))
