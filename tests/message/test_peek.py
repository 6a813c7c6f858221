"""What is peeked of a message is what the parser finds in it."""

from __future__ import annotations

import pytest
from hypothesis import assume, given, settings
from sample_messages import OPTIONS, RINGING, VALID, answer, near_sip, replaced, request

from trio_sip.errors import RemoteProtocolError
from trio_sip.message.model import Response
from trio_sip.message.parse import parse
from trio_sip.message.peek import (
    line_pattern,
    peek_call_id,
    peek_header,
    peek_lines,
    peek_method,
    peek_status,
)

NAMES = (
    "Via",
    "v",
    "From",
    "TO",
    "call-id",
    "CSeq",
    "Contact",
    "m",
    "Subject",
    "Max-Forwards",
    "X",
    "X-Absent",
    "l",
)


def agree(data: bytes) -> None:
    """For a message that is accepted, without empty lines before it."""
    message = parse(data)
    assert message.data == data
    assert peek_method(data) == message.method
    assert peek_status(data) == (message.status if isinstance(message, Response) else None)
    assert peek_call_id(data) == message.call_id
    for name in NAMES:
        assert peek_header(data, name) == message.headers.get(name)
    vias = [value.decode("utf-8", "surrogateescape") for _, value in peek_lines(data, line_pattern("via"))]
    assert vias == message.headers.get_all("Via")


@pytest.mark.parametrize("data", VALID.values(), ids=VALID)
def test_peeks_agree_with_the_parser(data: bytes) -> None:
    agree(data)


@settings(max_examples=600, deadline=None, derandomize=True)
@given(near_sip())
def test_peeks_agree_with_the_parser_after_accidents(data: bytes) -> None:
    assume(not data.startswith(b"\r\n"))
    try:
        parse(data)
    except RemoteProtocolError:
        return
    agree(data)


@pytest.mark.parametrize(
    "data",
    [
        replaced(b"Call-ID", b"i: real", data=request(body=b"Call-ID: fake\r\n\r\n")),
        replaced(b"Call-ID", b"i: real", data=request(body=b"\r\nCall-ID: fake\r\n\r\n", length=False)),
        replaced(b"Call-ID", b"call-id: real", data=request(b"Subject: x\r\n Call-ID: fake")),
        replaced(b"Call-ID", b"Call-ID:\r\n real"),
        replaced(b"Call-ID", b"Call-ID: \r\n\treal"),
        replaced(b"Call-ID", b"Call-ID:real \t"),
    ],
)
def test_the_call_id_is_that_of_the_header(data: bytes) -> None:
    assert peek_call_id(data) == "real"
    agree(data)


def test_a_header_of_the_body_is_none_of_the_message() -> None:
    data = request(body=b"Contact: <sip:x@y>\r\n\r\n", length=False)
    assert peek_header(data, "Contact") is None


def test_of_what_is_no_message_little_is_seen() -> None:
    for data in (
        b"",
        b"\r\n",
        b"x",
        b"\0\0\0\0",
        b"SIP/2.0",
        b"SIP/2.0 ",
        b"OPTIONS",
        b"\r\nCall-ID: ",
        b"GET\r\n",
    ):
        assert peek_method(data) is None
        assert peek_status(data) is None
        assert peek_header(data, "To") is None


def test_a_method_that_is_no_token_is_none() -> None:
    assert peek_method(b"OPT(IONS sip:a SIP/2.0\r\n\r\n") is None
    assert peek_method(b"A" * 129 + b" sip:a SIP/2.0\r\n\r\n") is None
    assert peek_method(b"A" * 128 + b" sip:a SIP/2.0\r\n\r\n") == "A" * 128


@pytest.mark.parametrize("name", ["", "a b", "x:", "\r\n", "(", "v", "\u00e9", "*", "\udcff"])
def test_any_name_may_be_asked_for(name: str) -> None:
    peek_header(OPTIONS, name)
    peek_header(RINGING, name)


@pytest.mark.parametrize(
    "spelled", [b"cseq: 31 OPTIONS", b"CSeq:31 OPTIONS", b"CSeq : 31 OPTIONS", b"CSeq: 31\r\n OPTIONS"]
)
def test_the_method_of_a_response_is_not_taken_from_its_body(spelled: bytes) -> None:
    fragment = b"SIP/2.0 200 OK\r\nCSeq: 5 REGISTER\r\n\r\n"
    head = answer(b"Content-Type: message/sipfrag", body=fragment).replace(b"CSeq: 31 OPTIONS", spelled, 1)
    assert spelled in head
    assert peek_method(head) == "OPTIONS"


@pytest.mark.parametrize("data", [b"GET/ x\r\nCSeq: 1 INVITE\r\n\r\n", b"SIP/2.0 ACK\r\n\r\n", b"SIP/"])
def test_what_is_neither_request_nor_response_has_no_method(data: bytes) -> None:
    assert peek_method(data) is None
