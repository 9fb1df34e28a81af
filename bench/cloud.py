"""A stand-in for issuer, identity provider and vault that costs next to nothing: fixed answers after fixed delays.

The emulators judge every request, which takes longer than what is to be measured. Run as a process of its own:
``python bench/cloud.py FOLDER`` reads ``tls.crt``, ``tls.key`` and ``ca.crt`` there and prints the ports of the three.
"""

from __future__ import annotations

import asyncio
import base64
import json
import ssl
import sys
import time
from pathlib import Path

GRANTS_SECONDS, TOKEN_SECONDS, SECRET_SECONDS = 0.005, 0.030, 0.020
ETAG = '"1"'


class Connection(asyncio.Protocol):
    """One kept connection: one request at a time, answered after its delay."""

    def __init__(self, ports: list[int]) -> None:
        self._ports = ports
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, end, body = self._received.partition(b"\r\n\r\n")
        if not end or len(body) < length_of(head):
            return
        self._received = b""
        delay, answer = self._answer(head)
        asyncio.get_running_loop().call_later(delay, self._transport.write, answer)

    def _answer(self, head: bytes) -> tuple[float, bytes]:
        if b"/v1/grants" in head:
            if b"if-none-match" in head.lower():
                return GRANTS_SECONDS, f"HTTP/1.1 304 Not Modified\r\nETag: {ETAG}\r\n\r\n".encode()
            return GRANTS_SECONDS, render(grants(*self._ports[1:]), f"ETag: {ETAG}\r\n")
        if b"/oauth2/" in head:
            return TOKEN_SECONDS, render(
                {"token_type": "Bearer", "expires_in": 3599, "access_token": "fake-" + "x" * 1400}
            )
        name = head.split(b" ", 2)[1].split(b"?")[0].rsplit(b"/", 1)[1].decode()
        identifier = f"https://localhost/secrets/{name}/{'0' * 32}"
        attributes = {"enabled": True, "created": 1, "updated": 1, "recoveryLevel": "Recoverable"}
        return SECRET_SECONDS, render({"value": f"fake-{name}", "id": identifier, "attributes": attributes})


def length_of(head: bytes) -> int:
    """Return the length of the body that the head announces."""
    lower = head.lower()
    return int(lower.partition(b"content-length: ")[2].split(b"\r\n")[0]) if b"content-length: " in lower else 0


def render(document: object, more: str = "") -> bytes:
    """Return a whole answer."""
    body = json.dumps(document).encode()
    # As many headers as a real vault sends.
    padding = "".join(f"x-ms-header-{number}: {'v' * 30}\r\n" for number in range(8))
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n{padding}{more}\r\n"
    return head.encode() + body


def grants(entra: int, vault: int) -> dict[str, object]:
    """Return the issuer's answer, with identity provider and vault at these ports."""
    now = int(time.time())
    claims = base64.urlsafe_b64encode(
        json.dumps({"iss": "i", "sub": "s", "aud": "a", "x": "x" * 300}).encode()
    ).decode()
    grant = {
        "credential": "demo",
        "provider": "AzureKeyVault",
        "config": {"namespace": "bench", "name": "azure", "uid": "u", "generation": 1},
        "azure": {
            "tenantId": "t", "clientId": "c", "authorityHost": f"https://localhost:{entra}",
            "vaultUrl": f"https://localhost:{vault}", "vaultScope": "https://vault.azure.net/.default",
        },
        "assertion": f"fake.{claims.rstrip('=')}.fake",
        "issuedAt": now, "expiresAt": now + 3600, "hosts": [f"localhost:{entra}", f"localhost:{vault}"],
    }  # fmt: skip
    key = base64.b64encode(b"k" * 32).decode()
    ca = (Path(sys.argv[1]) / "ca.crt").read_text()
    return {
        "organization": "o",
        "keyEpoch": 1,
        "fingerprintKey": key,
        "grants": [grant],
        "refusals": [],
        "caBundle": ca,
    }


async def main() -> None:
    """Serve until the standard input ends."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(Path(sys.argv[1]) / "tls.crt", Path(sys.argv[1]) / "tls.key")
    loop = asyncio.get_running_loop()
    ports: list[int] = []
    for _ in range(3):
        server = await loop.create_server(lambda: Connection(ports), "127.0.0.1", 0, ssl=context)
        ports.append(server.sockets[0].getsockname()[1])
    print(*ports, flush=True)
    await loop.run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main())
