"""What befalls things under way: delay, loss, duplication, reordering, partition. The same for the same seed.

Every datagram draws the same number of random numbers, in the order of sending, so that a test which turns
loss off sees the delays it saw before.
"""

from __future__ import annotations

import random

import attrs

__all__ = ["Conditions"]

_REORDERED_BY = 4.0  # latencies, at most
_LEAST_REORDERING = 0.001


@attrs.define
class Conditions:
    """Seconds, and probabilities from 0 to 1. `partitions` holds (from, to) pairs of hosts."""

    latency: float
    jitter: float
    loss: float
    duplication: float
    reordering: float
    random: random.Random
    partitions: set[tuple[str, str]] = attrs.Factory(set)

    def delay(self) -> float:
        """For one segment of a stream, which the stream then puts in order."""
        return self.latency + self.jitter * self.random.random()

    def delays(self) -> list[float]:
        """One for each copy of a datagram that will arrive: none if it is lost, two if it is duplicated."""
        lost, duplicated, late, later = (self.random.random() for _ in range(4))
        if lost < self.loss:
            return []
        delay = self.latency + self.jitter * late
        if later < self.reordering:
            delay += _REORDERED_BY * max(self.latency, _LEAST_REORDERING) * (later / self.reordering)
        return [delay] if duplicated >= self.duplication else [delay, delay + self.delay()]

    def is_cut(self, source: str, destination: str) -> bool:
        """Whether nothing gets from host `source` to host `destination`."""
        return (source, destination) in self.partitions
