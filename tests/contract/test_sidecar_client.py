"""The sidecar's HTTP client against a server of raw bytes over real TLS."""

import asyncio
import contextlib
import errno
import socket

import pytest
from polling import until

from wi_operator.agent import trust
from wi_operator.agent.client import HttpClient, TransportError
from wi_operator.agent.connection import Connection
from wi_operator.agent.process import ResolvingLoop
from wi_operator.agent.settings import Budgets
from wi_operator.agent.sockets import dial
from wi_operator.core.clock import SystemClock
from wi_operator.federation.diagnosis.transport import Failure
from wi_operator.federation.exchange.base import HttpRequest
from wi_operator.federation.hosts import Endpoint
from wi_testkit.pki import CertificateAuthority
from wi_testkit.static_issuer import server_context

BUDGETS = Budgets(connect=0.5, read=0.3, response_bytes=1000, connections_per_host=2)
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Name: v\r\n\r\nhi"


class Server:
    """Answers each request of each connection with the next script; ``None`` closes, a number waits."""

    def __init__(self, *script):
        self.script = list(script)
        self.connections = 0
        self.heads = []
        self.port = 0

    async def serve(self, reader, writer):
        self.connections += 1
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while True:
                self.heads.append(await reader.readuntil(b"\r\n\r\n"))
                answer = self.script.pop(0) if len(self.script) > 1 else self.script[0]
                if answer is None:
                    break
                if isinstance(answer, bytes):
                    writer.write(answer)
                    await writer.drain()
                    if b"close" in answer.lower():
                        break
                else:
                    await asyncio.sleep(answer)
        writer.close()


@contextlib.asynccontextmanager
async def serving(ca, *script, host="localhost"):
    server = Server(*script)
    listener = await asyncio.start_server(server.serve, "127.0.0.1", 0, ssl=server_context(ca, host))
    server.port = listener.sockets[0].getsockname()[1]
    yield server
    listener.close()


@pytest.fixture
async def client(test_ca):
    client = HttpClient(trust.internal_context(test_ca.pem.decode()), BUDGETS, SystemClock())
    yield client
    client.close()


def get(server, **changes):
    return HttpRequest("GET", Endpoint("localhost", server.port), "/path?q=1", **changes)


async def failure(client, request):
    with pytest.raises(TransportError) as caught:
        await client.send(request)
    return caught.value.failure


async def test_a_request_is_sent_as_it_is_and_the_answer_read(client, test_ca):
    async with serving(test_ca, OK) as server:
        response = await client.send(get(server, headers=(("authorization", "Bearer fake"),)))
        assert (response.status, response.body, response.headers["x-name"]) == (200, b"hi", "v")
        head = server.heads[0].decode().lower()
        assert head.startswith("get /path?q=1 http/1.1\r\n")
        assert f"host: localhost:{server.port}\r\n" in head
        assert "authorization: bearer fake\r\n" in head


async def test_connections_are_kept(client, test_ca):
    async with serving(test_ca, OK) as server:
        for _ in range(3):
            await client.send(get(server))
        assert server.connections == 1


async def test_a_connection_made_ahead_is_used(client, test_ca):
    async with serving(test_ca, OK) as server:
        client.connect_soon(Endpoint("localhost", server.port))
        await until(lambda: server.connections)
        await asyncio.sleep(0.1)
        await client.send(get(server))
        assert server.connections == 1


async def test_no_more_connections_than_allowed_are_open_to_one_host(client, test_ca):
    async with serving(test_ca, OK) as server:
        await asyncio.gather(*(client.send(get(server)) for _ in range(10)))
        assert server.connections <= 2


async def test_a_kept_connection_that_the_host_closed_is_replaced(client, test_ca):
    async with serving(test_ca, OK, None, OK) as server:
        await client.send(get(server))
        assert (await client.send(get(server))).body == b"hi"
        assert server.connections == 2


async def test_a_new_connection_that_is_closed_is_a_failure(client, test_ca):
    async with serving(test_ca, None) as server:
        assert await failure(client, get(server)) is Failure.RESET
        assert server.connections == 1


