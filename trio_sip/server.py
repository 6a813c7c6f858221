"""Assembly: listeners, worker groups, connections and the router, in nurseries nested in the order of shutdown.

serve()
  services      connections, ways out, watchdog           end last
    groups      the workers of each group                 drain, then end
      listeners receive tasks                             end first
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

import attrs
import trio

from trio_sip.address import Address, ListenAddress
from trio_sip.errors import ListenError, RoutesError
from trio_sip.message.frame import Frame
from trio_sip.message.framing import FramingError
from trio_sip.routing.core import Core, RoutingStatistics
from trio_sip.routing.processing import Processing
from trio_sip.routing.pseudo_variables import expand
from trio_sip.routing.router import Router
from trio_sip.transport.egress import Egress
from trio_sip.transport.network import Network, StreamListener, UdpPort, UdpStatistics
from trio_sip.transport.pool import ConnectionPool, PoolStatistics
from trio_sip.transport.sockets import SocketNetwork
from trio_sip.transport.stream import StreamConnection
from trio_sip.workers.group import Group
from trio_sip.workers.reception import Reception, ReceptionStatistics
from trio_sip.workers.settings import DEFAULT_GROUP, GroupStatistics
from trio_sip.workers.slot import Watch
from trio_sip.workers.watchdog import Watchdog

__all__ = ["DEFAULT_GRACE", "Listener", "Server", "ServerStatistics", "serve"]

DEFAULT_GRACE = 5.0
"""Seconds `shutdown` leaves the messages in work to end by themselves."""
HALF_CLOSED_SECONDS = 0.5
"""Seconds after its last message that a peer which sends no more can be answered over its connection."""
FLUSH_SECONDS = 1.0
"""Seconds connections get to write out what was sent last."""


@attrs.frozen
class Listener:
    """One address the server listens on, with the port it really has."""

    transport: str
    address: Address
    statistics: UdpStatistics | None = None
    """Of a UDP port, in `Server.statistics`."""

    def __str__(self) -> str:
        return f"{self.transport}:{self.address}"


@attrs.frozen
class ServerStatistics:
    """A snapshot; counters are since the server was started."""

    listeners: tuple[Listener, ...]
    reception: ReceptionStatistics
    routing: RoutingStatistics
    groups: Mapping[str, GroupStatistics]
    connections: PoolStatistics
    lost: int
    """Messages that could not be sent and were nobody's to retry."""
    stalls: int
    """How often the event loop stood still."""


