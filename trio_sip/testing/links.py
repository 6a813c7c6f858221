"""Links: for each pair of hosts and direction, its conditions, its own random numbers, and whether it is cut.

A link's random numbers come from the seed and its two hosts alone. So what happens on one link does not depend on what
is sent on others, nor on when. Every datagram to a port that is there draws the same number of them, whatever the
conditions are: a test that turns loss off sees the delays it saw before.
"""

from __future__ import annotations

import random

from trio_sip.address import is_ip_address
from trio_sip.testing.conditions import Conditions

__all__ = ["Link", "Links"]

_REORDERED_BY = 4.0  # latencies, at most
_LEAST_REORDERING = 0.001
_UDP_HEADER = 8
_IPV4_HEADER = 20
_IPV6_HEADER = 40


class Link:
    """The way from one host to another."""

    __slots__ = ("_headers", "_random", "conditions", "is_cut")

    def __init__(self, seed: int, source: str, destination: str, conditions: Conditions) -> None:
        self.conditions = conditions
        self.is_cut = False
        self._random = random.Random(f"{seed} {source} {destination}")
        self._headers = _UDP_HEADER + (_IPV6_HEADER if ":" in destination else _IPV4_HEADER)

    def delay(self) -> float:
        """For one piece of a stream, which the stream then puts in order."""
        return self.conditions.latency + self.conditions.jitter * self._random.random()

    def delays(self) -> list[float]:
        """One for each copy of a datagram that will arrive: none if it is lost, two if it is duplicated."""
        conditions, draw = self.conditions, self._random.random
        lost, duplicated, late, later, second = draw(), draw(), draw(), draw(), draw()
        if lost < conditions.loss:
            return []
        delay = conditions.latency + conditions.jitter * late
        if later < conditions.reordering:
            delay += _REORDERED_BY * max(conditions.latency, _LEAST_REORDERING) * (later / conditions.reordering)
        if duplicated >= conditions.duplication:
            return [delay]
        return [delay, delay + conditions.latency + conditions.jitter * second]

    def takes(self, payload: int) -> bool:
        """Whether a datagram of that many bytes is within the MTU."""
        mtu = self.conditions.mtu
        return mtu is None or payload + self._headers <= mtu


class Links:
    """All links of a network, made as they are needed: `links["10.0.0.1", "10.0.0.2"]` is one direction.

    A link nobody spoke of has the conditions of the network.
    """

    def __init__(self, seed: int, conditions: Conditions) -> None:
        self._seed = seed
        self._conditions = conditions
        self._links: dict[tuple[str, str], Link] = {}

    def __getitem__(self, hosts: tuple[str, str]) -> Link:
        link = self._links.get(hosts)
        if link is None:
            link = self._links[hosts] = Link(self._seed, *hosts, self._conditions)
        return link

    def between(self, host_a: str, host_b: str, *, one_way: bool = False) -> list[Link]:
        """Both directions, or only that from a to b. Raises `ValueError` for what is not an IP address."""
        _check_host("host_a", host_a)
        _check_host("host_b", host_b)
        return [self[host_a, host_b]] if one_way else [self[host_a, host_b], self[host_b, host_a]]

    def is_cut(self, source: str, destination: str) -> bool:
        """Whether nothing gets from host `source` to host `destination`."""
        link = self._links.get((source, destination))
        return link is not None and link.is_cut

    def heal(self) -> None:
        """Nothing is cut any more."""
        for link in self._links.values():
            link.is_cut = False


def _check_host(argument: str, host: object) -> None:
    if not isinstance(host, str) or not is_ip_address(host):
        raise ValueError(f"{argument} is a host's IP address without a port, as in '10.0.0.2', not {host!r}")
