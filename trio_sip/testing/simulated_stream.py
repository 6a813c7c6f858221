"""Stream connections of the simulated network: two pipes, each with a delay and a window, and listeners.

A connection can be reset on the way, by neither of its ends, once so many bytes went in one direction. The bytes
before that point arrive. The reader meets the reset behind them, and the writer one way back later; what either
writes in the meantime is lost.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from operator import index

import trio

from trio_sip.address import Address
from trio_sip.testing.delivery import Inbox, Wakeup
from trio_sip.testing.links import Links
from trio_sip.testing.pipe import WINDOW_BYTES, Pipe
from trio_sip.testing.trace import Fate

__all__ = ["BACKLOG", "WINDOW_BYTES", "SimulatedListener", "SimulatedStream", "make_streams"]

BACKLOG = 128
_RECEIVE_BYTES = 65_536


class SimulatedStream(trio.abc.HalfCloseableStream):
    """One end of a connection. `on_write` is told of all data, for the trace; `on_close` of the end."""

    def __init__(
        self,
        incoming: Pipe,
        outgoing: Pipe,
        on_write: Callable[[bytes, Fate, tuple[float, ...]], None],
        on_close: Callable[[SimulatedStream], None],
    ) -> None:
        self.incoming = incoming
        self._outgoing = outgoing
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
        self._on_write(data, *self._write(data))

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

    def reset_after(self, nbytes: int) -> None:
        """Let the connection be reset on the way once this end has written that many bytes more."""
        self._outgoing.left = nbytes

    def _write(self, data: bytes) -> tuple[Fate, tuple[float, ...]]:
        """What becomes of a piece, and when it arrives."""
        outgoing = self._outgoing
        if outgoing.is_over:
            outgoing.lose(data)
            return "reset", ()
        if outgoing.left is not None:
            if len(data) >= outgoing.left:
                return "reset", self._break(data[: outgoing.left], data[outgoing.left :])
            outgoing.left -= len(data)
        arrives_at = outgoing.write(data)
        return ("stalled", ()) if outgoing.link.is_cut else ("delivered", (arrives_at,))

    def _break(self, last: bytes, rest: bytes) -> tuple[float, ...]:
        """Reset the connection on the way, between these bytes."""
        there_at = self._outgoing.write(last)
        self._outgoing.lose(rest)
        back_at = there_at + self.incoming.link.delay()
        self._outgoing.reset(there_at)
        self.incoming.reset(back_at)
        self._outgoing.breaks(learnt_at=back_at)
        self.incoming.breaks(learnt_at=there_at)
        return (there_at,) if last and not self._outgoing.link.is_cut else ()

    def _close(self, *, broken: bool) -> None:
        if not self._is_closed:
            self._is_closed = True
            self._on_close(self)
            self._outgoing.end(broken=broken)
            self.incoming.leave(learnt_at=trio.current_time() + self._outgoing.link.conditions.latency)
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


Carrier = Callable[[Address, Address, bytes, Fate, tuple[float, ...]], None]
"""Takes source, destination and data of a piece, its fate, and when it arrives."""


def make_streams(
    local: Address,
    remote: Address,
    links: Links,
    carry: Carrier,
    on_close: Callable[[SimulatedStream], None],
    wakeup: Wakeup | None = None,
) -> tuple[SimulatedStream, SimulatedStream]:
    """Both ends of a connection from `local` to `remote`; `wakeup` is for who reads at the local end."""
    there = Pipe(links[local.host, remote.host], Wakeup())
    back = Pipe(links[remote.host, local.host], Wakeup() if wakeup is None else wakeup)
    near = SimulatedStream(back, there, partial(carry, local, remote), on_close)
    far = SimulatedStream(there, back, partial(carry, remote, local), on_close)
    return near, far
