"""What the server needs of a network, and nothing of how it is done.

`SocketNetwork` keeps these contracts with the system's sockets, `trio_sip.testing.SimulatedNetwork` with
virtual time. Hosts are IP addresses without brackets wherever an `Address` is taken or given; only
`Network.resolve` takes names.
"""

from __future__ import annotations

from typing import Protocol

import attrs
import trio

from trio_sip.address import Address, Flow
from trio_sip.identifiers import Identifiers

__all__ = ["MAX_BURST", "Network", "StreamListener", "UdpPort", "UdpStatistics"]

MAX_BURST = 64
"""Datagrams taken in one wake-up, so that one busy port leaves room for the other tasks."""


@attrs.frozen
class UdpStatistics:
    """Datagrams since the port was opened.

    `send_lost`: the system did not take them. `kernel_drops`: came in while the receive buffer was full.
    `receive_errors`: errors reported instead of a datagram, such as those of ICMP.
    """

    received: int
    sent: int
    send_lost: int
    kernel_drops: int
    receive_errors: int


class UdpPort(Protocol):
    """One bound UDP port."""

    @property
    def local(self) -> Address:
        """The address bound, with the real port where 0 was asked for."""

    async def receive_many(self) -> list[tuple[bytes, Flow]]:
        """Wait for datagrams; take those that are there, 1 to `MAX_BURST`, with the flow to each sender.

        Raises `trio.ClosedResourceError` once the port is closed, also while waiting.
        """

    async def run_outbox(self) -> None:
        """While this runs, datagrams may be put aside until the task that sends them lets others run.

        Runs until cancelled.
        """

    def flow_to(self, remote: Address) -> Flow:
        """The flow from this port to `remote`.

        Raises `TransportError` if `remote` is not of the port's family.
        """

    def statistics(self) -> UdpStatistics: ...

    def close(self) -> None:
        """Give the port back. Sending over its flows raises `TransportError` from now on."""


class StreamListener(Protocol):
    """One listening TCP port."""

    @property
    def local(self) -> Address:
        """The address bound, with the real port where 0 was asked for."""

    async def accept(self) -> tuple[trio.abc.Stream, Address]:
        """Wait for a connection; gives the stream, which the caller has to close, and the remote address.

        Outlives connections aborted before they were accepted, and a system short of file descriptors.
        Raises `trio.ClosedResourceError` once the listener is closed, also while waiting.
        """

    def close(self) -> None:
        """Listen no more. Accepted connections stay."""


class Network(Protocol):
    """Ports, connections and the addresses of this machine."""

    @property
    def identifiers(self) -> Identifiers:
        """Where branches, tags and Call-IDs come from."""

    async def open_udp(self, address: Address) -> UdpPort:
        """Bind a UDP port; 0 lets the system choose. Raises `ListenError`."""

    async def open_tcp(self, address: Address) -> StreamListener:
        """Listen on a TCP port; 0 lets the system choose. Raises `ListenError`."""

    async def connect_tcp(self, remote: Address) -> tuple[trio.abc.Stream, Address]:
        """Connect to a listening port.

        Gives the stream and its local address. Raises `TransportError`. The caller bounds the time.
        """

    async def resolve(self, host: str) -> list[str]:
        """The IP addresses (A, AAAA) of `host`, at least one; a numeric host at once.

        Raises `TransportError`.
        """

    def is_local(self, host: str) -> bool:
        """Whether the IP address `host` is one of this machine's; False for names.

        Tells our own Via and Route.
        """

    def source_host(self, toward: str) -> str:
        """The IP address of ours that packets to the IP address `toward` leave from, for Via.

        Raises `TransportError`.
        """
