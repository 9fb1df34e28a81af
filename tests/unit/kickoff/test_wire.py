"""The wire between a container and its sidecar."""

import pytest

from wi_kickoff import launch, trouble, values, wire
from wi_kickoff.wire import Field, Reply


@pytest.mark.parametrize("source", wire.SOURCES)
def test_a_request_survives_the_way(source):
    assert wire.decode_request(wire.encode_request(source)) == source


@pytest.mark.parametrize(
    "line", [b"", b"wi1 kickoff launcher", b"wi2 kickoff launcher\n", b"wi1 kickoff x\n", b"\xff\n"]
)
def test_an_unknown_request_is_refused(line):
    with pytest.raises(wire.WireError):
        wire.decode_request(line)


def test_a_reply_survives_the_way_whatever_its_values_hold():
    fields = (Field("l", "line"), Field("v", "A=a=b\nc '\"\\ ü\t"), Field("v", "EMPTY="), Field("t", "B=$(A)"))
    assert wire.decode_reply(wire.encode_reply(Reply(True, fields))) == Reply(True, fields)


def test_the_reply_has_the_documented_bytes():
    reply = Reply(False, (Field("m", "no"),))
    assert wire.encode_reply(reply) == b"wi1 error\0m no\0.\0"


@pytest.mark.parametrize("cut", range(len(b"wi1 ok\0v A=1\0.\0")))
def test_a_reply_cut_anywhere_is_recognised(cut):
    with pytest.raises(wire.TruncatedReplyError):
        wire.decode_reply(b"wi1 ok\0v A=1\0.\0"[:cut])


@pytest.mark.parametrize("data", [b"wi2 ok\0.\0", b"wi1 ok\0x A=1\0.\0", b"wi1 ok\0v\0.\0", b"wi1 ok\0v A=\xff\0.\0"])
def test_a_reply_of_another_protocol_is_refused(data):
    with pytest.raises(wire.WireError):
        wire.decode_reply(data)


@pytest.mark.attack(twin="test_a_reply_survives_the_way_whatever_its_values_hold")
@pytest.mark.parametrize("text", ["A=1\0v B=2", "A=\ud800"])
def test_a_value_cannot_add_a_field_of_its_own(text):
    with pytest.raises(wire.WireError):
        wire.encode_reply(Reply(True, (Field("v", text),)))


def test_a_fields_repr_holds_no_value():
    assert "fake-secret" not in repr(Reply(True, (Field("v", "A=fake-secret"),)))


def test_the_launcher_repeats_the_constants_exactly():
    assert wire.encode_request("launcher") == launch.REQUEST
    assert (wire.HEAD_OK.encode(), wire.HEAD_ERROR.encode()) == (launch.HEAD_OK, trouble.HEAD_ERROR)
    assert wire.END.encode() == launch.END
    assert (f"{wire.MESSAGE} ".encode(), f"{wire.RETRY} ".encode()) == (trouble.MESSAGE, trouble.RETRY)
    assert (f"{launch.FOLDER}/{wire.SOCKET_NAME}", f"{launch.FOLDER}/{wire.HOOK_FOLDER}") == (launch.PATH, launch.HOOK)
    assert (values.SOCKET_NAME, values.ID, values.INFO) == (wire.SOCKET_NAME, b"k ", b"i ")
    assert (wire.KICKOFF, wire.INFORMATION) == ("k", "i")
    for name in ("TERMINATION_LOG", "EXIT_CODE", "REPLY_SECONDS"):
        assert getattr(wire, name) == getattr(launch, name)
    for name in ("TERMINATION_LIMIT", "RETRY_SECONDS"):
        assert getattr(wire, name) == getattr(trouble, name)
