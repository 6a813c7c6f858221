from __future__ import annotations

from trio_sip.address import Address
from trio_sip.testing import make_request, make_response

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
    assert make_response(request, 180, "Ringing", headers=[("Contact", "<sip:b@10.0.0.3>")]) == (
        b"SIP/2.0 180 Ringing\r\n"
        b"Via: SIP/2.0/UDP 10.0.0.2:5060;branch=z9hG4bK-INVITE-1-call-1@10.0.0.2;rport\r\n"
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
