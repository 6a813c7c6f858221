"""`SimulatedNetwork`: a network in memory, with virtual time, that can be as bad as a test needs.

    network = SimulatedNetwork(seed=1, latency=0.010, loss=0.05)
    desk = network.endpoint("10.0.0.5")
    network.link("10.0.0.1", "10.0.0.5", latency=0.3, mtu=1500)
    network.partition("10.0.0.1", "10.0.0.5")

It keeps the contracts of `trio_sip.transport.network.Network` for the server, and hands out peers for the test. Time is
Trio's, so under `trio.testing.MockClock(autojump_threshold=0)` 32 seconds pass at once. It has no tasks of its own.

For one seed, what befalls the datagrams of one link is the same at every run, whatever is sent on other links, as long
as they are sent in the same order. That order is Trio's, which shuffles tasks of one instant; `pinned_task_order` pins
it, and then the whole trace is the same at every run.
"""

from __future__ import annotations

import attrs
import trio

from trio_sip.address import Address, is_ip_address
from trio_sip.errors import TransportError
from trio_sip.identifiers import Identifiers
from trio_sip.testing.conditions import Conditions
from trio_sip.testing.endpoint import Endpoint
from trio_sip.testing.trace import Fate, TraceRecord
from trio_sip.testing.user_agent import UserAgent
from trio_sip.testing.wires import MAX_TRACE, Wires
from trio_sip.transport.destinations import why_unreachable
from trio_sip.transport.network import StreamListener, UdpPort

__all__ = ["MAX_TRACE", "Fate", "SimulatedNetwork", "TraceRecord"]


class SimulatedNetwork(Wires):
    """A `Network` for tests. The arguments after `seed` are its `Conditions`: seconds, probabilities, bytes.

    Raises `ValueError` for conditions out of range.
    """

    def __init__(
        self,
        seed: int = 1,
        latency: float = 0.010,
        jitter: float = 0.0,
        loss: float = 0.0,
        duplication: float = 0.0,
        reordering: float = 0.0,
        mtu: int | None = None,
    ) -> None:
        super().__init__(seed, Conditions(latency, jitter, loss, duplication, reordering, mtu))
        self.names: dict[str, str] = {}
        """What a host is called in diagrams: `{"10.0.0.2": "alice"}`."""
        self.identifiers = Identifiers(seed)
        self._server_hosts: dict[str, None] = {}
        self._hosts: dict[str, list[str]] = {}

    # -- for the test

    def __repr__(self) -> str:
        return f"<SimulatedNetwork seed {self.seed}, {len(self.trace)} messages sent>"

    def endpoint(self, host: str, port: int = 5060, transport: str = "udp") -> Endpoint:
        """Put a peer on the network that sends and receives bytes when the test says so."""
        return Endpoint(self, self._numbered(Address(host, port)), transport)

    def user_agent(
        self,
        host: str,
        port: int = 5060,
        transport: str = "udp",
        *,
        name: str | None = None,
        proxy: str | None = None,
    ) -> UserAgent:
        """Put a scripted user agent on the network; its requests go to `proxy` ("host:port") by default."""
        agent = UserAgent(self.endpoint(host, port, transport), host if name is None else name, proxy)
        if name is not None:
            self.names[host] = name
        return agent

    def add_host(self, name: str, *addresses: str) -> None:
        """Let `resolve(name)` give these IP addresses."""
        self._hosts[name.lower()] = list(addresses)

    def link(
        self,
        host_a: str,
        host_b: str,
        *,
        latency: float | None = None,
        jitter: float | None = None,
        loss: float | None = None,
        duplication: float | None = None,
        reordering: float | None = None,
        mtu: int | None = None,
        one_way: bool = False,
    ) -> None:
        """Give two hosts conditions of their own, both ways or only from a to b, for what is sent from now on.

        What is None is that of the network. Raises `ValueError` for what is out of range; see `Conditions`.
        """
        given = {
            "latency": latency,
            "jitter": jitter,
            "loss": loss,
            "duplication": duplication,
            "reordering": reordering,
            "mtu": mtu,
        }
        changes = {name: value for name, value in given.items() if value is not None}
        conditions = attrs.evolve(self.conditions, **changes)  # type: ignore[arg-type]
        for link in self._links.between(host_a, host_b, one_way=one_way):
            link.conditions = conditions

    def partition(self, host_a: str, host_b: str, *, one_way: bool = False) -> None:
        """Let nothing pass between two hosts any more, or only nothing from a to b.

        It is a cut at the sender's end. A datagram under way has passed it and arrives; streams stall, with what is
        under way in them, until they are healed.
        """
        for link in self._links.between(host_a, host_b, one_way=one_way):
            link.is_cut = True

    def heal(self, host_a: str | None = None, host_b: str | None = None) -> None:
        """Undo `partition`, for two hosts or for all. What the streams held back arrives."""
        if host_a is None and host_b is None:
            self._links.heal()
        elif host_a is None or host_b is None:
            raise ValueError("heal() takes two hosts, or none to heal all")
        else:
            for link in self._links.between(host_a, host_b):
                link.is_cut = False
        for stream in self._streams:
            stream.incoming.arrived.set()

    def reset_stream_after(self, host_a: str, host_b: str, nbytes: int) -> None:
        """Let the next connection between two hosts be reset once that many bytes went from a to b.

        It is the next that either of them opens to the other; each further call is for the one after it. The piece that
        crosses the point is cut there: what is before it arrives, then both ends get `trio.BrokenResourceError`. With 0
        nothing of the first piece arrives. Raises `ValueError`.
        """
        self._links.between(host_a, host_b)
        if type(nbytes) is not int or nbytes < 0:
            raise ValueError(f"nbytes is a whole number of bytes, 0 or more, not {nbytes!r}")
        self._resets[host_a, host_b].append(nbytes)

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
        local = self._numbered(Address(self.source_host(remote.host), 0))
        await self._reach(local, remote)
        if remote not in self._listeners:
            await trio.sleep(self._round_trip(local, remote))
            raise TransportError(f"tcp to {remote}: connection refused")
        stream = self.open_stream(local, remote)
        try:
            await trio.sleep(self._round_trip(local, remote))
        except BaseException:
            stream.reset()
            raise
        return stream, local

    async def resolve(self, host: str) -> list[str]:
        if is_ip_address(host):
            return [host]
        await trio.sleep(2 * self.conditions.latency)
        if addresses := self._hosts.get(host.lower()):
            return list(addresses)
        raise TransportError(f"host {host!r}: name not known; network.add_host() makes it so")

    def is_local(self, host: str) -> bool:
        return host in self._server_hosts

    def source_host(self, toward: str) -> str:
        for host in self._server_hosts:
            if (":" in host) is (":" in toward):
                return host
        raise TransportError(f"no source address toward {toward}: the server has no port of this family")
