"""A UDP port of the simulated network."""

from __future__ import annotations

import errno
from collections.abc import Callable

import trio

from trio_sip.address import Address, Flow, is_ip_address
from trio_sip.errors import TransportError
from trio_sip.testing.delivery import Inbox, Wakeup
from trio_sip.transport.network import MAX_BURST, UdpStatistics
from trio_sip.transport.udp import DatagramCounters, FlowTable, SocketAddress

__all__ = ["MAX_PAYLOAD", "Carrier", "SimulatedUdpPort"]

MAX_PAYLOAD = 65_507

Carrier = Callable[[Address, Address, bytes], None]
"""Takes source, destination and data, as the network does."""


class SimulatedUdpPort:
    """A `UdpPort`. The network lets arrive here what others send."""

    def __init__(
        self,
        local: Address,
        carry: Carrier,
        on_close: Callable[[SimulatedUdpPort], None],
        wakeup: Wakeup | None = None,
    ) -> None:
        self.local = local
        self.inbox: Inbox[tuple[bytes, Address]] = Inbox(wakeup)
        self.drops = 0
        self._carry = carry
        self._on_close = on_close
        self._is_closed = False
        self._counters = DatagramCounters()
        self._flows = FlowTable(local, self._sendto, self._counters)

    def __repr__(self) -> str:
        return f"<SimulatedUdpPort {self.local}, {len(self.inbox)} under way to it>"

    def arrive(self, data: bytes, source: Address, delays: list[float]) -> tuple[float, ...]:
        """Put a datagram under way, once for each delay. Returns when those arrive that found room."""
        now = trio.current_time()
        arrivals = tuple(now + delay for delay in delays if self.inbox.put(now + delay, (data, source)))
        self.drops += len(delays) - len(arrivals)
        return arrivals

    async def receive_many(self) -> list[tuple[bytes, Flow]]:
        await trio.lowlevel.checkpoint()
        while not self._is_closed:
            if batch := self.receive_nowait():
                return batch
            await self.inbox.wait()
        raise trio.ClosedResourceError("this UDP port was closed")

    def receive_nowait(self) -> list[tuple[bytes, Flow]]:
        """What has arrived, at most `MAX_BURST` datagrams."""
        batch: list[tuple[bytes, Flow]] = [(data, self._flows[source]) for data, source in self.inbox.take(MAX_BURST)]
        self._counters.received += len(batch)
        return batch

    async def run_outbox(self) -> None:
        await trio.sleep_forever()  # nothing is gained here by sending later

    def flow_to(self, remote: Address) -> Flow:
        if not is_ip_address(remote.host) or (":" in remote.host) is not (":" in self.local.host):
            raise TransportError(f"udp {self.local} to {remote}: not an address of this port's family")
        return self._flows[remote]

    def statistics(self) -> UdpStatistics:
        counters = self._counters
        return UdpStatistics(
            received=counters.received,
            sent=counters.sent,
            send_lost=counters.send_lost,
            kernel_drops=self.drops,
            receive_errors=counters.receive_errors,
        )

    def close(self) -> None:
        if not self._is_closed:
            self._is_closed = True
            self._on_close(self)
            self.inbox.wakeup.set()

    def _sendto(self, data: bytes, socket_address: SocketAddress) -> None:
        if self._is_closed:
            raise OSError(errno.EBADF, "the port was closed")
        if len(data) > MAX_PAYLOAD:
            raise OSError(errno.EMSGSIZE, "message too long")
        self._carry(self.local, Address(*socket_address), data)