class Server:
    """A running server: what `serve` hands out by `task_status`."""

    def __init__(self, router: Router, network: Network, watchdog: float | None) -> None:
        router.check()
        watch = Watch()
        self._pool = ConnectionPool(network, self._serve_connection)
        self._egress = Egress(network, self._pool)
        self._core = Core(self._egress, network.identifiers)
        self._processing = Processing(router, self._core)
        self._groups = {group.name: Group(group, self._processing, watch) for group in router.groups_to_run()}
        self._reception = Reception(
            self._groups,
            self._processing,
            router.routes.pre or _delegate_to_default,
            expand=expand,
            in_place_deadline=router.in_place_deadline,
            watch=watch,
        )
        self._network = network
        self._watchdog = None if watchdog is None else Watchdog(watch, watchdog)
        self._udp: list[UdpPort] = []
        self._tcp: list[StreamListener] = []
        self._reading: set[trio.CancelScope] = set()
        self._services: trio.Nursery | None = None  # while it runs; every task of the server is below it or beside it
        self._stop = trio.Event()
        self._drained = trio.Event()
        self._grace_ends = trio.CancelScope()

    @property
    def listeners(self) -> tuple[Listener, ...]:
        """Where it listens: UDP first, each in the order of `listen`."""
        return (
            *(Listener("udp", port.local) for port in self._udp),
            *(Listener("tcp", listener.local) for listener in self._tcp),
        )

    @property
    def groups(self) -> Mapping[str, Group]:
        """The running worker groups by name. They can be resized: `server.groups["default"].resize(8)`."""
        return MappingProxyType(self._groups)

    def statistics(self) -> ServerStatistics:
        """A snapshot of everything that is counted."""
        return ServerStatistics(
            listeners=(
                *(Listener("udp", port.local, port.statistics()) for port in self._udp),
                *(Listener("tcp", listener.local) for listener in self._tcp),
            ),
            reception=attrs.evolve(self._reception.counted),
            routing=attrs.evolve(self._core.counted),
            groups={name: group.statistics() for name, group in self._groups.items()},
            connections=self._pool.statistics(),
            lost=self._egress.lost,
            stalls=0 if self._watchdog is None else self._watchdog.stalls,
        )

    def shutdown(self, grace: float = DEFAULT_GRACE) -> None:
        """Begin to stop, and return: receive no more, finish what is in work, cancel after `grace` seconds what is not.

        `serve` returns when all of it has ended. A second call may shorten the grace.
        """
        self._stop.set()
        self._grace_ends.deadline = min(self._grace_ends.deadline, trio.current_time() + grace)

    def __repr__(self) -> str:
        return f"<Server {', '.join(map(str, self.listeners))}; groups {', '.join(self._groups) or 'none'}>"

    async def run(self, listen: Iterable[str], task_status: trio.TaskStatus[Server]) -> None:
        """Listen, and serve until `shutdown` or cancellation."""
        addresses = [ListenAddress.parse(text) for text in listen]
        if not addresses:
            raise ListenError("nothing to listen on; give at least one address, as in listen=['udp:127.0.0.1:5060']")
        try:
            await self._open(addresses)
            async with trio.open_nursery() as services:
                self._services = services
                await services.start(self._pool.run)
                await services.start(self._egress.run)
                if self._watchdog is not None:
                    services.start_soon(self._watchdog.run)
                for port in self._udp:
                    services.start_soon(port.run_outbox)
                await self._run_groups(task_status)
                self._drained.set()
                await self._pool.wait_empty(FLUSH_SECONDS)
                services.cancel_scope.cancel()
        finally:
            self._services = None
            for port in self._udp:
                port.close()
            for listener in self._tcp:
                listener.close()

    async def _open(self, addresses: list[ListenAddress]) -> None:
        for transport, address in addresses:
            if transport == "udp":
                port = await self._network.open_udp(address)
                self._udp.append(port)
                self._egress.add_udp(port)
            else:
                listener = await self._network.open_tcp(address)
                self._tcp.append(listener)
                self._egress.add_tcp(listener.local)

    async def _run_groups(self, task_status: trio.TaskStatus[Server]) -> None:
        with self._grace_ends:
            async with trio.open_nursery() as groups:
                for group in self._groups.values():
                    await groups.start(group.run)
                await self._receive(task_status)
                for group in self._groups.values():
                    group.close()

    async def _receive(self, task_status: trio.TaskStatus[Server]) -> None:
        async with trio.open_nursery() as listeners:
            for port in self._udp:
                listeners.start_soon(self._reception.receive, port, name=f"receive udp:{port.local}")
            for listener in self._tcp:
                listeners.start_soon(self._pool.serve_listener, listener, name=f"accept tcp:{listener.local}")
            task_status.started(self)
            await self._stop.wait()
            for scope in self._reading:
                scope.cancel()
            listeners.cancel_scope.cancel()

    async def _serve_connection(self, connection: StreamConnection) -> None:
        """Receive from one connection until it ends; once the server receives no more, keep it for the last answers."""
        scope = trio.CancelScope()
        if self._stop.is_set():
            scope.cancel()
        self._reading.add(scope)
        try:
            with scope:
                await self._reception.receive(connection)
        except trio.EndOfChannel:
            # A peer that has closed its half may still wait for the answer to what it sent last.
            with trio.move_on_at(connection.last_received + HALF_CLOSED_SECONDS):
                await self._drained.wait()
            raise
        except FramingError as error:
            if error.data is not None:
                self._processing.refuse_stream(
                    Frame(error.data, connection, trio.current_time(), self._reception), error
                )
            with trio.move_on_after(FLUSH_SECONDS):  # what came before the fault is answered over this connection
                await self._drained.wait()
        finally:
            self._reading.discard(scope)
        if scope.cancelled_caught:
            await self._drained.wait()


def _delegate_to_default(frame: Frame) -> None:
    frame.delegate(DEFAULT_GROUP)


async def serve(
    router: Router,
    *,
    listen: Iterable[str],
    network: Network | None = None,
    watchdog: float | None = 0.25,
    task_status: trio.TaskStatus[Server] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve a router until `Server.shutdown` is called, or until cancelled; in the manner of `trio.serve_tcp`.

    `listen` holds addresses such as `"udp:0.0.0.0:5060"`, `"tcp:[::1]:0"`. `network` is where they are: the system's
    sockets, or a `trio_sip.testing.SimulatedNetwork`. `watchdog` is how many seconds the event loop may stand still
    before the line that holds it is logged; None does not watch. `task_status` is given the `Server` when it listens.

    Raises `ListenError` where it cannot listen, `RoutesError` where the router has no route.
    """
    if not isinstance(router, Router):
        raise RoutesError(f"serve needs a trio_sip.Router, not {router!r}")
    server = Server(router, SocketNetwork() if network is None else network, watchdog)
    await server.run(listen, task_status)
