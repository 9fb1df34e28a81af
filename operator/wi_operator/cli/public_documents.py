"""The two public documents as the issuer serves them now, through the API server's proxy to its Service."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from wi_operator.api import names
from wi_operator.cli.complaints import Complaint
from wi_operator.cluster.client import KubernetesClient
from wi_operator.cluster.errors import ForbiddenError, NotFoundError, UnreachableError
from wi_operator.federation.discovery import DISCOVERY_PATH, JWKS_PATH, issuer_path

SERVICE = f"/api/v1/namespaces/{names.SYSTEM_NAMESPACE}/services"
BY_EXEC = "kubectl -n wi-system exec deploy/wi-issuer -- wi-operator issuer-export - | tar x -C DIR"


async def fetch(client: KubernetesClient, issuer: str) -> tuple[bytes, bytes]:
    """Return discovery and JWKS of ``issuer``, byte for byte; raises ``Complaint`` with another way when it cannot."""
    try:
        base = proxy_path(await client.get(f"{SERVICE}/{names.ISSUER}")) + issuer_path(issuer)
        discovery, jwks = [await client.read_text(base + path) for path in (DISCOVERY_PATH, JWKS_PATH)]
    except NotFoundError:
        raise Complaint(
            f"Service wi-system/wi-issuer does not show the documents of {issuer}. kubectl wi doctor"
        ) from None
    except ForbiddenError as error:
        raise Complaint(f"You may not read through the Service's proxy ({error}). Another way: {BY_EXEC}") from error
    except UnreachableError as error:
        raise Complaint(f"The API server does not reach the issuer ({error}). Another way: {BY_EXEC}") from error
    return discovery.encode(), jwks.encode()


def proxy_path(service: Mapping[str, Any]) -> str:
    """Return the API server's path to a Service's first port; pure."""
    port = service["spec"]["ports"][0]
    scheme = "https" if port.get("name") == "https" else "http"
    return f"{SERVICE}/{scheme}:{service['metadata']['name']}:{port['port']}/proxy"
