from __future__ import annotations

import pytest
from proxy_messages import SOURCE, request, response

from trio_sip.address import Address, Destination
from trio_sip.errors import RemoteProtocolError
from trio_sip.message.values import Via
from trio_sip.proxy.forward import next_target, next_via
from trio_sip.proxy.via import further_vias, reply_address, response_target, rest_of_top_line, stamp

# The Via of a request from 10.0.0.2:40000, the Via in its answer, and where that is sent: None is back there.
B = ";branch=z9hG4bK1"
STAMPED: list[tuple[str, str, Address | None]] = [
    (f"SIP/2.0/UDP 10.0.0.2{B}", f"SIP/2.0/UDP 10.0.0.2{B}", Address("10.0.0.2", 5060)),
    (f"SIP/2.0/UDP 10.0.0.2:40000{B}", f"SIP/2.0/UDP 10.0.0.2:40000{B}", None),
    (f"SIP/2.0/UDP h:5070{B}", f"SIP/2.0/UDP h:5070{B};received=10.0.0.2", Address("10.0.0.2", 5070)),
    (f"SIP/2.0/UDP h;rport{B}", f"SIP/2.0/UDP h;rport=40000;received=10.0.0.2{B}", None),
    (f"SIP/2.0/UDP h{B};rport", f"SIP/2.0/UDP h{B};rport=40000;received=10.0.0.2", None),
    (f"SIP/2.0/UDP h:0{B};rport", f"SIP/2.0/UDP h:0{B};rport=40000;received=10.0.0.2", None),
    (f"SIP/2.0/UDP h:0{B}", f"SIP/2.0/UDP h:0{B};received=10.0.0.2", None),
    (f"SIP/2.0/UDP 10.0.0.2{B};rport", f"SIP/2.0/UDP 10.0.0.2{B};rport=40000;received=10.0.0.2", None),
    # What the client says itself is not believed
    (f"SIP/2.0/UDP h;received=9.9.9.9{B}", f"SIP/2.0/UDP h;received=10.0.0.2{B}", Address("10.0.0.2", 5060)),
    (
        f"SIP/2.0/UDP 10.0.0.2;received=9.9.9.9{B}",
        f"SIP/2.0/UDP 10.0.0.2;received=10.0.0.2{B}",
        Address("10.0.0.2", 5060),
    ),
    (f"SIP/2.0/UDP h{B};rport=9;received=9.9.9.9", f"SIP/2.0/UDP h{B};rport=40000;received=10.0.0.2", None),
    (f"SIP/2.0/UDP h{B};RPORT=99999", f"SIP/2.0/UDP h{B};rport=40000;received=10.0.0.2", None),
    (f"SIP/2.0/UDP h{B};rport=x", f"SIP/2.0/UDP h{B};rport=40000;received=10.0.0.2", None),
    # maddr (18.2.2)
    (
        f"SIP/2.0/UDP h;maddr=192.0.2.9{B}",
        f"SIP/2.0/UDP h;maddr=192.0.2.9{B};received=10.0.0.2",
        Address("192.0.2.9", 5060),
    ),
    (
        f"SIP/2.0/UDP h:7;maddr=[::1]{B};rport",
        f"SIP/2.0/UDP h:7;maddr=[::1]{B};rport=40000;received=10.0.0.2",
        Address("::1", 7),
    ),
    (
        f"SIP/2.0/UDP h;maddr=name{B}",
        f"SIP/2.0/UDP h;maddr=name{B};received=10.0.0.2",
        Address("10.0.0.2", 5060),
    ),
    # Out of the ordinary, and kept
    (
        f'SIP / 2.0 / UDP  10.0.0.2 {B};x="a,b"',
        f'SIP / 2.0 / UDP  10.0.0.2 {B};x="a,b"',
        Address("10.0.0.2", 5060),
    ),
    (
        f'SIP/2.0/UDP h{B};x="a,;rport"',
        f'SIP/2.0/UDP h{B};x="a,;rport";received=10.0.0.2',
        Address("10.0.0.2", 5060),
    ),
    (f"SIP/2.0/TLS h{B};alias", f"SIP/2.0/TLS h{B};alias;received=10.0.0.2", Address("10.0.0.2", 5061)),
]


@pytest.mark.parametrize(("via", "stamped", "address"), STAMPED)
def test_the_topmost_via_of_a_request(via: str, stamped: str, address: Address | None) -> None:
    message = request(via=via)
    assert stamp(message, SOURCE).decode() == stamped
    assert reply_address(message, SOURCE) == address


@pytest.mark.parametrize(("via", "stamped", "address"), STAMPED)
def test_among_others_it_is_stamped_alike(via: str, stamped: str, address: Address | None) -> None:
    message = request("v: SIP/2.0/UDP f", via=f'{via} , SIP/2.0/UDP e;x="a,b"')
    stamped_here, stamped_alone = Via.parse(stamp(message, SOURCE).decode()), Via.parse(stamped)
    assert stamped_here.host == stamped_alone.host
    assert set(stamped_here.parameters) == set(stamped_alone.parameters)
    assert reply_address(message, SOURCE) == address
    assert rest_of_top_line(message) == b'SIP/2.0/UDP e;x="a,b"'
    assert further_vias(message) == (b'SIP/2.0/UDP e;x="a,b"', b"SIP/2.0/UDP f")


