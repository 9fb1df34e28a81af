"""The sidecar's client through a proxy: a tunnel to the cloud, TLS end to end, and clear words when there is none."""

import asyncio
import contextlib

import pytest

from wi_operator.agent import trust
from wi_operator.agent.client import HttpClient, TransportError
from wi_operator.agent.proxy import read_proxy
from wi_operator.agent.settings import Budgets
from wi_operator.core.clock import SystemClock
from wi_operator.federation.diagnosis.transport import Failure
from wi_operator.federation.exchange.base import HttpRequest
from wi_operator.federation.hosts import Endpoint
from wi_testkit.static_issuer import server_context

BUDGETS = Budgets(connect=0.5, read=0.5)
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
TUNNEL = b"HTTP/1.1 200 Connection established\r\nX-Proxy: test\r\n\r\n"


class ForwardProxy:
    """Answers CONNECT with ``answer`` and, if that is a tunnel, joins the connection to the one host there is."""

    def __init__(self, answer, port):
        self.answer, self.target = answer, port
        self.heads = []

    async def serve(self, reader, writer):
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            self.heads.append((await reader.readuntil(b"\r\n\r\n")).decode())
            if self.answer is not None:
                writer.write(self.answer)
                if self.answer.startswith(TUNNEL):
                    there, back = await asyncio.open_connection("127.0.0.1", self.target)
                    await asyncio.gather(join(reader, back), join(there, writer))
        writer.close()


async def join(reader, writer):
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
    writer.close()


@contextlib.asynccontextmanager
async def proxied(ca, answer=TUNNEL, *, host="demo.vault.test", user="", no_proxy=""):
    """Yield a client whose proxy leads to a host that has no address of its own."""

    async def serve(reader, writer):
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while True:
                await reader.readuntil(b"\r\n\r\n")
                writer.write(OK)

    target = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=server_context(ca, host))
    proxy = ForwardProxy(answer, target.sockets[0].getsockname()[1])
    listener = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    url = f"http://{user}127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    context = trust.internal_context(ca.pem.decode())
    client = HttpClient(context, BUDGETS, SystemClock(), read_proxy(url, no_proxy))
    yield client, proxy
    client.close()
    listener.close()
    target.close()


def get(host="demo.vault.test"):
    return HttpRequest("GET", Endpoint(host, 443), "/secrets/x", (("authorization", "Bearer fake"),))


async def test_requests_go_through_one_tunnel_and_the_proxy_sees_no_header(test_ca):
    async with proxied(test_ca) as (client, proxy):
        for _ in range(3):
            assert (await client.send(get())).body == b"hi"
    assert len(proxy.heads) == 1
    assert proxy.heads[0].startswith("CONNECT demo.vault.test:443 HTTP/1.1\r\n")
    assert "uthorization" not in proxy.heads[0]


async def test_a_user_is_told_to_the_proxy_alone(test_ca):
    async with proxied(test_ca, user="u:p@") as (client, proxy):
        await client.send(get())
    assert "proxy-authorization: Basic dTpw\r\n" in proxy.heads[0].replace("Proxy-A", "proxy-a")


@pytest.mark.attack(twin="test_requests_go_through_one_tunnel_and_the_proxy_sees_no_header")
async def test_the_certificate_is_checked_through_the_tunnel(test_ca):
    async with proxied(test_ca, host="other.test") as (client, _):
        with pytest.raises(TransportError) as caught:
            await client.send(get())
    assert caught.value.failure is Failure.TLS


@pytest.mark.parametrize(
    ("answer", "detail"),
    [
        (b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n", "status 407"),
        (b"HTTP/1.1 403 Forbidden\r\nContent-Length: 3\r\n\r\nno!", "status 403"),
        (b"SSH-2.0-OpenSSH\r\n\r\n", "no answer to CONNECT"),
        (None, "no answer to CONNECT"),
        (b"HTTP/1.1 200 OK\r\n\r\nwords before TLS", "words of its own"),
    ],
)
async def test_a_proxy_that_gives_no_tunnel_is_told(test_ca, answer, detail):
    async with proxied(test_ca, answer) as (client, _):
        with pytest.raises(TransportError, match=detail) as caught:
            await client.send(get())
    assert caught.value.failure is Failure.PROXY_REFUSED
    message = caught.value.diagnose(vault=True).message
    assert "demo.vault.test" in message
    assert "sidecar.proxy.noProxy" in message


async def test_a_proxy_that_is_not_there_is_told_as_the_proxy(test_ca):
    proxies = read_proxy("http://127.0.0.1:1", "")
    client = HttpClient(trust.internal_context(test_ca.pem.decode()), BUDGETS, SystemClock(), proxies)
    with pytest.raises(TransportError, match=r"127\.0\.0\.1:1") as caught:
        await client.send(get())
    assert caught.value.failure is Failure.PROXY_UNREACHABLE


async def test_a_host_of_no_proxy_is_reached_directly(test_ca):
    async with proxied(test_ca, no_proxy="vault.test") as (client, proxy):
        with pytest.raises(TransportError) as caught:
            await client.send(get())
    assert caught.value.failure in {Failure.HOST_UNKNOWN, Failure.DNS, Failure.UNREACHABLE}
    assert proxy.heads == []
