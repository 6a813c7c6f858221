from __future__ import annotations

import pytest
from proxy_messages import OURS, is_ours, request

from trio_sip.errors import RemoteProtocolError
from trio_sip.identifiers import Identifiers
from trio_sip.message.model import Request
from trio_sip.message.parse import parse
from trio_sip.proxy.branch import branch_for
from trio_sip.proxy.forward import forwarded_request, own_via
from trio_sip.proxy.validate import check_request

IDENTIFIERS = Identifiers(1)


def refused(message: Request) -> tuple[int, tuple[tuple[str, str], ...]] | None:
    try:
        check_request(message, is_ours)
    except RemoteProtocolError as error:
        return error.status, error.headers
    return None


def again(message: Request, uri: str | None = None) -> Request:
    """The message as it comes back to us, after somebody changed its Request-URI or did not."""
    via = own_via("udp", OURS, branch_for(message, IDENTIFIERS))
    data = forwarded_request(message, OURS, via).replace(b"Max-Forwards: 69", b"Max-Forwards: 68")
    if uri is not None:
        data = data.replace(b"INVITE " + message.uri_text.encode(), b"INVITE " + uri.encode(), 1)
    back = parse(data)
    assert isinstance(back, Request)
    return back


@pytest.mark.parametrize(
    ("message", "status"),
    [
        (request(), None),
        (request(uri="sips:bob@example.net"), None),
        (request(uri="tel:+1-201-555-0123"), None),
        (request(uri="isbn:2983792873"), 416),
        (request(uri="http://example.net/"), 416),
        (request(via="SIP/2.0/UDP h;branch=z9hG4bK"), 400),
        (request(via="SIP/2.0/UDP h"), None),
        (request(via="SIP/2.0/UDP h;branch=1"), None),
        (request(hops="0"), 483),
        (request(hops="00"), 483),
        (request(hops="1"), None),
        (request(hops=None), None),
        (request(hops="0", method="OPTIONS"), None),
        (request("Proxy-Require:"), None),
        (request("Proxy-Require: a b"), 400),
        (request("Proxy-Require: a,,b"), 400),
        (request('Proxy-Require: "\\\0"'), 400),
        (request("Proxy-Require: foo", method="ACK"), None),
        (request("Proxy-Require: foo", method="CANCEL"), None),
        (request("Require: foo"), None),
        (request("Via: junk"), 400),
    ],
)
def test_what_must_not_be_routed(message: Request, status: int | None) -> None:
    outcome = refused(message)
    assert (outcome[0] if outcome else None) == status


def test_extensions_nobody_knows_are_named() -> None:
    message = request("Proxy-Require: foo ,\r\n bar", "PROXY-REQUIRE: baz")
    assert refused(message) == (420, (("Unsupported", "foo, bar, baz"),))


def test_a_loop_is_refused() -> None:
    assert refused(again(request())) == (482, ())
    assert refused(again(again(request("X: y"), uri="sip:x@y"), uri="sip:bob@example.net")) == (482, ())


def test_a_loop_on_one_line_is_refused() -> None:
    back = again(request(via="SIP/2.0/UDP a;branch=z9hG4bK1, SIP/2.0/UDP b;branch=z9hG4bK2"))
    joined = back.data.replace(b";rport\r\nVia: ", b";rport, ")
    assert joined != back.data
    message = parse(joined)
    assert isinstance(message, Request)
    assert refused(message) == (482, ())


@pytest.mark.parametrize("uri", ["sip:carol@example.net", "sip:bob@example.net;x=y"])
def test_a_spiral_is_none(uri: str) -> None:
    assert refused(again(request(), uri)) is None


def test_another_one_with_our_address_is_no_loop() -> None:
    assert refused(request(f"Via: SIP/2.0/UDP {OURS};branch=z9hG4bKa.0000")) is None
    assert refused(request(f"Via: SIP/2.0/UDP {OURS}")) is None


def test_the_same_branch_of_another_host_is_no_loop() -> None:
    back = again(request())
    data = back.data.replace(b"10.0.0.1:5060", b"10.0.0.7:5060", 1)
    message = parse(data)
    assert isinstance(message, Request)
    assert refused(message) is None
