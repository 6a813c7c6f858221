from __future__ import annotations

import pytest
from proxy_messages import OURS, SOURCE, request, response

from trio_sip.address import Address
from trio_sip.errors import RemoteProtocolError
from trio_sip.message.parse import parse
from trio_sip.proxy.forward import forwarded_request, forwarded_response, own_via

VIA = b"Via: SIP/2.0/UDP 10.0.0.1:5060;branch=z9hG4bKours;rport"
TOP = "Via: SIP/2.0/UDP 10.0.0.1:5060;branch=z9hG4bKours;rport=9;received=10.0.0.9"


def test_our_via() -> None:
    assert own_via("udp", OURS, b"z9hG4bKours") == VIA
    assert own_via("tcp", Address("::1", 7), b"b") == b"Via: SIP/2.0/TCP [::1]:7;branch=b;rport"


def test_a_forwarded_request() -> None:
    message = request("Subject:  a\r\n b", via="SIP/2.0/UDP h;rport;branch=z9hG4bK1")
    assert forwarded_request(message, SOURCE, VIA).split(b"\r\n") == [
        b"INVITE sip:bob@example.net SIP/2.0",
        VIA,
        b"Via: SIP/2.0/UDP h;rport=40000;received=10.0.0.2;branch=z9hG4bK1",
        b"Max-Forwards: 69",
        b"From: <sip:alice@example.com>;tag=1",
        b"To: <sip:bob@example.net>",
        b"Call-ID: x",
        b"CSeq: 1 INVITE",
        b"Subject:  a",
        b" b",
        b"Content-Length: 0",
        b"",
        b"",
    ]


@pytest.mark.parametrize(("hops", "after"), [(None, 70), ("1", 0), ("0068", 67), ("255", 254)])
def test_max_forwards(hops: str | None, after: int) -> None:
    message = parse(forwarded_request(request(hops=hops), SOURCE, VIA))
    assert message.headers.get_all("Max-Forwards") == [str(after)]


def test_no_hop_is_left() -> None:
    with pytest.raises(RemoteProtocolError) as refused:
        forwarded_request(request(hops="0"), SOURCE, VIA)
    assert refused.value.status == 483


def test_vias_that_share_a_line_stay_in_order() -> None:
    message = request("v: SIP/2.0/UDP f", via="SIP/2.0/UDP h;branch=z9hG4bK1 ,SIP/2.0/UDP g")
    forwarded = parse(forwarded_request(message, SOURCE, VIA))
    assert [via.host for via in forwarded.vias] == ["10.0.0.1", "h", "g", "f"]
    assert forwarded.vias[1].received == "10.0.0.2"


@pytest.mark.parametrize("hops", [None, "70"])
@pytest.mark.parametrize("length", ["Content-Length: 2", "l:2"])
def test_what_follows_the_body_does_not_go_on(hops: str | None, length: str) -> None:
    """Wherever Content-Length stands, no other header suffers."""
    whole = request("X-One: 1", "Content-Type: a/b", hops=hops, body="hi").data
    for spelled in (
        whole,
        whole.replace(b"Content-Length: 2", b"X: y").replace(b"Via:", length.encode() + b"\r\nVia:"),
    ):
        message = parse(spelled + b"more than that")
        forwarded = parse(forwarded_request(message, SOURCE, VIA))  # type: ignore[arg-type]
        assert forwarded.body == b"hi"
        assert (forwarded.headers["Content-Type"], forwarded.headers["X-One"]) == ("a/b", "1")
        assert sorted(forwarded.keys) == sorted([*message.keys, "via", *(["max-forwards"] if hops is None else [])])


@pytest.mark.parametrize(
    ("vias", "after"),
    [
        ([TOP], []),
        ([TOP, "v: SIP/2.0/UDP a"], ["v: SIP/2.0/UDP a"]),
        ([f"{TOP} , SIP/2.0/UDP a"], ["Via: SIP/2.0/UDP a"]),
        (
            [f"{TOP},SIP/2.0/UDP a,SIP/2.0/UDP b", "Via:SIP/2.0/UDP c"],
            ["Via: SIP/2.0/UDP a,SIP/2.0/UDP b", "Via:SIP/2.0/UDP c"],
        ),
        ([f'{TOP};x="a,b", SIP/2.0/UDP a'], ["Via: SIP/2.0/UDP a"]),
        ([f"{TOP},\r\n SIP/2.0/UDP a"], ["Via: SIP/2.0/UDP a"]),
    ],
)
def test_a_forwarded_response_has_lost_our_via_alone(vias: list[str], after: list[str]) -> None:
    message = response(*vias, "X: y", "Content-Length: 0")
    rest = [
        "X: y",
        "Content-Length: 0",
        "From: <sip:a@b>;tag=1",
        "To: <sip:c@d>;tag=2",
        "Call-ID: x",
        "CSeq: 1 INVITE",
    ]
    expected = ["SIP/2.0 200 OK", *after, *rest, "", ""]
    assert forwarded_response(message).decode().split("\r\n") == expected


def test_a_response_with_its_length_before_its_vias() -> None:
    message = response("l: 2", TOP, "Via: SIP/2.0/UDP a", "X-Y: z", body="hi", tail="more")
    forwarded = parse(forwarded_response(message))
    assert forwarded.body == b"hi"
    assert forwarded.keys == ("content-length", "via", "x-y", "from", "to", "call-id", "cseq")


def test_a_response_a_route_has_edited() -> None:
    message = response(TOP, "Via: SIP/2.0/UDP a", "Server: x", "Content-Length: 0")
    message.headers.remove("Server")
    message.body = b"body"
    forwarded = parse(forwarded_response(message))
    assert "Server" not in forwarded.headers
    assert [via.host for via in forwarded.vias] == ["a"]
    assert forwarded.body == b"body"
