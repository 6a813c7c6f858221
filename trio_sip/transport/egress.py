"""The ways out: which of our ports or connections a message leaves by, and which addresses are ours.

Nothing here waits, but for `flow_to` towards a peer no connection is open to, and `resolve`.
"""

from __future__ import annotations

import logging

import trio

from trio_sip.address import TRANSPORTS, Address, Destination, Flow, is_ip_address
from trio_sip.errors import TransportError
from trio_sip.transport.network import Network, UdpPort
from trio_sip.transport.pool import ConnectionPool

__all__ = ["MAX_PENDING_SENDS", "Egress"]

logger = logging.getLogger("trio_sip.transport")

MAX_PENDING_SENDS = 1024
"""Messages that wait for a connection to be opened or a name to be resolved, outside any route."""
_MAX_KNOWN = 4096
_WILDCARDS = frozenset({"0.0.0.0", "::"})


class Egress:
    """The listeners of one server, seen from the sending side."""

    def __init__(self, network: Network, pool: ConnectionPool) -> None:
        self._network = network
        self._pool = pool
        self._udp: dict[Address, UdpPort] = {}
        self._tcp: list[Address] = []
        self._ours: dict[Address, bool] = {}
        self._sent_by: dict[Flow, Address] = {}
        self._udp_flows: dict[tuple[Destination, Address | None], Flow] = {}
        self._nursery: trio.Nursery | None = None
        self._pending = 0
        self.lost = 0
        """Messages that could not be sent and were nobody's to retry."""

    def add_udp(self, port: UdpPort) -> None:
        """Send from this port, too."""
        self._udp[port.local] = port

    def add_tcp(self, local: Address) -> None:
        """Name this listening address in the Via of what goes out by TCP."""
        self._tcp.append(local)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve `send_soon` until cancelled."""
        async with trio.open_nursery() as self._nursery:
            task_status.started()
            await trio.sleep_forever()

    def is_ours(self, address: Address) -> bool:
        """Whether this server listens there, so that a Via or a Route that names it is ours."""
        known = self._ours.get(address)
        if known is None:
            if len(self._ours) >= _MAX_KNOWN:
                self._ours.clear()
            known = self._ours[address] = any(self._covers(local, address) for local in (*self._udp, *self._tcp))
        return known

    def _covers(self, local: Address, address: Address) -> bool:
        if local.port != address.port:
            return False
        return local.host == address.host or (local.host in _WILDCARDS and self._network.is_local(address.host))

    def sent_by(self, flow: Flow) -> Address:
        """What our Via names when a message leaves by this flow: an address that listens and can be reached."""
        known = self._sent_by.get(flow)
        if known is None:
            if len(self._sent_by) >= _MAX_KNOWN:
                self._sent_by.clear()
            known = self._sent_by[flow] = self._find_sent_by(flow)
        return known

    def _find_sent_by(self, flow: Flow) -> Address:
        local = flow.local
        if flow.transport == "tcp":
            listening = [a for a in (*self._tcp, *self._udp) if (":" in a.host) == (":" in local.host)]
            exact = [a for a in listening if a.host == local.host]
            local = (exact or listening or [local])[0]
        if local.host in _WILDCARDS:
            return Address(self._network.source_host(flow.remote.host), local.port)
        return local

    def flow_nowait(self, to: Destination, like: Flow | None = None) -> Flow | None:
        """The flow to an IP address: UDP from the port `like` came in at where that can be, or an open connection.

        None where it takes waiting: for a name to be resolved, a connection to be opened. Raises `TransportError`.
        """
        known = self._udp_flows.get((to, None if like is None else like.local))
        return self._find_flow(to, like) if known is None else known

    def _find_flow(self, to: Destination, like: Flow | None) -> Flow | None:
        if to.transport not in TRANSPORTS:
            raise TransportError(f"transport {to.transport!r} is not supported; {' and '.join(TRANSPORTS)} are")
        if not is_ip_address(to.host):
            return None
        if to.transport == "tcp":
            return self._pool.find(to.address)
        local = None if like is None else like.local
        if len(self._udp_flows) >= _MAX_KNOWN:
            self._udp_flows.clear()
        flow = self._udp_flows[to, local] = self._udp_port(to.host, local).flow_to(to.address)
        return flow

    def _udp_port(self, host: str, local: Address | None) -> UdpPort:
        """The port to send to `host` from: the one at `local`, or another of the right family."""
        family = [port for port in self._udp.values() if (":" in port.local.host) == (":" in host)]
        if not family:
            raise TransportError(f"no UDP listener to send to {host} from")
        return next((port for port in family if port.local == local), family[0])

    async def flow_to(self, to: Destination, like: Flow | None = None) -> Flow:
        """The flow to a host, which may be a name; a connection is opened where none is. Raises `TransportError`."""
        flow = self.flow_nowait(to, like)
        if flow is None and not is_ip_address(to.host):
            to = to._replace(host=await self._resolve(to.host))
            flow = self.flow_nowait(to, like)
        return await self._pool.flow_to(to.address) if flow is None else flow

    async def _resolve(self, host: str) -> str:
        return (await self._network.resolve(host))[0]

    def is_connected(self, to: Destination) -> bool:
        """Whether a connection to that address is open."""
        return self._pool.find(to.address) is not None

    def send_soon(self, to: Destination, data: bytes, like: Flow | None = None) -> None:
        """Send without waiting: at once where a flow is there, else as soon as one is. Failures are counted."""
        try:
            flow = self.flow_nowait(to, like)
            if flow is not None:
                flow.send(data)
                return
        except TransportError as error:
            self._lose(to, error)
            return
        if self._nursery is None or self._pending >= MAX_PENDING_SENDS:
            self._lose(to, TransportError("too many messages wait for a connection"))
            return
        self._pending += 1
        self._nursery.start_soon(self._send_later, to, data, like)

    async def _send_later(self, to: Destination, data: bytes, like: Flow | None) -> None:
        try:
            (await self.flow_to(to, like)).send(data)
        except TransportError as error:
            self._lose(to, error)
        finally:
            self._pending -= 1

    def _lose(self, to: Destination, error: Exception) -> None:
        self.lost += 1
        logger.debug("a message to %s is lost: %s", to.address, error)
