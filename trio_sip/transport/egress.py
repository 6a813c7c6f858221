"""The ways out: which of our ports or connections a message leaves by, and which addresses are ours.

Nothing here waits, but for `flow_to` towards a peer no connection is open to, and `resolve`.
"""

from __future__ import annotations

import logging

import trio

from trio_sip.address import Address, Flow, is_ip_address
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
        self._flows: dict[tuple[Address, Address | None], Flow] = {}
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

    def udp_flow(self, remote: Address, like: Flow | None = None) -> Flow:
        """A UDP flow to an IP address, from the port `like` came in at where that can be. Raises `TransportError`."""
        key = (remote, None if like is None else like.local)
        known = self._flows.get(key)
        if known is None:
            if len(self._flows) >= _MAX_KNOWN:
                self._flows.clear()
            known = self._flows[key] = self._find_udp_flow(remote, like)
        return known

    def _find_udp_flow(self, remote: Address, like: Flow | None) -> Flow:
        port = self._udp.get(like.local) if like is not None and like.transport == "udp" else None
        if port is None or (":" in port.local.host) != (":" in remote.host):
            same_family = [p for p in self._udp.values() if (":" in p.local.host) == (":" in remote.host)]
            if not same_family:
                raise TransportError(f"no UDP listener to send to {remote} from")
            port = same_family[0]
        return port.flow_to(remote)

    async def flow_to(self, transport: str, host: str, port: int, like: Flow | None = None) -> Flow:
        """The flow to a host, which may be a name. Raises `TransportError`."""
        remote = Address(host if is_ip_address(host) else await self._resolve(host), port)
        if transport == "udp":
            return self.udp_flow(remote, like)
        if transport == "tcp":
            return self._pool.find(remote) or await self._pool.flow_to(remote)
        raise TransportError(f"transport {transport!r} is not supported; udp and tcp are")

    async def _resolve(self, host: str) -> str:
        return (await self._network.resolve(host))[0]

    def is_connected(self, remote: Address) -> bool:
        """Whether a connection to that address is open."""
        return self._pool.find(remote) is not None

    def send_soon(self, transport: str, remote: Address, data: bytes, like: Flow | None = None) -> None:
        """Send to an address without waiting: at once where a flow is there, else as soon as one is.

        Failures are counted.
        """
        try:
            if is_ip_address(remote.host):
                flow = self.udp_flow(remote, like) if transport == "udp" else self._pool.find(remote)
                if flow is not None:
                    flow.send(data)
                    return
        except TransportError as error:
            self._lose(remote, error)
            return
        if self._nursery is None or self._pending >= MAX_PENDING_SENDS:
            self._lose(remote, TransportError("too many messages wait for a connection"))
            return
        self._pending += 1
        self._nursery.start_soon(self._send_later, transport, remote, data, like)

    async def _send_later(self, transport: str, remote: Address, data: bytes, like: Flow | None) -> None:
        try:
            (await self.flow_to(transport, remote.host, remote.port, like)).send(data)
        except TransportError as error:
            self._lose(remote, error)
        finally:
            self._pending -= 1

    def _lose(self, remote: Address, error: Exception) -> None:
        self.lost += 1
        logger.debug("a message to %s is lost: %s", remote, error)
