"""One stream connection: a flow to send over and a source of messages, over any `trio.abc.Stream`.

Two tasks work on a connection, and its owner (`ConnectionPool`) runs both: one calls `receive_many` in a
loop, the other is `run_writer`. `send` may be called from anywhere; it puts the bytes on a bounded queue
and never waits. A peer that does not read what it is sent, that begins a message and does not finish it, or
that says nothing for long loses its connection: the memory and the task it holds are worth more than its
good will.
"""

from __future__ import annotations

from collections import deque
from contextlib import suppress
from math import inf

import attrs
import trio

from trio_sip.address import Address, Flow
from trio_sip.errors import TransportError
from trio_sip.message.framing import FramingError, FramingLimits, StreamFramer

__all__ = ["RECEIVE_BYTES", "StreamConnection", "StreamLimits", "StreamStatistics"]

RECEIVE_BYTES = 65_536

_PONG = b"\r\n"


@attrs.frozen
class StreamLimits:
    """What a peer may ask of us; times in seconds, sizes in bytes.

    `idle_timeout` runs from the last byte received; it is long, as phones behind NAT register and fall
    silent. `message_timeout` runs from the first byte of a message to its last, however many pieces it
    comes in. `write_timeout` is for what was queued when a write began. `linger_timeout` bounds how long
    the peer may go on talking after we said our last, so that it can read that last.
    """

    framing: FramingLimits = attrs.Factory(FramingLimits)
    idle_timeout: float = 600.0
    message_timeout: float = 10.0
    write_timeout: float = 20.0
    linger_timeout: float = 1.0
    connect_timeout: float = 5.0
    send_queue_messages: int = 1024
    send_queue_bytes: int = 1_048_576
    connections: int = 4096
    connections_per_host: int = 256


@attrs.frozen
class StreamStatistics:
    """Messages and, where it says so, bytes of one connection."""

    received: int
    sent: int
    queued: int
    queued_bytes: int


