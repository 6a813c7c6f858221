"""Stream connections of the simulated network: two pipes, each with a delay and a window.

A pipe keeps order and loses nothing. What is sent while the hosts are partitioned, or under way when they
are cut, waits until they are healed, as TCP would send it again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import inf
from operator import index

import trio

from trio_sip.address import Address
from trio_sip.testing.conditions import Conditions
from trio_sip.testing.delivery import Inbox, Wakeup

__all__ = ["BACKLOG", "WINDOW_BYTES", "Pipe", "SimulatedListener", "SimulatedStream", "make_streams"]

BACKLOG = 128
WINDOW_BYTES = 65_536
_RECEIVE_BYTES = 65_536


class Pipe:
    """One direction. `arrived` wakes its reader, `room` its writer."""

    def __init__(self, source: str, destination: str, conditions: Conditions, arrived: Wakeup) -> None:
        self.arrived = arrived
        self.room = Wakeup()
        self.breaks_at = inf  # when the writer learns that nobody reads any more
        self._source = source
        self._destination = destination
        self._conditions = conditions
        self._segments: deque[tuple[float, bytes]] = deque()
        self._unread = 0
        self._last_at = -inf
        self._ends_at = inf
        self._ends_broken = False

    @property
    def has_room(self) -> bool:
        return self._unread < WINDOW_BYTES

    @property
    def next_at(self) -> float:
        """When the reader can next expect something."""
        if self._conditions.is_cut(self._source, self._destination):
            return inf
        return self._segments[0][0] if self._segments else self._ends_at

    def write(self, data: bytes) -> None:
        self._segments.append((self._next_arrival(), data))
        self._unread += len(data)
        self.arrived.set()

    def end(self, *, broken: bool) -> None:
        """Nothing more will be written: end of file, or a reset, which overtakes what was not read."""
        if self._ends_at == inf:
            if broken:
                self._segments.clear()
            self._ends_at = self._next_arrival()
            self._ends_broken = broken
            self.arrived.set()

    def leave(self, *, learnt_at: float) -> None:
        """The reader is gone; the writer learns it at `learnt_at`."""
        self.breaks_at = learnt_at
        self._segments.clear()
        self.room.set()

    def read(self, limit: int) -> bytes | None:
        """What has arrived.

        `b""` at the end, None if there is nothing yet. Raises `trio.BrokenResourceError`.
        """
        if self.next_at > trio.current_time():
            return None
        if not self._segments:
            if self._ends_broken:
                raise trio.BrokenResourceError("connection reset by the peer")
            return b""
        data = self._take(limit)
        self._unread -= len(data)
        self.room.set()
        return data

    def _take(self, limit: int) -> bytes:
        now, taken = trio.current_time(), bytearray()
        while self._segments and self._segments[0][0] <= now and len(taken) < limit:
            at, segment = self._segments.popleft()
            room = limit - len(taken)
            taken += segment[:room]
            if len(segment) > room:
                self._segments.appendleft((at, segment[room:]))
        return bytes(taken)

    def _next_arrival(self) -> float:
        self._last_at = max(self._last_at, trio.current_time() + self._conditions.delay())
        return self._last_at


class SimulatedStream(trio.abc.HalfCloseableStream):
    """One end of a connection. `on_write` is told of all data, for the trace; `on_close` of the end."""

    def __init__(
        self,
        incoming: Pipe,
        outgoing: Pipe,
        conditions: Conditions,
        on_write: Callable[[bytes], None],
        on_close: Callable[[SimulatedStream], None],
    ) -> None:
        self.incoming = incoming
        self._outgoing = outgoing
        self._conditions = conditions
        self._on_write = on_write
        self._on_close = on_close
        self._is_closed = False
        self._sent_eof = False
        self._busy: set[str] = set()

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        with self._alone("sending"), memoryview(data) as view:
            await self._wait_room()
            for start in range(0, len(view), WINDOW_BYTES):
                await self._wait_room()
                self.send_nowait(bytes(view[start : start + WINDOW_BYTES]))

    async def wait_send_all_might_not_block(self) -> None:
        with self._alone("sending"):
            await self._wait_room()

    def send_nowait(self, data: bytes) -> None:
        """Write without regard to the window, as a user agent may."""
        self._check_writable()
        self._on_write(data)
        self._outgoing.write(data)

    async def send_eof(self) -> None:
        with self._alone("sending"):
            await trio.lowlevel.checkpoint()
            if self._is_closed:
                raise trio.ClosedResourceError("this stream was closed")
            self._sent_eof = True
            self._outgoing.end(broken=False)

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        with self._alone("receiving"):
            await trio.lowlevel.checkpoint()
            while (data := self.receive_nowait(max_bytes)) is None:
                await self.incoming.arrived.wait_until(self.incoming.next_at)
            return data

    def receive_nowait(self, max_bytes: int | None = None) -> bytes | None:
        """As `receive_some`; None if nothing has arrived."""
        if self._is_closed:
            raise trio.ClosedResourceError("this stream was closed")
        limit = _RECEIVE_BYTES if max_bytes is None else index(max_bytes)
        if limit < 1:
            raise ValueError("max_bytes must be positive")
        return self.incoming.read(limit)

    async def aclose(self) -> None:
        self._close(broken=False)
        await trio.lowlevel.checkpoint()

    def reset(self) -> None:
        """Close the hard way: the peer gets `trio.BrokenResourceError`, and what it has not read is lost."""
        self._close(broken=True)

    def _close(self, *, broken: bool) -> None:
        if not self._is_closed:
            self._is_closed = True
            self._on_close(self)
            self._outgoing.end(broken=broken)
            self.incoming.leave(learnt_at=trio.current_time() + self._conditions.latency)
            self.incoming.arrived.set()
            self._outgoing.room.set()

    @contextmanager
    def _alone(self, doing: str) -> Iterator[None]:
        if doing in self._busy:
            raise trio.BusyResourceError(f"another task is {doing}")
        self._busy.add(doing)
        try:
            yield
        finally:
            self._busy.remove(doing)

    async def _wait_room(self) -> None:
        await trio.lowlevel.checkpoint()
        self._check_writable()
        while not self._outgoing.has_room:
            await self._outgoing.room.wait_until(self._outgoing.breaks_at)
            self._check_writable()

    def _check_writable(self) -> None:
        if self._is_closed or self._sent_eof:
            raise trio.ClosedResourceError("this stream was closed")
        if trio.current_time() >= self._outgoing.breaks_at:
            raise trio.BrokenResourceError("the peer has closed the connection")


class SimulatedListener:
    """A `StreamListener`."""

    def __init__(
        self, local: Address, on_close: Callable[[SimulatedListener], None], wakeup: Wakeup | None = None
    ) -> None:
        self.local = local
        self.inbox: Inbox[tuple[SimulatedStream, Address]] = Inbox(wakeup)
        self._on_close = on_close
        self._is_closed = False

    def __repr__(self) -> str:
        return f"<SimulatedListener {self.local}>"

    async def accept(self) -> tuple[trio.abc.Stream, Address]:
        await trio.lowlevel.checkpoint()
        while not self._is_closed:
            if accepted := self.inbox.take(1):
                return accepted[0]
            await self.inbox.wait()
        raise trio.ClosedResourceError("this listener was closed")

    def close(self) -> None:
        if not self._is_closed:
            self._is_closed = True
            self._on_close(self)
            self.inbox.wakeup.set()


def make_streams(
    local: Address,
    remote: Address,
    conditions: Conditions,
    carry: Callable[[Address, Address, bytes], None],
    on_close: Callable[[SimulatedStream], None],
    wakeup: Wakeup | None = None,
) -> tuple[SimulatedStream, SimulatedStream]:
    """Both ends of a connection from `local` to `remote`; `wakeup` is for who reads at the local end."""
    there = Pipe(local.host, remote.host, conditions, Wakeup())
    back = Pipe(remote.host, local.host, conditions, Wakeup() if wakeup is None else wakeup)
    near = SimulatedStream(back, there, conditions, lambda data: carry(local, remote, data), on_close)
    far = SimulatedStream(there, back, conditions, lambda data: carry(remote, local, data), on_close)
    return near, far
