from __future__ import annotations

import pytest
from hypothesis import given, settings
from sample_messages import VALID, answer, fields, near_sip, replaced, request

from trio_sip.errors import LocalProtocolError, RemoteProtocolError
from trio_sip.message.model import Request, Response
from trio_sip.message.parse import parse
from trio_sip.message.write import write_message, write_reply

VIA, ADDRESS = b"SIP/2.0/UDP h;branch=z9hG4bK1", b"<sip:a@b>;tag=1"


def with_length(data: bytes) -> bytes:
    """`data` with a Content-Length as the last header where it has none."""
    message = parse(data)
    if "Content-Length" in message.headers:
        return data
    head, body = data[: message.body_at - 2], message.body
    return head + b"Content-Length: %d\r\n\r\n" % len(body) + body


def same(one: Request | Response, other: Request | Response) -> bool:
    mine, theirs = fields(one), fields(other)
    for whole in ("data", "body_at", "body_end", "keys", "received_lines"):
        del mine[whole], theirs[whole]
    return mine == theirs


@pytest.mark.parametrize("data", VALID.values(), ids=VALID)
def test_an_untouched_message_is_written_byte_for_byte(data: bytes) -> None:
    if data != VALID["small sip"]:
        assert write_message(parse(data)) == with_length(data)


@pytest.mark.parametrize("data", VALID.values(), ids=VALID)
def test_what_was_written_reads_the_same(data: bytes) -> None:
    message = parse(data)
    assert same(parse(write_message(message)), message)


@settings(max_examples=500, deadline=None, derandomize=True)
@given(near_sip())
def test_whatever_was_read_is_written_and_read_the_same(data: bytes) -> None:
    try:
        message = parse(data)
    except RemoteProtocolError:
        return
    written = write_message(message)
    again = parse(written)
    assert same(again, message)
    assert write_message(again) == written


@pytest.mark.parametrize("length", [b"Content-Length: 99", b"l: 0", b"Content-Length : 00002"])
def test_content_length_follows_the_body(length: bytes) -> None:
    data = request(b"X: y", length=False).replace(b"Max-Forwards: 70", b"Max-Forwards: 70\r\n" + length)
    message = parse(data + bytes(100))
    message.body = b"new body"
    assert parse(write_message(message)).body == b"new body"
    assert message.received_lines[2] == length


def test_what_was_cut_off_is_not_written() -> None:
    message = parse(request(b"l: 2", body=b"hi, there", length=False))
    assert write_message(message).endswith(b"\r\nl: 2\r\n\r\nhi")


def test_a_right_length_stays_as_it_was_spelled() -> None:
    message = parse(request(b"l :\t002", body=b"hi", length=False))
    message.headers.set("Subject", "edited")
    assert b"\r\nl :\t002\r\n" in write_message(message)


@pytest.mark.parametrize("lie", ["0", "3", "99", "-1", "x", ""])
def test_a_length_a_script_sets_is_corrected(lie: str) -> None:
    message = parse(request(body=b"hi"))
    message.headers.set("Content-Length", lie)
    message.headers.add("l", lie)
    written = write_message(message)
    assert parse(written).body == b"hi"
    assert parse(written).headers.get_all("Content-Length") == ["2"]


def test_a_length_a_script_removes_comes_back() -> None:
    message = parse(request(body=b"hi"))
    message.headers.remove("l")
    assert parse(write_message(message)).headers["Content-Length"] == "2"


def test_an_edited_message() -> None:
    message = parse(replaced(b"To", b"tO :<sip:bob@example.net>", data=request(b"X:  y")))
    assert isinstance(message, Request)
    message.uri = "sip:new@example.org;lr"
    message.headers.add("Via", "SIP/2.0/UDP mine", first=True)
    message.headers.remove("Max-Forwards")
    assert write_message(message).split(b"\r\n") == [
        b"OPTIONS sip:new@example.org;lr SIP/2.0",
        b"Via: SIP/2.0/UDP mine",
        b"Via: SIP/2.0/UDP 192.0.2.4:5062;rport;branch=z9hG4bK77asjd",
        b"From: <sip:alice@example.com>;tag=98asjd8",
        b"tO :<sip:bob@example.net>",
        b"Call-ID: 7c1a@192.0.2.4",
        b"CSeq: 31 OPTIONS",
        b"X:  y",
        b"Content-Length: 0",
        b"",
        b"",
    ]


def test_a_response_is_written_with_its_reason() -> None:
    assert write_message(parse(answer(start=b"SIP/2.0 486 \xe9"))).startswith(b"SIP/2.0 486 \xe9\r\n")


def test_a_reply() -> None:
    data = write_reply(
        183,
        None,
        VIA + b"\r\nVia: SIP/2.0/UDP g",
        ADDRESS,
        ADDRESS,
        b"x",
        b"1 INVITE",
        [("Server", "t")],
        b"hi",
    )
    assert data == (
        b"SIP/2.0 183 Session Progress\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nVia: SIP/2.0/UDP g\r\n"
        b"From: <sip:a@b>;tag=1\r\nTo: <sip:a@b>;tag=1\r\nCall-ID: x\r\nCSeq: 1 INVITE\r\nServer: t\r\n"
        b"Content-Length: 2\r\n\r\nhi"
    )


@pytest.mark.parametrize("status", [-1, 0, 99, 700, 1000])
def test_a_status_that_is_none(status: int) -> None:
    with pytest.raises(LocalProtocolError):
        write_reply(status, None, VIA, ADDRESS, ADDRESS, b"x", b"1 OPTIONS")


@pytest.mark.parametrize("reason", ["a\r\nX: b", "a\rb", "a\nb", "a\0b"])
def test_a_reason_with_a_line_break(reason: str) -> None:
    with pytest.raises(LocalProtocolError):
        write_reply(200, reason, VIA, ADDRESS, ADDRESS, b"x", b"1 OPTIONS")


@pytest.mark.parametrize("name", ["Via", "from", "t", "Call-ID", "CSeq", "Content-Length", "l"])
def test_a_reply_has_its_own_headers_once(name: str) -> None:
    with pytest.raises(LocalProtocolError, match=r"written by reply\(\) itself"):
        write_reply(200, None, b"v", b"f", b"t", b"i", b"1 OPTIONS", [(name, "9")])
