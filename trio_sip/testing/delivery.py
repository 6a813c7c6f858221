"""Things on their way: what was sent, with the virtual time at which it is there.

Nobody carries anything. The sender computes the time of arrival, the receiver sleeps until then, and a
`Wakeup` tells a sleeping receiver that the earliest arrival may have changed.
"""

from __future__ import annotations

from heapq import heappop, heappush
from itertools import count
from math import inf
from typing import Generic, TypeVar

import trio

__all__ = ["MAX_IN_FLIGHT", "Inbox", "Wakeup"]

MAX_IN_FLIGHT = 65_536

T = TypeVar("T")


class Wakeup:
    """An event that can happen again and again."""

    __slots__ = ("_event",)

    def __init__(self) -> None:
        self._event: trio.Event | None = None  # made by who waits: most wake-ups find nobody

    def set(self) -> None:
        """Wake everybody who waits now."""
        if self._event is not None:
            self._event.set()
            self._event = None

    async def wait_until(self, deadline: float) -> None:
        """Sleep until woken, or until `deadline`."""
        if self._event is None:
            self._event = trio.Event()
        with trio.move_on_at(deadline):
            await self._event.wait()


class Inbox(Generic[T]):
    """What is on its way to one receiver, earliest first.

    In the order of sending where the times are equal.
    """

    __slots__ = ("_arrivals", "_order", "wakeup")

    def __init__(self, wakeup: Wakeup | None = None) -> None:
        self.wakeup = Wakeup() if wakeup is None else wakeup
        self._arrivals: list[tuple[float, int, T]] = []
        self._order = count()

    def __len__(self) -> int:
        return len(self._arrivals)

    @property
    def next_at(self) -> float:
        """When the earliest arrives; infinity if nothing is under way."""
        return self._arrivals[0][0] if self._arrivals else inf

    def put(self, arrives_at: float, thing: T) -> bool:
        """Put a thing on its way. False, and it is gone, if `MAX_IN_FLIGHT` are."""
        if len(self._arrivals) >= MAX_IN_FLIGHT:
            return False
        if arrives_at < self.next_at:  # who waits already wakes in time for any other
            self.wakeup.set()
        heappush(self._arrivals, (arrives_at, next(self._order), thing))
        return True

    def take(self, limit: int) -> list[T]:
        """What has arrived, at most `limit` things."""
        now = trio.current_time()
        taken: list[T] = []
        while self._arrivals and len(taken) < limit and self._arrivals[0][0] <= now:
            taken.append(heappop(self._arrivals)[2])
        return taken

    async def wait(self) -> None:
        """Sleep until something may have arrived, or somebody sets the wakeup."""
        await self.wakeup.wait_until(self.next_at)
