"""`SimulatedNetwork`: a network in memory, with virtual time, that can be as bad as a test needs.

    network = SimulatedNetwork(seed=1, latency=0.010, loss=0.05)
    desk = network.user_agent("10.0.0.5")
    network.partition("10.0.0.1", "10.0.0.5")

It keeps the contracts of `trio_sip.transport.network.Network` for the server, and hands out user agents for
the test. Time is Trio's, so under `trio.testing.MockClock(autojump_threshold=0)` 32 seconds pass at once.
It has no tasks of its own. For one seed, losses and delays are the same at every run as long as the tasks
send in the same order.
"""

from __future__ import annotations

import random
from collections import deque
from itertools import count
from typing import Literal

import attrs
import trio

from trio_sip.address import Address, is_ip_address
from trio_sip.errors import ListenError, TransportError
from trio_sip.identifiers import Identifiers
from trio_sip.testing.conditions import Conditions
from trio_sip.testing.delivery import Wakeup
from trio_sip.testing.simulated_stream import BACKLOG, SimulatedListener, SimulatedStream, make_streams
from trio_sip.testing.simulated_udp import SimulatedUdpPort
from trio_sip.testing.user_agent import UserAgent
from trio_sip.transport.destinations import why_unreachable
from trio_sip.transport.network import StreamListener, UdpPort

__all__ = ["MAX_TRACE", "Fate", "SimulatedNetwork", "TraceRecord"]

MAX_TRACE = 100_000
"""Records kept; the oldest go first."""

_FIRST_EPHEMERAL_PORT = 49_152
_SYN_PAUSES = (1, 2, 4, 8, 16, 32, 64)

Fate = Literal["delivered", "lost", "duplicated", "partitioned", "unreachable", "overflowed", "stalled"]


@attrs.frozen
class TraceRecord:
    """One datagram, or one piece of a stream, as it was sent; `time` is the virtual time of sending.

    `duplicated`: arrives twice. `unreachable`: nobody has the port. `overflowed`: too much is under way to
    it. `stalled`: a piece of a stream that waits for the hosts to be healed.
    """

    time: float
    transport: str
    source: Address
    destination: Address
    data: bytes
    fate: Fate


