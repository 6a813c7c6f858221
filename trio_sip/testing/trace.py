"""The trace: what was sent on the simulated network, when, and what became of it."""

from __future__ import annotations

from typing import Literal

import attrs

from trio_sip.address import Address

__all__ = ["Fate", "TraceRecord"]

Fate = Literal[
    "delivered",
    "lost",
    "duplicated",
    "partitioned",
    "unreachable",
    "overflowed",
    "stalled",
    "too_big",
    "reset",
]


@attrs.frozen
class TraceRecord:
    """One datagram, or one piece of a stream, as it was sent.

    `time` is the virtual time of sending, and `arrivals` are the times at which its copies arrive: none where it is
    lost. Both are settled when it is sent. A piece of a stream that is cut off on its way arrives later than it says
    here, and a port closed in the meantime lets nothing arrive.

    Fates, beside the plain ones. `duplicated`: arrives twice. `partitioned`: the hosts were cut off. `unreachable`:
    nobody had the port. `overflowed`: too much was under way to it. `too_big`: longer than the link's MTU.
    `stalled`: a piece of a stream that waits until the hosts are healed. `reset`: a piece of a stream that met the
    reset of its connection; what of it went before the point of `reset_stream_after` arrives.
    """

    time: float
    transport: str
    source: Address
    destination: Address
    data: bytes
    fate: Fate
    arrivals: tuple[float, ...] = ()
