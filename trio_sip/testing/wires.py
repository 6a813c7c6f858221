"""The wires of a simulated network: anybody's ports, listeners and connections, what they carry, and the trace of it.

They know nothing of servers or tests; `SimulatedNetwork` gives them to both.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterator
from itertools import cycle

import trio

from trio_sip.address import Address
from trio_sip.errors import ListenError, TransportError
from trio_sip.testing.conditions import Conditions
from trio_sip.testing.delivery import Wakeup
from trio_sip.testing.links import Links
from trio_sip.testing.simulated_stream import BACKLOG, SimulatedListener, SimulatedStream, make_streams
from trio_sip.testing.simulated_udp import SimulatedUdpPort
from trio_sip.testing.trace import Fate, TraceRecord
from trio_sip.transport.destinations import why_unreachable

__all__ = ["MAX_TRACE", "Wires"]

MAX_TRACE = 100_000
"""Records kept; the oldest go first."""

_EPHEMERAL_PORTS = range(49_152, 65_536)
_SYN_PAUSES = (1, 2, 4, 8, 16, 32, 64)


class Wires:
    """What connects everybody. It has no tasks: what is sent is put where it will be found in time."""

    def __init__(self, seed: int, conditions: Conditions) -> None:
        self.seed = seed
        """What all that is random here is drawn from."""
        self.conditions = conditions
        """Those of every link `link` did not name."""
        self._links = Links(seed, conditions)
        self._resets: defaultdict[tuple[str, str], deque[int]] = defaultdict(deque)
        self._ports: dict[Address, SimulatedUdpPort] = {}
        self._listeners: dict[Address, SimulatedListener] = {}
        self._streams: dict[SimulatedStream, None] = {}  # open; a dict, for its order
        self._ephemeral: defaultdict[str, Iterator[int]] = defaultdict(lambda: cycle(_EPHEMERAL_PORTS))
        self._trace: deque[TraceRecord] = deque(maxlen=MAX_TRACE)

    @property
    def trace(self) -> list[TraceRecord]:
        """All that was sent so far, in the order of sending; the last `MAX_TRACE` records of it."""
        return list(self._trace)

    def bind_udp(self, address: Address, wakeup: Wakeup | None = None) -> SimulatedUdpPort:
        """Bind a port of anybody's. Raises `ListenError`."""
        local = self._bindable("udp", address, self._ports)
        port = SimulatedUdpPort(local, self._carry_datagram, lambda port: self._forget_port(port.local), wakeup)
        self._ports[local] = port
        return port

    def bind_tcp(self, address: Address, wakeup: Wakeup | None = None) -> SimulatedListener:
        """Listen on a port of anybody's. Raises `ListenError`."""
        local = self._bindable("tcp", address, self._listeners)
        listener = SimulatedListener(local, lambda gone: self._forget_listener(gone.local), wakeup)
        self._listeners[local] = listener
        return listener

    def open_stream(self, local: Address, remote: Address, wakeup: Wakeup | None = None) -> SimulatedStream:
        """The near end of a new connection, at once.

        It is reset if nobody listens, and mute across a partition.
        """
        local = self._numbered(local)
        near, far = make_streams(local, remote, self._links, self._carry_segment, self._forget_stream, wakeup)
        self._streams |= {near: None, far: None}
        listener = self._listeners.get(remote)
        if self._is_apart(local, remote):
            return near
        if listener is None or len(listener.inbox) >= BACKLOG:
            far.reset()
        else:
            self._arm(near, local.host, remote.host)
            self._arm(far, remote.host, local.host)
            latency = self._links[local.host, remote.host].conditions.latency
            listener.inbox.put(trio.current_time() + latency, (far, local))
        return near

    def _carry_datagram(self, source: Address, destination: Address, data: bytes) -> None:
        fate, arrivals = self._send_datagram(source, destination, data)
        self._trace.append(TraceRecord(trio.current_time(), "udp", source, destination, data, fate, arrivals))

    def _send_datagram(self, source: Address, destination: Address, data: bytes) -> tuple[Fate, tuple[float, ...]]:
        port = self._ports.get(destination)
        if port is None:
            return ("partitioned" if self._links.is_cut(source.host, destination.host) else "unreachable"), ()
        link = self._links[source.host, destination.host]
        delays = link.delays()
        if link.is_cut:
            return "partitioned", ()
        if not link.takes(len(data)):
            return "too_big", ()
        if not delays:
            return "lost", ()
        arrivals = port.arrive(data, source, delays)
        if len(arrivals) < len(delays):
            return "overflowed", arrivals
        return ("duplicated" if len(delays) > 1 else "delivered"), arrivals

    def _carry_segment(
        self, source: Address, destination: Address, data: bytes, fate: Fate, arrivals: tuple[float, ...]
    ) -> None:
        self._trace.append(TraceRecord(trio.current_time(), "tcp", source, destination, data, fate, arrivals))

    def _arm(self, stream: SimulatedStream, source: str, destination: str) -> None:
        if resets := self._resets.get((source, destination)):
            stream.reset_after(resets.popleft())

    def _round_trip(self, local: Address, remote: Address) -> float:
        there, back = self._links.between(local.host, remote.host)
        return there.conditions.latency + back.conditions.latency

    async def _reach(self, local: Address, remote: Address) -> None:
        for pause in _SYN_PAUSES:
            if not self._is_apart(local, remote):
                return
            await trio.sleep(pause)
        raise TransportError(f"tcp to {remote}: connection timed out")

    def _is_apart(self, local: Address, remote: Address) -> bool:
        is_cut = self._links.is_cut
        return is_cut(local.host, remote.host) or is_cut(remote.host, local.host)

    def _bindable(self, transport: str, address: Address, taken: object) -> Address:
        local = self._numbered(address)
        if reason := why_unreachable(local):
            raise ListenError(f"cannot listen on {transport}:{address}: {reason}; a simulated port has one address")
        if local in (self._ports if transport == "udp" else self._listeners):
            raise ListenError(f"cannot listen on {transport}:{address}: address already in use")
        return local

    def _numbered(self, address: Address) -> Address:
        return address if address.port else Address(address.host, next(self._ephemeral[address.host]))

    def _forget_port(self, local: Address) -> None:
        self._ports.pop(local, None)

    def _forget_listener(self, local: Address) -> None:
        self._listeners.pop(local, None)

    def _forget_stream(self, stream: SimulatedStream) -> None:
        self._streams.pop(stream, None)