async def test_a_connection_that_is_torn_down_is_a_failure(client, test_ca, monkeypatch):
    async def tear(self, *_, **__):
        raise ConnectionResetError(errno.ECONNRESET, "Connection reset by peer")

    monkeypatch.setattr(Connection, "exchange", tear)
    async with serving(test_ca, OK) as server:
        with pytest.raises(TransportError, match="ECONNRESET") as caught:
            await client.send(get(server))
    assert caught.value.failure is Failure.RESET


async def test_chunks_and_interim_answers_are_understood(client, test_ca):
    answer = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n"
    async with serving(test_ca, answer) as server:
        assert (await client.send(get(server))).body == b"hi"


@pytest.mark.attack(twin="test_a_request_is_sent_as_it_is_and_the_answer_read")
async def test_a_redirect_is_an_answer_and_is_not_followed(client, test_ca):
    async with serving(
        test_ca, b"HTTP/1.1 302 Found\r\nLocation: https://evil.example/\r\nContent-Length: 0\r\n\r\n"
    ) as server:
        assert (await client.send(get(server))).status == 302
        assert len(server.heads) == 1


@pytest.mark.attack(twin="test_a_request_is_sent_as_it_is_and_the_answer_read")
@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n" + b"x" * 5000, Failure.TOO_LARGE),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 200_000, Failure.GARBAGE),
        (b"SSH-2.0-OpenSSH\r\n\r\n", Failure.GARBAGE),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\nConnection: close\r\n\r\nhi", Failure.RESET),
        (5, Failure.SLOW),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhi", Failure.SLOW),
    ],
)
async def test_an_answer_that_is_not_whole_is_none(client, test_ca, answer, expected):
    async with serving(test_ca, answer, OK) as server:
        assert await failure(client, get(server)) is expected
        assert (await client.send(get(server))).body == b"hi"
        assert server.connections == 2


@pytest.mark.attack(twin="test_the_extra_ca_is_trusted_besides_the_public_ones")
async def test_a_certificate_of_another_ca_is_refused(test_ca):
    client = HttpClient(trust.cloud_context(""), BUDGETS, SystemClock())
    async with serving(test_ca, OK) as server:
        assert await failure(client, get(server)) is Failure.TLS
        assert server.heads == []


@pytest.mark.attack(twin="test_a_request_is_sent_as_it_is_and_the_answer_read")
async def test_a_certificate_of_another_host_is_refused(client, test_ca):
    async with serving(test_ca, OK, host="other.example") as server:
        assert await failure(client, get(server)) is Failure.TLS
        assert server.heads == []


async def test_the_extra_ca_is_trusted_besides_the_public_ones(test_ca):
    client = HttpClient(trust.cloud_context(test_ca.pem.decode()), BUDGETS, SystemClock())
    async with serving(test_ca, OK) as server:
        assert (await client.send(get(server))).status == 200
    client.close()


def test_a_bundle_without_a_certificate_is_refused():
    with pytest.raises(ValueError, match="no usable certificate"):
        trust.internal_context("-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----")


async def test_a_port_that_nobody_listens_on_is_unreachable(client):
    assert await failure(client, HttpRequest("GET", Endpoint("127.0.0.1", 1), "/")) is Failure.UNREACHABLE


