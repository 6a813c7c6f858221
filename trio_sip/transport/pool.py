"""All stream connections, accepted and made, in one nursery; they are reused (RFC 3261 18.1.1, 18.2.2).

The pool knows nothing of messages: the server passes in `serve_connection`, which reads one connection to
its end. It may let out what `receive_many` raises; the pool takes it as the end of the connection. Anything
else it raises is a bug and ends the pool. When it returns, what is still queued is sent before the
connection is closed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable

import attrs
import trio
from trio_util import AsyncBool

from trio_sip.address import Address
from trio_sip.errors import TransportError
from trio_sip.message.framing import FramingError
from trio_sip.transport.network import Network, StreamListener
from trio_sip.transport.stream import StreamConnection, StreamLimits

__all__ = ["ConnectionPool", "PoolStatistics"]


@attrs.frozen
class PoolStatistics:
    """Connections: now, and since the pool was made.

    `refused` came in above a limit, `failed` could not be made, `lost` ended otherwise than by an orderly
    close.
    """

    open: int
    connecting: int
    accepted: int
    connected: int
    refused: int
    failed: int
    lost: int


@attrs.define
class _Connecting:
    """What everybody who wants a connection to the same remote address waits for."""

    done: trio.Event = attrs.Factory(trio.Event)
    connection: StreamConnection | None = None
    error: str = "the connection pool stopped"


class ConnectionPool:
    """Accepts, makes, shares and ends connections."""

    def __init__(
        self,
        network: Network,
        serve_connection: Callable[[StreamConnection], Awaitable[object]],
        limits: StreamLimits | None = None,
    ) -> None:
        self.limits = StreamLimits() if limits is None else limits
        self._network = network
        self._serve_connection = serve_connection
        self._nursery: trio.Nursery | None = None
        self._open: set[StreamConnection] = set()
        self._by_remote: dict[Address, StreamConnection] = {}
        self._per_host: Counter[str] = Counter()
        self._connecting: dict[Address, _Connecting] = {}
        self._is_empty = AsyncBool(True)
        self._accepted = self._connected = self._refused = self._failed = self._lost = 0

    def __repr__(self) -> str:
        return f"<ConnectionPool {len(self._open)} open, {len(self._connecting)} connecting>"

    def statistics(self) -> PoolStatistics:
        return PoolStatistics(
            open=len(self._open),
            connecting=len(self._connecting),
            accepted=self._accepted,
            connected=self._connected,
            refused=self._refused,
            failed=self._failed,
            lost=self._lost,
        )

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Own the connections until cancelled; then all of them are closed."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            try:
                task_status.started()
                await trio.sleep_forever()
            finally:
                self._nursery = None

    async def serve_listener(self, listener: StreamListener) -> None:
        """Accept connections until the listener is closed.

        Those above a limit are closed at once and counted.
        """
        while True:
            try:
                stream, remote = await listener.accept()
            except trio.ClosedResourceError:
                return
            if self._nursery is None or not self._has_room(remote.host):
                self._refused += 1
                await trio.aclose_forcefully(stream)
            else:
                self._accepted += 1
                self._adopt(self._nursery, stream, listener.local, remote)

    async def wait_empty(self, seconds: float) -> None:
        """Wait until no connection is open, `seconds` at most."""
        with trio.move_on_after(seconds):
            await self._is_empty.wait_value(True)

    def find(self, remote: Address) -> StreamConnection | None:
        """The open connection to `remote`, whoever opened it, or None."""
        connection = self._by_remote.get(remote)
        return connection if connection is not None and connection.is_open else None

    async def flow_to(self, remote: Address) -> StreamConnection:
        """An open connection to `remote`, whoever opened it, or a new one that all callers share.

        Raises `TransportError` when it cannot be made, in `connect_timeout` seconds or at all, or there are
        too many.
        """
        connection = self.find(remote)
        if connection is not None:
            return connection
        connecting = self._connecting.get(remote) or self._start_connecting(remote)
        await connecting.done.wait()
        if connecting.connection is None:
            raise TransportError(connecting.error)
        return connecting.connection

    def _has_room(self, host: str) -> bool:
        total = len(self._open) + len(self._connecting)
        return total < self.limits.connections and self._per_host[host] < self.limits.connections_per_host

    def _start_connecting(self, remote: Address) -> _Connecting:
        if self._nursery is None:
            raise TransportError(f"tcp to {remote}: the connection pool is not running")
        if len(self._open) + len(self._connecting) >= self.limits.connections:
            self._failed += 1
            raise TransportError(f"tcp to {remote}: {self.limits.connections} connections are open already")
        connecting = self._connecting[remote] = _Connecting()
        # In the pool's nursery: the caller who came first may be cancelled, and the others still want the
        # connection.
        self._nursery.start_soon(self._connect, remote, connecting, self._nursery)
        return connecting

    async def _connect(self, remote: Address, connecting: _Connecting, nursery: trio.Nursery) -> None:
        try:
            with trio.fail_after(self.limits.connect_timeout):
                stream, local = await self._network.connect_tcp(remote)
            connecting.connection = self._adopt(nursery, stream, local, remote)
            self._connected += 1
        except TransportError as error:
            self._failed += 1
            connecting.error = str(error)
        except trio.TooSlowError:
            self._failed += 1
            connecting.error = f"tcp to {remote}: not connected in {self.limits.connect_timeout:g} s"
        finally:
            del self._connecting[remote]
            connecting.done.set()

    def _adopt(
        self, nursery: trio.Nursery, stream: trio.abc.Stream, local: Address, remote: Address
    ) -> StreamConnection:
        connection = StreamConnection(stream, local, remote, self.limits)
        self._open.add(connection)
        self._is_empty.value = False
        self._per_host[remote.host] += 1
        self._by_remote[remote] = connection
        nursery.start_soon(self._serve, connection)
        return connection

    async def _serve(self, connection: StreamConnection) -> None:
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(connection.run_writer)
                try:
                    await self._serve_connection(connection)
                except trio.EndOfChannel:
                    pass
                except (TransportError, FramingError):
                    self._lost += 1
                finally:
                    connection.close()
        finally:
            self._forget(connection)

    def _forget(self, connection: StreamConnection) -> None:
        remote = connection.remote
        self._open.discard(connection)
        self._is_empty.value = not self._open
        self._per_host[remote.host] -= 1
        if not self._per_host[remote.host]:
            del self._per_host[remote.host]
        if self._by_remote.get(remote) is connection:
            del self._by_remote[remote]