def test_ipv6() -> None:
    source = Address("2001:db8::2", 40_000)
    assert (
        stamp(request(via=f"SIP/2.0/UDP h{B};rport"), source)
        == b"SIP/2.0/UDP h;branch=z9hG4bK1;rport=40000;received=2001:db8::2"
    )
    assert stamp(request(via=f"SIP/2.0/UDP [2001:db8::2]{B}"), source) == b"SIP/2.0/UDP [2001:db8::2]" + B.encode()


@pytest.mark.parametrize(
    ("vias", "further"),
    [
        (("Via: SIP/2.0/UDP a",), ()),
        (("Via: SIP/2.0/UDP a;branch=z9hG4bK1", "v : SIP/2.0/UDP b"), (b"SIP/2.0/UDP b",)),
        (("Via: SIP/2.0/UDP a,SIP/2.0/UDP b", "Via: SIP/2.0/UDP c"), (b"SIP/2.0/UDP b", b"SIP/2.0/UDP c")),
        (('Via: SIP/2.0/UDP a;x="\\",",SIP/2.0/UDP b',), (b"SIP/2.0/UDP b",)),
        (("Via: SIP/2.0/UDP a,\r\n SIP/2.0/UDP\r\n\tb",), (b"SIP/2.0/UDP\r\n\tb",)),
    ],
)
def test_vias_below_the_topmost(vias: tuple[str, ...], further: tuple[bytes, ...]) -> None:
    message = response(*vias)
    assert further_vias(message) == further
    below = next_via(message)
    assert (response_target(below).to.host if below else None) == ("b" if further else None)


@pytest.mark.parametrize(
    ("via", "target"),
    [
        ("SIP/2.0/UDP h", Destination("udp", "h", 5060)),
        ("SIP/2.0/TCP h:5070", Destination("tcp", "h", 5070)),
        ("SIP/2.0/UDP h:5070;received=192.0.2.1", Destination("udp", "192.0.2.1", 5070)),
        ("SIP/2.0/UDP h:5070;received=192.0.2.1;rport=9", Destination("udp", "192.0.2.1", 9)),
        ("SIP/2.0/UDP h:5070;received=[2001:db8::1];rport=9", Destination("udp", "2001:db8::1", 9)),
        ("SIP/2.0/UDP h:5070;rport=9", Destination("udp", "h", 5070)),
        ("SIP/2.0/UDP h:5070;rport;received=192.0.2.1", Destination("udp", "192.0.2.1", 5070)),
        ("SIP/2.0/UDP h;maddr=192.0.2.9", Destination("udp", "192.0.2.9", 5060)),
        ("SIP/2.0/UDP h:0", Destination("udp", "h", 5060)),
    ],
)
def test_where_a_response_goes(via: str, target: Destination) -> None:
    assert response_target(via.encode()).to == target


def test_a_response_with_a_bad_rport_goes_nowhere() -> None:
    with pytest.raises(RemoteProtocolError):
        response_target(b"SIP/2.0/UDP h;received=192.0.2.1;rport=99999")


@pytest.mark.parametrize(
    ("below", "target"),
    [
        ("SIP/2.0/UDP h;branch=z9hG4bK2", Destination("udp", "h", 5060)),
        ("SIP/2.0/TCP h:5070;branch=z9hG4bK2", Destination("tcp", "h", 5070)),
        ("SIP/2.0/UDP h:5070;branch=z9hG4bK2;rport=9;received=192.0.2.1", Destination("udp", "192.0.2.1", 9)),
        ("SIP/2.0/UDP h:5070;branch=z9hG4bK2;rport=9", Destination("udp", "h", 5070)),
        ("SIP/2.0/UDP h;branch=z9hG4bK2;received=192.0.2.1;rport=9", Destination("udp", "192.0.2.1", 9)),
        ("SIP/2.0/UDP h;branch=z9hG4bK2;maddr=192.0.2.9", Destination("udp", "192.0.2.9", 5060)),
        ("SIP/2.0/UDP h;branch=z9hG4bK2, SIP/2.0/UDP g;branch=z9hG4bK3", Destination("udp", "h", 5060)),
    ],
)
def test_a_shape_says_where_a_response_goes_as_the_general_reader_does(below: str, target: Destination) -> None:
    vias = f"Via: SIP/2.0/UDP a;branch=z9hG4bK1;rport=5060;received=192.0.2.7\r\nVia: {below}", "X-Shape: next-target"
    first = next_target(response(*vias))
    for _ in range(1000):
        message = response(*vias)
        if message.match is not None:
            break
    assert message.match is not None, "the order was not learned"
    found = next_target(message)
    assert found is not None
    assert found.to == target
    assert found == first
