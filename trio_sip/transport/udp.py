"""Datagram flows: the way back to each peer of one UDP port.

Receiving costs one dict look-up per datagram and sending one call, so everything a flow needs is computed
when its peer is first heard of. The real and the simulated port share this; they differ in the `sendto`
they pass in, which behaves as that of a non-blocking socket.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import Any, NoReturn, Protocol

import attrs

from trio_sip.address import Address
from trio_sip.errors import TransportError
from trio_sip.transport.destinations import why_unreachable

__all__ = ["MAX_FLOWS", "MAX_PAYLOAD", "DatagramCounters", "DatagramFlow", "FlowTable", "Outbox", "SocketAddress"]

MAX_FLOWS = 65_536
MAX_PAYLOAD = 65_507
"""Bytes a datagram can carry over IPv4."""

SocketAddress = tuple[Any, ...]
"""What `recvfrom` gives and `sendto` takes: (host, port) or (host, port, flow label, scope)."""

# The system was short of room, or told of an earlier datagram's fate: this one is lost, as UDP loses
# datagrams. Any other error will come again for the same destination, so the caller hears of it and can try
# elsewhere.
_LOSSES = frozenset({errno.EAGAIN, errno.EWOULDBLOCK, errno.ENOBUFS, errno.ENOMEM, errno.ECONNREFUSED})


@attrs.define
class DatagramCounters:
    """What a port counts while it works; see `UdpStatistics`."""

    received: int = 0
    sent: int = 0
    send_lost: int = 0
    receive_errors: int = 0


class Outbox(Protocol):
    """Where a port puts datagrams aside, to send them together; see `outbox`."""

    @property
    def running(self) -> bool: ...

    def put(self, flow: DatagramFlow, data: bytes) -> None: ...


class DatagramFlow:
    """A `Flow` from one UDP port to one peer."""

    __slots__ = ("_counters", "_is_proven", "_outbox", "_sendto", "_socket_address", "local", "remote")

    transport = "udp"
    reliable = False

    def __init__(
        self,
        local: Address,
        socket_address: SocketAddress,
        sendto: Callable[[bytes, SocketAddress], object],
        counters: DatagramCounters,
        outbox: Outbox | None = None,
    ) -> None:
        self.local = local
        self._outbox = outbox
        self._is_proven = False  # the system took the last datagram
        # A link-local address comes with its interface (fe80::1%eth0), which means nothing to anybody else.
        self.remote = Address(socket_address[0].partition("%")[0], socket_address[1])
        self._socket_address = socket_address
        self._counters = counters
        self._sendto = self._refuse if why_unreachable(self.remote) else sendto

    def __repr__(self) -> str:
        return f"<DatagramFlow {self.local} to {self.remote}>"

    def send(self, data: bytes) -> None:
        """Send one datagram without waiting. What the system cannot take now is lost and counted.

        Raises `TransportError` if it can never arrive: no route, too long, forbidden destination, port
        closed.
        """
        if len(data) > MAX_PAYLOAD:
            self._counters.send_lost += 1
            raise TransportError(f"udp {self.local} to {self.remote}: {len(data)} bytes are too long for a datagram")
        outbox = self._outbox
        if self._is_proven and outbox is not None and outbox.running:
            outbox.put(self, data)
            return
        try:
            self._sendto(data, self._socket_address)
        except OSError as error:
            self._not_sent(error)
        else:
            self._counters.sent += 1
            self._is_proven = True

    def send_put_aside(self, data: bytes) -> None:
        """Send what the outbox has kept. An error is counted, and told to whoever sends next."""
        try:
            self._sendto(data, self._socket_address)
        except OSError:
            self._counters.send_lost += 1
            self._is_proven = False
        else:
            self._counters.sent += 1

    def _not_sent(self, error: OSError) -> None:
        self._counters.send_lost += 1
        if error.errno not in _LOSSES:
            raise TransportError(f"udp {self.local} to {self.remote}: {error.strerror}") from error

    def _refuse(self, data: bytes, socket_address: SocketAddress) -> NoReturn:
        self._counters.send_lost += 1
        raise TransportError(f"udp {self.local} to {self.remote}: {why_unreachable(self.remote)}")


class FlowTable(dict[SocketAddress, DatagramFlow]):
    """The flows of one port by socket address; `table[peer]` makes those that are not there.

    A flow has no state of its own. When the table is full it is emptied, and the peers still alive are back
    at their next datagram; forgetting one by one would cost every datagram.
    """

    def __init__(
        self,
        local: Address,
        sendto: Callable[[bytes, SocketAddress], object],
        counters: DatagramCounters,
        outbox: Outbox | None = None,
    ) -> None:
        super().__init__()
        self._outbox = outbox
        self._local = local
        self._sendto = sendto
        self._counters = counters

    def __missing__(self, peer: SocketAddress) -> DatagramFlow:
        if len(self) >= MAX_FLOWS:
            self.clear()
        flow = self[peer] = DatagramFlow(self._local, peer, self._sendto, self._counters, self._outbox)
        return flow
