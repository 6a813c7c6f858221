from __future__ import annotations

import pytest

from trio_sip.address import Address
from trio_sip.message import model
from trio_sip.message.parse import parse
from trio_sip.testing import make_request, make_response
from trio_sip.testing.messages import make_ack, make_cancel, with_session

SOURCE = Address("10.0.0.2", 5060)


def test_request() -> None:
    assert make_request("OPTIONS", "sip:10.0.0.1", source=SOURCE, call_id="c", branch="z9hG4bKb") == (
        b"OPTIONS sip:10.0.0.1 SIP/2.0\r\n"
        b"Via: SIP/2.0/UDP 10.0.0.2:5060;branch=z9hG4bKb;rport\r\n"
        b"Max-Forwards: 70\r\n"
        b"From: <sip:caller@10.0.0.2:5060>;tag=caller\r\n"
        b"To: <sip:10.0.0.1>\r\n"
        b"Call-ID: c\r\n"
        b"CSeq: 1 OPTIONS\r\n"
        b"Contact: <sip:caller@10.0.0.2:5060>\r\n"
        b"Content-Length: 0\r\n"
        b"\r\n"
    )


def test_headers_are_added_replaced_or_left_out() -> None:
    headers = [("max-forwards", "0"), ("Contact", None), ("X-One", "1"), ("x-one", "2")]
    request = make_request("INVITE", "sip:b", source=SOURCE, headers=headers, body=b"hi", to_tag="t")
    lines = request.split(b"\r\n")
    assert lines[2] == b"max-forwards: 0"
    assert lines[4] == b"To: <sip:b>;tag=t"
    assert lines[-5:] == [b"Content-Length: 2", b"X-One: 1", b"x-one: 2", b"", b"hi"]
    assert b"Contact" not in request


def test_response() -> None:
    request = make_request("INVITE", "sip:b", source=SOURCE, headers=[("v", "SIP/2.0/UDP 10.0.0.9")])
    assert make_response(request, 180, headers=[("Contact", "<sip:b@10.0.0.3>")]) == (
        b"SIP/2.0 180 Ringing\r\n"
        b"Via: SIP/2.0/UDP 10.0.0.2:5060;branch=z9hG4bK-INVITE-1-call-1-10.0.0.2;rport\r\n"
        b"From: <sip:caller@10.0.0.2:5060>;tag=caller\r\n"
        b"To: <sip:b>;tag=callee\r\n"
        b"Call-ID: call-1@10.0.0.2\r\n"
        b"CSeq: 1 INVITE\r\n"
        b"v: SIP/2.0/UDP 10.0.0.9\r\n"
        b"Content-Length: 0\r\n"
        b"Contact: <sip:b@10.0.0.3>\r\n"
        b"\r\n"
    )


def test_a_to_tag_stays() -> None:
    request = make_request("BYE", "sip:b", source=SOURCE, to_tag="t")
    assert b"To: <sip:b>;tag=t\r\n" in make_response(request, 200)
    assert b"To: <sip:b>\r\n" in make_response(make_request("BYE", "sip:b", source=SOURCE), 200, to_tag=None)


@pytest.mark.parametrize(("status", "copied"), [(100, False), (180, True), (200, True), (300, False), (486, False)])
def test_record_routes_are_for_who_makes_a_dialog(status: int, copied: bool) -> None:
    headers = [("Record-Route", "<sip:p1;lr>, <sip:p2;lr>"), ("Record-Route", "<sip:p3;lr>")]
    response = make_response(make_request("INVITE", "sip:b", source=SOURCE, headers=headers), status)
    assert (b"\r\nRecord-Route: <sip:p1;lr>, <sip:p2;lr>\r\nRecord-Route: <sip:p3;lr>\r\n" in response) is copied


@pytest.mark.parametrize(
    ("via", "stamped"),
    [
        ("SIP/2.0/UDP a;branch=1;rport", "SIP/2.0/UDP a;branch=1;rport=9;received=10.0.0.9"),
        ("SIP/2.0/UDP a;branch=1", "SIP/2.0/UDP a;branch=1;received=10.0.0.9"),
        ("SIP/2.0/UDP 10.0.0.9;branch=1", "SIP/2.0/UDP 10.0.0.9;branch=1"),
        ("SIP/2.0/UDP 10.0.0.9, SIP/2.0/UDP b;rport", "SIP/2.0/UDP 10.0.0.9, SIP/2.0/UDP b;rport"),
        ("garbage", "garbage"),
        ("", ""),
    ],
)
def test_the_topmost_via_tells_where_a_request_came_from(via: str, stamped: str) -> None:
    request = make_request("INVITE", "sip:b", source=SOURCE, headers=[("Via", via), ("Via", "SIP/2.0/UDP c;rport")])
    response = make_response(request, 200, source=Address("10.0.0.9", 9))
    assert response.startswith(f"SIP/2.0 200 OK\r\nVia: {stamped}\r\nVia: SIP/2.0/UDP c;rport\r\n".encode())


def test_cancel_and_ack_are_in_the_transaction_of_the_request() -> None:
    invite = parse(make_request("INVITE", "sip:b", source=SOURCE, cseq=3, headers=[("Route", "<sip:p;lr>")], body=b"x"))
    assert isinstance(invite, model.Request)
    response = parse(make_response(invite.data, 486))
    assert isinstance(response, model.Response)
    for method, data, to in (
        ("CANCEL", make_cancel(invite), b"<sip:b>"),
        ("ACK", make_ack(invite, response), b"<sip:b>;tag=callee"),
    ):
        assert data == (
            b"%b sip:b SIP/2.0\r\n"
            b"Via: SIP/2.0/UDP 10.0.0.2:5060;branch=z9hG4bK-INVITE-3-call-1-10.0.0.2;rport\r\n"
            b"Max-Forwards: 70\r\n"
            b"Route: <sip:p;lr>\r\n"
            b"From: <sip:caller@10.0.0.2:5060>;tag=caller\r\n"
            b"To: %b\r\n"
            b"Call-ID: call-1@10.0.0.2\r\n"
            b"CSeq: 3 %b\r\n"
            b"Content-Length: 0\r\n"
            b"\r\n"
        ) % (method.encode(), to, method.encode())


def test_a_session_description() -> None:
    headers, body = with_session(Address("2001:db8::1", 5060), [("Subject", "lunch")], None)
    assert headers == [("Content-Type", "application/sdp"), ("Subject", "lunch")]
    assert b"\r\nc=IN IP6 2001:db8::1\r\n" in body
    assert with_session(SOURCE, [], b"") == ([], b"")