class StreamConnection:
    """A `Flow` over one stream, and where its messages come from."""

    transport = "tcp"
    reliable = True

    def __init__(
        self, stream: trio.abc.Stream, local: Address, remote: Address, limits: StreamLimits | None = None
    ) -> None:
        self.local = local
        self.remote = remote
        self.limits = StreamLimits() if limits is None else limits
        self._stream = stream
        self._framer = StreamFramer(self.limits.framing)
        self._idle_since = trio.current_time()
        self._partial_since = inf
        self._reading = False
        self._queue: deque[bytes] = deque()
        self._queued_bytes = 0  # what is being written included
        self._queued = trio.Event()
        self._writing = trio.CancelScope()
        self._ended: str | None = None  # why nothing more can be sent
        self._received = 0
        self._sent = 0

    def __repr__(self) -> str:
        return f"<StreamConnection tcp {self.local} to {self.remote}, {self._ended or 'open'}>"

    @property
    def is_open(self) -> bool:
        """Whether `send` takes messages. A peer that is gone without a word is noticed later."""
        return self._ended is None

    @property
    def last_received(self) -> float:
        """When the peer last sent anything, in seconds of Trio's clock."""
        return self._idle_since

    def statistics(self) -> StreamStatistics:
        return StreamStatistics(
            received=self._received,
            sent=self._sent,
            queued=len(self._queue),
            queued_bytes=self._queued_bytes,
        )

    # -- sending

    def send(self, data: bytes) -> None:
        """Queue one message.

        Raises `TransportError` if the connection has ended, or ends now as its queue is full.
        """
        if self._ended is not None:
            raise TransportError(f"tcp {self.local} to {self.remote}: {self._ended}")
        limits = self.limits
        queued_bytes = self._queued_bytes + len(data)
        if len(self._queue) >= limits.send_queue_messages or queued_bytes > limits.send_queue_bytes:
            self.abort("send queue full, the peer does not read")
            raise TransportError(f"tcp {self.local} to {self.remote}: {self._ended}")
        self._queue.append(data)
        self._queued_bytes = queued_bytes
        self._sent += 1
        self._queued.set()

    def close(self) -> None:
        """Take no more messages. Those queued are still written, then `run_writer` closes the stream."""
        self._end("closed")
        self._queued.set()

    def abort(self, reason: str) -> None:
        """End the connection at once. What is queued is lost."""
        self._end(reason)
        self._queue.clear()
        self._writing.cancel()

    async def run_writer(self) -> None:
        """Write what `send` queues until the connection ends.

        Close the stream on the way out, whichever way it is.
        """
        try:
            with self._writing:
                await self._write_queue()
                await self._linger()
        finally:
            self._end("closed")
            self._queue.clear()
            await trio.aclose_forcefully(self._stream)

    async def _write_queue(self) -> None:
        while self._queue or self._ended is None:
            if not self._queue:
                self._queued = trio.Event()
                await self._queued.wait()
                continue
            batch = b"".join(self._queue)
            self._queue.clear()
            await self._write(batch)
            self._queued_bytes -= len(batch)

    async def _write(self, batch: bytes) -> None:
        try:
            with trio.fail_after(self.limits.write_timeout):
                await self._stream.send_all(batch)
        except trio.TooSlowError:
            self.abort(f"a write took longer than {self.limits.write_timeout:g} s")
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            self.abort("connection lost")

    async def _linger(self) -> None:
        # A socket closed with bytes unread resets the connection, which can cost the peer the answer just
        # written.
        if self._reading or not isinstance(self._stream, trio.abc.HalfCloseableStream):
            return
        with trio.move_on_after(self.limits.linger_timeout), suppress(trio.BrokenResourceError):
            await self._stream.send_eof()
            while await self._stream.receive_some(RECEIVE_BYTES):
                pass

    def _end(self, reason: str) -> None:
        if self._ended is None:
            self._ended = reason

    # -- receiving

    async def receive_many(self) -> list[tuple[bytes, Flow]]:
        """Wait for messages; gives all that one read completed, each with this connection. Answers pings.

        Raises `trio.EndOfChannel` when the peer closed between messages, or we did; `FramingError` when the
        stream cannot be cut any further, after the messages before the fault were given: answer it, then
        `close`; `TransportError` when the connection was lost or its peer too slow.
        """
        while True:
            batch = self._take_messages()
            self._answer_pings()
            if batch:
                self._received += len(batch)
                return batch
            await self._read()

    def _take_messages(self) -> list[tuple[bytes, Flow]]:
        batch: list[tuple[bytes, Flow]] = []
        try:
            while (message := self._framer.next_message()) is not None:
                batch.append((message, self))
        except FramingError:
            if not batch:
                raise
        self._time_partial(fresh=bool(batch))
        return batch

    def _time_partial(self, fresh: bool) -> None:
        if not self._framer.is_partial:
            self._partial_since = inf
        elif fresh or self._partial_since == inf:
            self._partial_since = self._idle_since

    def _answer_pings(self) -> None:
        if pongs := self._framer.take_pongs():
            with suppress(TransportError):  # the next read will tell, after what came before it was given
                self.send(_PONG * pongs)

    async def _read(self) -> None:
        idle = self._idle_since + self.limits.idle_timeout
        partial = self._partial_since + self.limits.message_timeout
        with trio.move_on_at(min(idle, partial)) as time_left:
            data = await self._receive_some()
        if time_left.cancelled_caught:
            self.abort("message not complete in time" if partial <= idle else "idle for too long")
            raise self._lost()
        if not data:
            if self._framer.is_partial and self.is_open:
                self.abort("closed by the peer in the middle of a message")
                raise self._lost()
            raise trio.EndOfChannel
        self._idle_since = trio.current_time()
        self._framer.feed(data)

    async def _receive_some(self) -> bytes | bytearray:
        self._reading = True
        try:
            return await self._stream.receive_some(RECEIVE_BYTES)
        except trio.BrokenResourceError as error:
            self.abort("connection lost")
            raise self._lost() from error
        except trio.ClosedResourceError as error:
            if self._ended == "closed":
                raise trio.EndOfChannel from error
            raise self._lost() from error
        finally:
            self._reading = False

    def _lost(self) -> TransportError:
        return TransportError(f"tcp {self.local} to {self.remote}: {self._ended}")
