"""A peer on the simulated network that deals in bytes: sends what it is told, keeps what it gets.

For malformed messages, and for all that is beneath SIP. `UserAgent` builds on it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from math import inf
from typing import Protocol

import trio

from trio_sip.address import DEFAULT_PORT, Address, is_ip_address
from trio_sip.message.framing import StreamFramer
from trio_sip.message.grammar import PORT_MAXIMUM
from trio_sip.testing.delivery import Wakeup
from trio_sip.testing.simulated_stream import SimulatedListener, SimulatedStream
from trio_sip.testing.simulated_udp import SimulatedUdpPort
from trio_sip.testing.trace import TraceRecord

__all__ = ["Endpoint", "NothingReceived", "read_address", "wait_any"]

_ACCEPTED_AT_ONCE = 16


class NothingReceived(AssertionError):  # noqa: N818
    """Somebody on the simulated network waited for a message in vain."""


class _Network(Protocol):
    """What an endpoint needs of `SimulatedNetwork`, which makes it."""

    @property
    def trace(self) -> Sequence[TraceRecord]: ...
    def bind_udp(self, address: Address, wakeup: Wakeup | None = None) -> SimulatedUdpPort: ...
    def bind_tcp(self, address: Address, wakeup: Wakeup | None = None) -> SimulatedListener: ...
    def open_stream(self, local: Address, remote: Address, wakeup: Wakeup | None = None) -> SimulatedStream: ...


class Endpoint:
    """Sends bytes and receives messages over UDP or TCP; over TCP it opens a connection where it has none."""

    def __init__(self, network: _Network, address: Address, transport: str = "udp") -> None:
        self.address = address
        self.transport = transport
        self._network = network
        self._wakeup = Wakeup()
        self._link: _Link = (_Streams if transport == "tcp" else _Datagrams)(network, address, self._wakeup)
        self._received: deque[tuple[bytes, Address]] = deque()
        self._taken = 0

    def __repr__(self) -> str:
        return f"<Endpoint {self.transport}:{self.address}>"

    def send(self, data: bytes, to: Address | str) -> None:
        """Send `data` to an address, or to `"host:port"` or `"host"`. It is on its way when this returns."""
        self._received += self._link.take()  # so that a connection that has ended is not used again
        self._link.send(data, read_address(to) if isinstance(to, str) else to)

    async def receive(self, timeout: float = 32.0) -> bytes:  # noqa: ASYNC109
        """The next message, waiting up to `timeout` (virtual) seconds. Raises `NothingReceived`."""
        return (await self.receive_from(timeout))[0]

    def receive_nowait(self) -> bytes | None:
        """The next message if one has arrived, else None."""
        received = self.receive_from_nowait()
        return None if received is None else received[0]

    async def receive_from(self, timeout: float = 32.0) -> tuple[bytes, Address]:  # noqa: ASYNC109
        """As `receive`, with the address it came from: what is sent there goes back over the same connection."""
        await trio.lowlevel.checkpoint()
        deadline = trio.current_time() + timeout
        while (received := self.receive_from_nowait()) is None:
            if trio.current_time() >= deadline:
                raise NothingReceived(
                    f"endpoint {self.transport}:{self.address} got no message in {timeout:g} s"
                    f" (until t={deadline:.3f}); it had {self._taken} before"
                )
            await self.wait_until(deadline)
        return received

    def receive_from_nowait(self) -> tuple[bytes, Address] | None:
        """As `receive_nowait`, with the address it came from."""
        self._received += self._link.take()
        if not self._received:
            return None
        self._taken += 1
        return self._received.popleft()

    async def wait_until(self, deadline: float) -> None:
        """Sleep until something may have arrived, or until `deadline`."""
        await self._wakeup.wait_until(min(deadline, self._link.next_at))

    def sent_record(self, data: bytes) -> TraceRecord | None:
        """What became of `data`, sent from here: the last such record of the trace."""
        records = reversed(self._network.trace)
        return next((record for record in records if record.data == data and self._is_from_here(record)), None)

    def arrivals(self, data: bytes, source: Address) -> list[float]:
        """When `data` from that source arrived here, by the trace."""
        here = self.address.host
        records = [record for record in self._network.trace if record.data == data and record.source == source]
        return sorted(at for record in records if record.destination.host == here for at in record.arrivals)

    def close(self) -> None:
        """Leave the network: what is sent here from now on is unreachable."""
        self._link.close()

    def _is_from_here(self, record: TraceRecord) -> bool:
        return record.transport == self.transport and record.source.host == self.address.host


async def wait_any(endpoints: Sequence[Endpoint], deadline: float) -> None:
    """Sleep until something may have arrived at one of them, or until `deadline`."""
    first, *others = endpoints
    if not others:
        await first.wait_until(deadline)
        return
    async with trio.open_nursery() as nursery:

        async def wait(endpoint: Endpoint) -> None:
            await endpoint.wait_until(deadline)
            nursery.cancel_scope.cancel()

        for endpoint in endpoints:
            nursery.start_soon(wait, endpoint)


class _Link(Protocol):
    """What an endpoint does over one transport."""

    @property
    def next_at(self) -> float: ...
    def send(self, data: bytes, to: Address) -> None: ...
    def take(self) -> list[tuple[bytes, Address]]: ...
    def close(self) -> None: ...


class _Datagrams:
    def __init__(self, network: _Network, address: Address, wakeup: Wakeup) -> None:
        self._port = network.bind_udp(address, wakeup)

    @property
    def next_at(self) -> float:
        return self._port.inbox.next_at

    def send(self, data: bytes, to: Address) -> None:
        self._port.flow_to(to).send(data)

    def take(self) -> list[tuple[bytes, Address]]:
        return [(data, flow.remote) for data, flow in self._port.receive_nowait()]

    def close(self) -> None:
        self._port.close()


class _Streams:
    def __init__(self, network: _Network, address: Address, wakeup: Wakeup) -> None:
        self._network = network
        self._wakeup = wakeup
        self._listener = network.bind_tcp(address, wakeup)
        self._open: dict[Address, tuple[SimulatedStream, StreamFramer]] = {}

    @property
    def next_at(self) -> float:
        incoming = (stream.incoming.next_at for stream, _ in self._open.values())
        return min(self._listener.inbox.next_at, *incoming, inf)

    def send(self, data: bytes, to: Address) -> None:
        if to not in self._open:
            local = Address(self._listener.local.host, 0)
            self._open[to] = (self._network.open_stream(local, to, self._wakeup), StreamFramer())
        self._open[to][0].send_nowait(data)

    def take(self) -> list[tuple[bytes, Address]]:
        for stream, remote in self._listener.inbox.take(_ACCEPTED_AT_ONCE):
            stream.incoming.arrived = self._wakeup
            self._open[remote] = (stream, StreamFramer())
        return [(message, remote) for remote in list(self._open) for message in self._take_from(remote)]

    def close(self) -> None:
        self._listener.close()
        for stream, _ in self._open.values():
            stream.reset()
        self._open.clear()

    def _take_from(self, remote: Address) -> list[bytes]:
        stream, framer = self._open[remote]
        data: bytes | None = b""
        with suppress(trio.BrokenResourceError):
            while data := stream.receive_nowait():
                framer.feed(data)
        if data is not None:  # the end, one way or the other: the next message opens a new connection
            stream.reset()
            del self._open[remote]
        return list(iter(framer.next_message, None))


def read_address(text: str) -> Address:
    """Read `"host:port"`, or `"host"` alone, with the default port. Raises `ValueError`.

    An IPv6 host that has a port stands in brackets.
    """
    host, colon, port = text, "", ""
    if text.startswith("["):
        host, _, rest = text[1:].partition("]")
        colon, port = rest[:1], rest[1:]
    elif text.count(":") == 1:
        host, colon, port = text.partition(":")
    if not is_ip_address(host) or colon not in ("", ":") or (colon and not _is_port(port)):
        raise ValueError(
            f"{text!r} is not an address on the network: write '10.0.0.1', '10.0.0.1:5070' or '[::1]:5060'"
        )
    return Address(host, int(port) if colon else DEFAULT_PORT)


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 5 and int(text) <= PORT_MAXIMUM
