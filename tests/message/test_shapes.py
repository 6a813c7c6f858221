"""A shape reads nothing the general reader would read otherwise, or not at all."""

from __future__ import annotations

import tracemalloc
from time import process_time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sample_messages import OPTIONS, RINGING, VALID, answer, fields, forgetful, near_sip, replaced, request

from trio_sip.errors import RemoteProtocolError
from trio_sip.message import shapes
from trio_sip.message.model import Message, Request, Response
from trio_sip.message.parse import is_response, parse

LEARNED = {
    "options": OPTIONS,
    "ringing": RINGING,
    "register": replaced(
        b"CSeq",
        b"CSeq: 7 REGISTER",
        b'Contact: "x" <sip:a@h;transport=tcp>;q=0.5',
        b"Expires: 3600",
        data=request(start=b"REGISTER sip:example.net SIP/2.0"),
    ),
    "compact": VALID["compact"],
    "two vias": replaced(b"Via", b"Via: SIP/2.0/UDP p;branch=z9hG4bK2", b"v:SIP/2.0/UDP h;branch=z9hG4bK1"),
    "odd via": replaced(b"Via", b'Via: SIP/2.0/TLS h:5061;x="a,b";branch=z9hG4bK1, SIP/2.0/UDP g'),
    "odd names": replaced(
        b"From",
        b'f : "A \\"B\\"" <sip:a%20b@example.com;x=y?c=d> ; tag=1;z',
        data=replaced(b"To", b"TO:\ttel:+123;phone-context=x;tag=2"),
    ),
    "no max-forwards": replaced(b"Max-Forwards"),
    "no length": request(length=False),
    "body": answer(b"Content-Type: application/sdp", start=b"SIP/2.0 200 OK", body=b"v=0\r\n"),
}


@pytest.fixture(autouse=True)
def unlearned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shapes, "REQUESTS", forgetful(shapes.REQUESTS))
    monkeypatch.setattr(shapes, "RESPONSES", forgetful(shapes.RESPONSES))


def learn(data: bytes) -> shapes.Shapes:
    """Show `data` to the reader until its order is learned."""
    known = shapes.RESPONSES if is_response(data) else shapes.REQUESTS
    for _ in range(shapes.LEARN_AFTER):
        assert not known.by_order
        parse(data)
    assert len(known.by_order) == 1
    return known


def by_shape(data: bytes) -> Message | None:
    if is_response(data):
        response = Response()
        return response if shapes.read_response(response, data) else None
    request = Request()
    return request if shapes.read_request(request, data) else None


def by_general_reader(data: bytes) -> Message:
    """As if nothing had been learned."""
    known = shapes.REQUESTS, shapes.RESPONSES
    shapes.REQUESTS, shapes.RESPONSES = forgetful(known[0]), forgetful(known[1])
    try:
        return parse(data)
    finally:
        shapes.REQUESTS, shapes.RESPONSES = known


def agree(data: bytes) -> None:
    """Whatever a shape accepts, the general reader accepts, with equal fields."""
    message = by_shape(data)
    if message is not None:
        try:
            assert fields(message) == fields(by_general_reader(data))
        except RemoteProtocolError as error:
            raise AssertionError(f"read by a shape, refused by the general reader: {data!r}") from error


@pytest.mark.parametrize("data", LEARNED.values(), ids=LEARNED)
def test_an_order_is_learned_and_read_alike(data: bytes) -> None:
    learn(data)
    message = by_shape(data)
    assert message is not None
    assert message.match is not None
    assert fields(message) == fields(by_general_reader(data))
    assert message.headers == by_general_reader(data).headers


