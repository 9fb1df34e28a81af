"""The short way for plain answers says what h11 says, or nothing."""

import asyncio
import gc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wi_operator.agent.answer import Answer, BrokenOffError, MalformedAnswerError, read_plain

PLAIN = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nX-Empty:\r\nContent-Length: 2\r\n\r\nhi"


@pytest.mark.parametrize(
    ("answer", "status", "body"),
    [
        (PLAIN, 200, b"hi"),
        (b'HTTP/1.1 304 Not Modified\r\nETag: "1"\r\n\r\n', 304, b""),
        (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n", 304, b""),
        (b"HTTP/1.1 404\r\nContent-Length: 0\r\n\r\n", 404, b""),
    ],
)
def test_a_plain_answer_is_read_the_short_way(answer, status, body):
    response = read_plain(answer)
    assert (response.status, response.body) == (status, body)


@pytest.mark.attack(twin="test_a_plain_answer_is_read_the_short_way")
@pytest.mark.parametrize(
    "answer",
    [
        PLAIN + b"HTTP/1.1 200 OK\r\n",
        PLAIN[:-1],
        PLAIN.replace(b"Content-Length: 2", b"Content-Length: 2\r\nContent-Length: 3"),
        PLAIN.replace(b"Content-Length: 2", b"Content-Length: +2"),
        PLAIN.replace(b"Content-Length: 2", b"Content-Length: 2\r\nTransfer-Encoding: chunked"),
        PLAIN.replace(b"Content-Length: 2", b"Content-Length : 2"),
        PLAIN.replace(b"Content-Length: 2", b"Content-Length: 2\r\n folded"),
        PLAIN.replace(b"X-Empty:", b"Connection: close"),
        PLAIN.replace(b"X-Empty:", b"Upgrade: x"),
        PLAIN.replace(b"X-Empty:", b"X: a\0b"),
        PLAIN.replace(b"X-Empty:", b"X: a\nb"),
        PLAIN.replace(b"Content-Length: 2\r\n", b""),
        PLAIN.replace(b"HTTP/1.1", b"HTTP/1.0"),
        PLAIN.replace(b"200", b"100"),
        PLAIN.replace(b"\r\n", b"\n"),
        b"",
    ],
)
def test_anything_else_is_left_to_h11(answer):
    assert read_plain(answer) is None


NAMES = st.sampled_from(["Content-Length", "content-length", "X-A", "Transfer-Encoding", "Connection", "x-b"])
VALUES = st.sampled_from(["2", "02", "3", "", " 2 ", "chunked", "close", "keep-alive", "a,b", "2, 2", "\t2"])
BODIES = st.sampled_from([b"", b"hi", b"hi!", b"2\r\nhi\r\n0\r\n\r\n"])
STATUSES = st.sampled_from([200, 204, 304, 404, 500, 100])


async def read_by_h11(data):
    """Feed byte by byte: the short way takes whole answers only."""
    answer = Answer(asyncio.get_running_loop().create_future(), 1000)
    for index in range(len(data)):
        answer.feed(data[index : index + 1])
    answer.end(None)
    return await answer.whole, answer.keeps_alive()


@settings(max_examples=400, deadline=None)
@given(STATUSES, st.lists(st.tuples(NAMES, VALUES), max_size=4), BODIES)
def test_where_the_short_way_speaks_h11_says_the_same(status, headers, body):
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers)
    data = f"HTTP/1.1 {status} X\r\n{lines}\r\n".encode() + body
    plain = read_plain(data)
    if plain is None:
        return
    response, keeps_alive = asyncio.run(read_by_h11(data))
    assert (plain.status, plain.body, plain.headers) == (response.status, response.body, dict(response.headers))
    assert keeps_alive


@pytest.mark.parametrize("is_over", [True, False])
async def test_nobody_hears_of_an_answer_that_was_given_up(is_over):
    loop, told = asyncio.get_running_loop(), []
    loop.set_exception_handler(lambda _, context: told.append(context["message"]))
    answer = Answer(loop.create_future(), 1000)
    if is_over:
        answer.fail(BrokenOffError())
    answer.abandon()
    assert answer.whole.cancelled() is not is_over
    del answer
    gc.collect()
    assert told == []


@pytest.mark.parametrize(("data", "error"), [(b"junk\r\n\r\n", MalformedAnswerError), (PLAIN[:-1], BrokenOffError)])
async def test_what_is_no_whole_answer_is_told(data, error):
    with pytest.raises(error):
        await read_by_h11(data)
