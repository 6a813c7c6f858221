"""One line a second for each thing that is worth a warning, however often it happens."""

from __future__ import annotations

from collections.abc import Hashable

import trio

__all__ = ["RateLimit"]

MAX_THINGS = 256
INTERVAL = 1.0
"""Seconds between two warnings of the same thing."""


class RateLimit:
    """Decides whether to warn; knows how often it said no since."""

    __slots__ = ("_said",)

    def __init__(self) -> None:
        self._said: dict[Hashable, list[float]] = {}

    def check(self, thing: Hashable) -> int | None:
        """None: say nothing now. A number: warn, and that many warnings of the same were held back before."""
        now = trio.current_time()
        said = self._said.get(thing)
        if said is None:
            if len(self._said) >= MAX_THINGS:
                self._said.clear()
            self._said[thing] = [now, 0]
            return 0
        if now - said[0] < INTERVAL:
            said[1] += 1
            return None
        held_back = int(said[1])
        self._said[thing] = [now, 0]
        return held_back