# What a shape might take for the value it replaces, at each place of a message of that order.
STRANGE = [
    b"",
    b" ",
    b"\t",
    b"x",
    b"0",
    b"00",
    b"070",
    b"256",
    b"-1",
    b"+1",
    b"1_0",
    b"99999",
    b"1 OPTIONS",
    b"1  OPTIONS",
    b"1 INVITE",
    b"999999999 OPTIONS",
    b"2147483648 OPTIONS",
    b"1 OPTIONS ",
    b" 31 OPTIONS",
    "\u0663 OPTIONS".encode(),
    b"<sip:a@b>",
    b"sip:a@b",
    b"sip:a@b;tag=1",
    b"<sip:a@b>;tag=",
    b"<sip:a@b>;tag=1;tag=2",
    b"<sip:a@b>;TAG=1",
    b"<sip:a@b>;tag=1 ",
    b"<sip:a@b>,<sip:c@d>",
    b"<>",
    b"<sip:>",
    b"<sip:a@b:99999>",
    b"<sip:a b@c>",
    b'"a" <sip:a@b>',
    b'"a\\" <sip:a@b>',
    b'"a<sip:a@b>',
    b"a\xff <sip:a@b>;tag=\xff",
    b"sips:a@b",
    b"tel:1",
    b"a, b <sip:a@b>",
    b"sip:a@b?c=d",
    b"<sip:a@b>;tag=%41",
    b"<sip:a@[::1]>;tag=1",
    b"a@b",
    b"a\x01b",
    b"a\0b",
    b"a b",
    b"a\xa0b",
    b"SIP/2.0/UDP h",
    b"SIP/2.0/UDP h;branch=z9hG4bK1",
    b"SIP/2.0/UDP h;branch=z9hG4bK1;branch=2",
    b"SIP/2.0/UDP h;branch=z9hG4bK1;rport;rport",
    b"SIP/2.0/UDP h;rport;branch=z9hG4bK1;rport",
    b"SIP/2.0/UDP h;branch=;rport",
    b"SIP/2.0/UDP h:0;branch=z9hG4bK1",
    b"SIP/2.0/UDP h:70000;branch=z9hG4bK1",
    b"SIP/2.0/UDP h.1;branch=z9hG4bK1",
    b"SIP/2.0/UDP -;branch=z9hG4bK1",
    b"SIP/2.0/UDP [::1;branch=z9hG4bK1",
    b"SIP/2.0/UDP [1:2];branch=z9hG4bK1",
    b"SIP/2.0/UDP [::1]:5060;branch=z9hG4bK1",
    b"SIP/2.0/TCP  h;branch=z9hG4bK1",
    b"SIP/2.0/UDP h;branch=z9hG4bK1 ",
    b"SIP/2.0/UDP h;branch=z9hG4bK1;received=::1;rport=5",
    b"SIP/2.0/UDP h;branch=z9hG4bK1;rport=99999;received=1.2.3.4",
    b"SIP/2.0/UDP h;branch=z9hG4bK1;rport=5;received=x;rport",
    b"SIP/2.0/UDP h;branch=z9hG4bK1,",
    b"SIP/2.0/udp h;branch=a@b",
    b"SIP/2.0/UDP " + b"h" * 256 + b";branch=z9hG4bK1",
    b"sip/2.0/UDP h;branch=z9hG4bK1",
]


@pytest.mark.parametrize("data", LEARNED.values(), ids=LEARNED)
def test_a_strange_value_is_read_alike(data: bytes) -> None:
    learn(data)
    head, _, body = data.partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    for at, line in enumerate(lines[1:], 1):
        name = line.partition(b":")[0]
        for value in STRANGE:
            for between in (b":", b": "):
                changed = [*lines[:at], name + between + value, *lines[at + 1 :]]
                agree(b"\r\n".join(changed) + b"\r\n\r\n" + body)


