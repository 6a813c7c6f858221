from __future__ import annotations

import errno
from typing import Any

import pytest

from trio_sip.address import Address
from trio_sip.errors import TransportError
from trio_sip.transport import udp
from trio_sip.transport.destinations import why_unreachable
from trio_sip.transport.udp import DatagramCounters, FlowTable

LOCAL = Address("10.0.0.1", 5060)


class Sender:
    """A `sendto` that remembers, or fails."""

    def __init__(self, error: OSError | None = None) -> None:
        self.sent: list[tuple[bytes, Any]] = []
        self.error = error
        self.counters = DatagramCounters()
        self.flows = FlowTable(LOCAL, self, self.counters)

    def __call__(self, data: bytes, peer: Any) -> int:
        if self.error:
            raise self.error
        self.sent.append((data, peer))
        return len(data)


def test_a_flow_leads_back() -> None:
    sender = Sender()
    flow = sender.flows["10.0.0.2", 5070]
    flow.send(b"hello")
    assert sender.sent == [(b"hello", ("10.0.0.2", 5070))]
    assert (flow.transport, flow.reliable) == ("udp", False)
    assert (flow.local, flow.remote) == (LOCAL, Address("10.0.0.2", 5070))
    assert repr(flow) == "<DatagramFlow 10.0.0.1:5060 to 10.0.0.2:5070>"
    assert sender.counters.sent == 1


def test_a_peer_has_one_flow() -> None:
    flows = Sender().flows
    assert flows["10.0.0.2", 5070] is flows["10.0.0.2", 5070]
    assert len(flows) == 1


def test_the_zone_of_a_link_local_address_stays_here() -> None:
    sender = Sender()
    flow = sender.flows["fe80::1%eth0", 5060, 0, 2]
    flow.send(b"x")
    assert flow.remote == Address("fe80::1", 5060)
    assert sender.sent == [(b"x", ("fe80::1%eth0", 5060, 0, 2))]


def test_the_table_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(udp, "MAX_FLOWS", 8)
    sender = Sender()
    for port in range(1, 100):
        sender.flows["10.0.0.2", port].send(b"x")
        assert len(sender.flows) <= 8
    assert sender.counters.sent == 99


@pytest.mark.parametrize("number", [errno.EAGAIN, errno.ENOBUFS, errno.ECONNREFUSED])
def test_what_the_system_cannot_take_is_lost_and_counted(number: int) -> None:
    sender = Sender(OSError(number, "no"))
    sender.flows["10.0.0.2", 5060].send(b"x")
    assert (sender.counters.sent, sender.counters.send_lost) == (0, 1)


@pytest.mark.parametrize("number", [errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EMSGSIZE, errno.EPERM, errno.EBADF])
def test_what_will_not_get_better_is_said(number: int) -> None:
    sender = Sender(OSError(number, "because"))
    with pytest.raises(TransportError, match=r"udp 10\.0\.0\.1:5060 to 10\.0\.0\.2:5060: because"):
        sender.flows["10.0.0.2", 5060].send(b"x")
    assert sender.counters.send_lost == 1


FORBIDDEN = [
    Address("10.0.0.2", 0),
    Address("10.0.0.2", 65536),
    Address("0.0.0.0", 5060),
    Address("::", 5060),
    Address("::ffff:0.0.0.0", 5060),
    Address("255.255.255.255", 5060),
    Address("224.0.1.75", 5060),
    Address("ff02::1", 5060),
    Address("example.com", 5060),
    Address("", 5060),
]


@pytest.mark.parametrize("remote", FORBIDDEN, ids=str)
def test_forbidden_destinations(remote: Address) -> None:
    assert why_unreachable(remote)
    sender = Sender()
    with pytest.raises(TransportError):
        sender.flows[remote].send(b"x")
    assert sender.sent == []


@pytest.mark.parametrize("host", ["10.0.0.2", "127.0.0.1", "::1", "2001:db8::1"])
def test_allowed_destinations(host: str) -> None:
    assert why_unreachable(Address(host, 5060)) is None