async def test_a_host_that_does_not_shake_hands_counts_as_blocked(client):
    async def hang(reader, writer):
        await asyncio.sleep(2)
        writer.close()

    listener = await asyncio.start_server(hang, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    assert await failure(client, HttpRequest("GET", Endpoint("localhost", port), "/")) is Failure.BLOCKED
    listener.close()


async def test_a_host_that_speaks_no_tls_is_told(client):
    listener = await asyncio.start_server(lambda r, w: w.write(b"HTTP/1.1 400 Bad\r\n\r\n"), "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    assert await failure(client, HttpRequest("GET", Endpoint("localhost", port), "/")) is Failure.TLS
    listener.close()


def test_a_name_that_does_not_exist_is_told(client):
    with asyncio.Runner(loop_factory=ResolvingLoop) as runner:
        request = HttpRequest("GET", Endpoint("no-such-host.invalid", 443), "/")
        assert runner.run(failure(client, request)) in {Failure.HOST_UNKNOWN, Failure.DNS}


async def test_a_kept_connection_does_not_outlive_the_trust_that_it_was_made_under(client, test_ca):
    async with serving(test_ca, OK) as server:
        await client.send(get(server))
        client.retrust(trust.internal_context(CertificateAuthority().pem.decode()))
        assert await failure(client, get(server)) is Failure.TLS
        client.retrust(trust.internal_context(test_ca.pem.decode()))
        assert (await client.send(get(server))).body == b"hi"
        assert len(server.heads) == 2


async def test_a_socket_that_does_not_connect_is_closed(monkeypatch):
    made = []

    async def refuse(plain, address):
        made.append(plain)
        raise ConnectionRefusedError

    monkeypatch.setattr(asyncio.get_running_loop(), "sock_connect", refuse)
    with pytest.raises(ConnectionRefusedError):
        await dial("127.0.0.1", 9)
    assert [plain.fileno() for plain in made] == [-1]


@pytest.mark.attack(twin="test_connections_are_kept")
async def test_words_that_nobody_asked_for_end_a_kept_connection(client, test_ca):
    asked_again, spoken = [], asyncio.Event()

    async def serve(reader, writer):
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(OK)
            await asyncio.sleep(0.05)
            writer.write(OK.replace(b"hi", b"no"))  # would be taken for the answer to the next request
            spoken.set()
            asked_again.append(await reader.readuntil(b"\r\n\r\n"))

    listener = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=server_context(test_ca, "localhost"))
    request = HttpRequest("GET", Endpoint("localhost", listener.sockets[0].getsockname()[1]), "/")
    assert (await client.send(request)).body == b"hi"
    await spoken.wait()
    await asyncio.sleep(0.1)
    assert (await client.send(request)).body == b"hi"
    assert asked_again == []
    listener.close()


@pytest.mark.attack(twin="test_a_request_is_sent_as_it_is_and_the_answer_read")
@pytest.mark.parametrize("header", ["Bearer x\r\nx-injected: 1", "Bearer x\nx-injected: 1"])
async def test_a_header_cannot_become_two(client, test_ca, header):
    async with serving(test_ca, OK) as server:
        with pytest.raises(ValueError, match="a line end"):
            await client.send(get(server, headers=(("authorization", header),)))
        assert server.heads == []


async def test_a_large_request_is_sent_whole_to_a_host_that_reads_slowly(client, test_ca):
    body, received = bytes(range(256)) * 12_000, bytearray()

    async def serve(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        while len(received) < len(body):
            received.extend(await reader.read(200_000))
            await asyncio.sleep(0)
        writer.write(OK)

    listener = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=server_context(test_ca, "localhost"))
    endpoint = Endpoint("localhost", listener.sockets[0].getsockname()[1])
    patient = HttpClient(trust.internal_context(test_ca.pem.decode()), Budgets(read=5), SystemClock())
    assert (await patient.send(HttpRequest("POST", endpoint, "/", (), body))).body == b"hi"
    assert bytes(received) == body
    patient.close()
    listener.close()


async def test_the_next_address_is_tried_while_the_first_keeps_silent(monkeypatch):
    listener = await asyncio.start_server(lambda r, w: w.close(), "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    loop = asyncio.get_running_loop()
    answers = [("198.51.100.1", port), ("127.0.0.1", port)]

    async def resolve(host, port, **_):
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", address) for address in answers]

    async def connect(plain, address):
        if address[0] != "127.0.0.1":
            await asyncio.sleep(60)  # a firewall that drops
        plain.connect_ex(address)

    monkeypatch.setattr(loop, "getaddrinfo", resolve)
    monkeypatch.setattr(loop, "sock_connect", connect)
    began = loop.time()
    plain = await dial("two-addresses.test", port)
    assert loop.time() - began < 20
    assert plain.getpeername()[1] == port
    plain.close()
    listener.close()