@pytest.mark.parametrize("data", LEARNED.values(), ids=LEARNED)
def test_a_strange_start_line_is_read_alike(data: bytes) -> None:
    learn(data)
    _, _, rest = data.partition(b"\r\n")
    for start in (
        b"OPTIONS sip:a@b SIP/2.0",
        b"OPTIONS sip:a@b SIP/2.1",
        b"OPTIONS  sip:a@b SIP/2.0",
        b"OPTIONS sip:a@b SIP/2.0 ",
        b"OPTIONS sip:a@b:99999 SIP/2.0",
        b"OPTIONS sip: SIP/2.0",
        b"OPTIONS x SIP/2.0",
        b"OPTIONS sip:a@b?x SIP/2.0",
        b"options sip:a@b SIP/2.0",
        b"SIP/2.0 200 OK",
        b"SIP/2.0 200 ",
        b"SIP/2.0 200",
        b"SIP/2.0 099 x",
        b"SIP/2.0 700 x",
        b"SIP/2.0 2000 x",
        b"SIP/2.1 200 x",
        b"SIP/2.0 200 \xff",
        b"SIP/2.0 200 \x01",
        b"sip/2.0 200 OK",
        b"",
    ):
        agree(start + b"\r\n" + rest)


@st.composite
def learned_and_spoilt(draw: st.DrawFn) -> tuple[bytes, bytes]:
    data = draw(st.sampled_from(list(LEARNED.values())))
    return data, draw(near_sip(data))


@settings(
    max_examples=600,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(learned_and_spoilt())
def test_a_spoilt_message_is_read_alike(pair: tuple[bytes, bytes]) -> None:
    shapes.REQUESTS, shapes.RESPONSES = forgetful(shapes.REQUESTS), forgetful(shapes.RESPONSES)
    learn(pair[0])
    agree(pair[1])


def test_many_orders_are_learned_seldom() -> None:
    for number in range(20_000):
        parse(request(b"X-%d: y" % (number % 2_000)))
    assert shapes.REQUESTS.compiled < 150
    assert len(shapes.REQUESTS.by_order) <= shapes.MAX_SHAPES


HARD = {
    b"From": [
        b"a " * 30_000,
        b'"' * 60_000,
        b'"a"' + b" " * 60_000,
        b"<" * 60_000,
        b"<sip:a@b>" + b";tag=x" * 10_000,
        b"<x>" * 20_000,
    ],
    b"Via": [
        b"SIP/2.0/UDP h;branch=" + b"x" * 60_000 + b"\xff",
        b"SIP/2.0/UDP " + b"h" * 60_000 + b";",
        b"SIP/2.0/UDP h;rport" * 3_000,
    ],
    b"CSeq": [b"3" * 60_000, b"3 " * 30_000],
    b"Call-ID": [b"x" * 60_000 + b" ", b"x" * 60_000 + b"\xff"],
}


def test_the_work_of_a_shape_is_linear() -> None:
    """Its one regular expression never goes back over what it has read."""
    for name, values in HARD.items():
        known = forgetful(shapes.REQUESTS)
        shapes.REQUESTS = known
        learn(OPTIONS)
        for value in values:
            data = replaced(name, name + b": " + value)
            begun = process_time()
            by_shape(data)
            assert process_time() - begun < 0.2, (name, value[:20])


def test_what_is_remembered_is_bounded() -> None:
    """Long URIs, names and values pass, and leave nothing behind."""
    learn(OPTIONS)
    tracemalloc.start()
    try:
        for number in range(200):
            long = b"%d" % number + b"x" * 50_000
            for data in (
                request(start=b"OPTIONS sip:" + long + b"@h SIP/2.0"),
                replaced(b"To", b"To: <sip:" + long + b"@h>"),
                replaced(b"To", b'To: "' + long + b'" <sip:a@h>'),
                replaced(b"Via", b"Via: SIP/2.0/UDP h;maddr=" + long),
                replaced(b"CSeq", b"CSeq: " + b"0" * (50_000 + number) + b"1 OPTIONS"),
                request(long + b": y"),
            ):
                parse(data)
        assert tracemalloc.get_traced_memory()[0] < 2_000_000
    finally:
        tracemalloc.stop()