class SimulatedNetwork:
    """A `Network` for tests. Delays are in virtual seconds, one way; the rest are probabilities, 0 to 1.

    `jitter` is the longest extra delay of a datagram. A reordered datagram takes up to four latencies longer.
    """

    def __init__(
        self,
        seed: int = 1,
        latency: float = 0.010,
        jitter: float = 0.0,
        loss: float = 0.0,
        duplication: float = 0.0,
        reordering: float = 0.0,
    ) -> None:
        self.identifiers = Identifiers(seed)
        self.conditions = Conditions(latency, jitter, loss, duplication, reordering, random.Random(seed))
        self._ports: dict[Address, SimulatedUdpPort] = {}
        self._listeners: dict[Address, SimulatedListener] = {}
        self._streams: dict[SimulatedStream, None] = {}  # open; a dict, for its order
        self._server_hosts: dict[str, None] = {}
        self._names: dict[str, list[str]] = {}
        self._ephemeral = count(_FIRST_EPHEMERAL_PORT)
        self._trace: deque[TraceRecord] = deque(maxlen=MAX_TRACE)

    # -- for the test

    @property
    def trace(self) -> list[TraceRecord]:
        """All that was sent so far, in the order of sending; the last `MAX_TRACE` records of it."""
        return list(self._trace)

    def user_agent(self, host: str, port: int = 5060, transport: str = "udp") -> UserAgent:
        """Put a user agent on the network, which sends and receives when the test says so."""
        return UserAgent(self, self._numbered(Address(host, port)), transport)

    def add_host(self, name: str, *addresses: str) -> None:
        """Let `resolve(name)` give these IP addresses."""
        self._names[name.lower()] = list(addresses)

    def partition(self, host_a: str, host_b: str, *, one_way: bool = False) -> None:
        """Let nothing pass between two hosts any more, or only nothing from a to b. Streams stall."""
        self.conditions.partitions.add((host_a, host_b))
        if not one_way:
            self.conditions.partitions.add((host_b, host_a))

    def heal(self, host_a: str | None = None, host_b: str | None = None) -> None:
        """Undo `partition`, for two hosts or for all. What the streams held back arrives."""
        if host_a is None or host_b is None:
            self.conditions.partitions.clear()
        else:
            self.conditions.partitions -= {(host_a, host_b), (host_b, host_a)}
        for stream in self._streams:
            stream.incoming.arrived.set()

    # -- for the server: the contracts of Network

    async def open_udp(self, address: Address) -> UdpPort:
        await trio.lowlevel.checkpoint()
        port = self.bind_udp(address)
        self._server_hosts[address.host] = None
        return port

    async def open_tcp(self, address: Address) -> StreamListener:
        await trio.lowlevel.checkpoint()
        listener = self.bind_tcp(address)
        self._server_hosts[address.host] = None
        return listener

    async def connect_tcp(self, remote: Address) -> tuple[trio.abc.Stream, Address]:
        if reason := why_unreachable(remote):
            raise TransportError(f"tcp to {remote}: {reason}")
        local = Address(self.source_host(remote.host), next(self._ephemeral))
        await self._reach(local, remote)
        if remote not in self._listeners:
            await trio.sleep(2 * self.conditions.latency)
            raise TransportError(f"tcp to {remote}: connection refused")
        stream = self.open_stream(local, remote)
        try:
            await trio.sleep(2 * self.conditions.latency)
        except BaseException:
            stream.reset()
            raise
        return stream, local

    async def resolve(self, host: str) -> list[str]:
        if is_ip_address(host):
            return [host]
        await trio.sleep(2 * self.conditions.latency)
        if addresses := self._names.get(host.lower()):
            return list(addresses)
        raise TransportError(f"host {host!r}: name not known; network.add_host() makes it so")

    def is_local(self, host: str) -> bool:
        return host in self._server_hosts

    def source_host(self, toward: str) -> str:
        for host in self._server_hosts:
            if (":" in host) is (":" in toward):
                return host
        raise TransportError(f"no source address toward {toward}: the server has no port of this family")

    # -- for the parts of the kit

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
        near, far = make_streams(local, remote, self.conditions, self._carry_segment, self._forget_stream, wakeup)
        self._streams |= {near: None, far: None}
        listener = self._listeners.get(remote)
        if self._is_apart(local, remote):
            return near
        if listener is None or len(listener.inbox) >= BACKLOG:
            far.reset()
        else:
            listener.inbox.put(trio.current_time() + self.conditions.latency, (far, local))
        return near

    def _carry_datagram(self, source: Address, destination: Address, data: bytes) -> None:
        delays = self.conditions.delays()
        port = self._ports.get(destination)
        fate: Fate = "delivered"
        if self.conditions.is_cut(source.host, destination.host):
            fate = "partitioned"
        elif port is None:
            fate = "unreachable"
        elif not delays:
            fate = "lost"
        elif not port.arrive(data, source, delays):
            fate = "overflowed"
        elif len(delays) > 1:
            fate = "duplicated"
        self._trace.append(TraceRecord(trio.current_time(), "udp", source, destination, data, fate))

    def _carry_segment(self, source: Address, destination: Address, data: bytes) -> None:
        fate: Fate = "stalled" if self.conditions.is_cut(source.host, destination.host) else "delivered"
        self._trace.append(TraceRecord(trio.current_time(), "tcp", source, destination, data, fate))

    async def _reach(self, local: Address, remote: Address) -> None:
        for pause in _SYN_PAUSES:
            if not self._is_apart(local, remote):
                return
            await trio.sleep(pause)
        raise TransportError(f"tcp to {remote}: connection timed out")

    def _is_apart(self, local: Address, remote: Address) -> bool:
        is_cut = self.conditions.is_cut
        return is_cut(local.host, remote.host) or is_cut(remote.host, local.host)

    def _bindable(self, transport: str, address: Address, taken: object) -> Address:
        local = self._numbered(address)
        if reason := why_unreachable(local):
            raise ListenError(f"cannot listen on {transport}:{address}: {reason}; a simulated port has one address")
        if local in (self._ports if transport == "udp" else self._listeners):
            raise ListenError(f"cannot listen on {transport}:{address}: address already in use")
        return local

    def _numbered(self, address: Address) -> Address:
        return address if address.port else Address(address.host, next(self._ephemeral))

    def _forget_port(self, local: Address) -> None:
        self._ports.pop(local, None)

    def _forget_listener(self, local: Address) -> None:
        self._listeners.pop(local, None)

    def _forget_stream(self, stream: SimulatedStream) -> None:
        self._streams.pop(stream, None)
