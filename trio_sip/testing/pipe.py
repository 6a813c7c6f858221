"""One direction of a simulated connection: what is on its way in it, and how it ends.

A pipe keeps order and loses nothing. What is written while its link is cut, or under way when it is cut, waits until
the hosts are healed, as TCP would send it again.
"""

from __future__ import annotations

from collections import deque
from math import inf

import trio

from trio_sip.testing.delivery import Wakeup
from trio_sip.testing.links import Link

__all__ = ["WINDOW_BYTES", "Pipe"]

WINDOW_BYTES = 65_536


class Pipe:
    """One direction. `arrived` wakes its reader, `room` its writer."""

    def __init__(self, link: Link, arrived: Wakeup) -> None:
        self.link = link
        self.arrived = arrived
        self.room = Wakeup()
        self.breaks_at = inf  # when the writer learns that nobody reads any more
        self.left: int | None = None  # bytes until the connection is reset on the way
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
        if self.link.is_cut:
            return inf
        return self._segments[0][0] if self._segments else self._ends_at

    @property
    def is_over(self) -> bool:
        """Whether what is written now is lost: it was reset, or nobody reads."""
        return self._ends_at < inf or self.breaks_at < inf

    def write(self, data: bytes) -> float:
        """Returns when it arrives."""
        arrives_at = self._next_arrival()
        if data:
            self._segments.append((arrives_at, data))
            self._unread += len(data)
            self.arrived.set()
        return arrives_at

    def lose(self, data: bytes) -> None:
        """Take what nobody will read. It fills the window, so that who writes on has to wait, and learns it."""
        self._unread += len(data)

    def reset(self, at: float) -> None:
        """Reset on the way: the reader learns it at that time, or behind what is under way to it."""
        at = max(self._last_at, at)
        if at < self._ends_at:
            self._last_at = self._ends_at = at
            self._ends_broken = True
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
        self._segments.clear()
        self.breaks(learnt_at)

    def breaks(self, learnt_at: float) -> None:
        """Nobody reads any more."""
        self.breaks_at = min(self.breaks_at, learnt_at)
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
        self._last_at = max(self._last_at, trio.current_time() + self.link.delay())
        return self._last_at
