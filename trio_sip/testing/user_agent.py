"""A peer on the simulated network, in the hands of the test: sends what it is told, keeps what it gets."""

from __future__ import annotations

from collections import deque
from contextlib import suppress
from math import inf
from typing import Protocol

import trio

from trio_sip.address import DEFAULT_PORT, Address
from trio_sip.message.framing import StreamFramer
from trio_sip.testing.delivery import Wakeup
from trio_sip.testing.simulated_stream import SimulatedListener, SimulatedStream
from trio_sip.testing.simulated_udp import SimulatedUdpPort

__all__ = ["NothingReceived", "UserAgent"]

_ACCEPTED_AT_ONCE = 16


class NothingReceived(AssertionError):  # noqa: N818
    """A user agent waited for a message in vain."""


class _Network(Protocol):
    """What a user agent needs of `SimulatedNetwork`, which makes it."""

    def bind_udp(self, address: Address, wakeup: Wakeup | None = None) -> SimulatedUdpPort: ...
    def bind_tcp(self, address: Address, wakeup: Wakeup | None = None) -> SimulatedListener: ...
    def open_stream(self, local: Address, remote: Address, wakeup: Wakeup | None = None) -> SimulatedStream: ...


class UserAgent:
    """Sends bytes and receives messages over UDP or TCP; over TCP it opens a connection where it has none."""

    def __init__(self, network: _Network, address: Address, transport: str = "udp") -> None:
        self.address = address
        self.transport = transport
        self._wakeup = Wakeup()
        self._link: _Link = (_Streams if transport == "tcp" else _Datagrams)(network, address, self._wakeup)
        self._received: deque[bytes] = deque()
        self._taken = 0

    def __repr__(self) -> str:
        return f"<UserAgent {self.transport}:{self.address}>"

    def send(self, data: bytes, to: Address | str) -> None:
        """Send `data` to an address, or to `"host:port"` or `"host"`. It is on its way when this returns."""
        self._link.send(data, _read_address(to) if isinstance(to, str) else to)

    async def receive(self, timeout: float = 32.0) -> bytes:  # noqa: ASYNC109
        """The next message, waiting up to `timeout` (virtual) seconds. Raises `NothingReceived`."""
        await trio.lowlevel.checkpoint()
        deadline = trio.current_time() + timeout
        while (message := self.receive_nowait()) is None:
            if trio.current_time() >= deadline:
                raise NothingReceived(
                    f"user agent {self.transport}:{self.address} got no message in {timeout:g} s"
                    f" (until t={deadline:.3f}); it had {self._taken} before"
                )
            await self._wakeup.wait_until(min(deadline, self._link.next_at))
        return message

    def receive_nowait(self) -> bytes | None:
        """The next message if one has arrived, else None."""
        self._received += self._link.take()
        if not self._received:
            return None
        self._taken += 1
        return self._received.popleft()

    def close(self) -> None:
        """Leave the network: what is sent here from now on is unreachable."""
        self._link.close()


class _Link(Protocol):
    """What a user agent does over one transport."""

    @property
    def next_at(self) -> float: ...
    def send(self, data: bytes, to: Address) -> None: ...
    def take(self) -> list[bytes]: ...
    def close(self) -> None: ...


class _Datagrams:
    def __init__(self, network: _Network, address: Address, wakeup: Wakeup) -> None:
        self._port = network.bind_udp(address, wakeup)

    @property
    def next_at(self) -> float:
        return self._port.inbox.next_at

    def send(self, data: bytes, to: Address) -> None:
        self._port.flow_to(to).send(data)

    def take(self) -> list[bytes]:
        return [data for data, _ in self._port.receive_nowait()]

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

    def take(self) -> list[bytes]:
        for stream, remote in self._listener.inbox.take(_ACCEPTED_AT_ONCE):
            stream.incoming.arrived = self._wakeup
            self._open[remote] = (stream, StreamFramer())
        return [message for remote in list(self._open) for message in self._take_from(remote)]

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


def _read_address(text: str) -> Address:
    host, bracket, port = text.removeprefix("[").partition("]:" if "]" in text else ":")
    return Address(host.removesuffix("]"), int(port) if bracket else DEFAULT_PORT)
