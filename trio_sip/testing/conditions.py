"""How good or bad a link is: delay, loss, duplication, reordering, the longest packet."""

from __future__ import annotations

from math import inf
from typing import TypeGuard

import attrs

__all__ = ["LEAST_MTU", "Conditions"]

LEAST_MTU = 68
"""Bytes every path lets through (RFC 791 3.2)."""


def _check_seconds(_: object, field: attrs.Attribute[float], value: object) -> None:
    if not _is_number(value) or not 0 <= value < inf:
        raise ValueError(f"{field.name} is a number of seconds, 0 or more, not {value!r}")


def _check_probability(_: object, field: attrs.Attribute[float], value: object) -> None:
    if not _is_number(value) or not 0 <= value <= 1:
        raise ValueError(f"{field.name} is a probability from 0 to 1, not {value!r}")


def _check_mtu(_: object, field: attrs.Attribute[int | None], value: object) -> None:
    if value is not None and (type(value) is not int or value < LEAST_MTU):
        raise ValueError(f"{field.name} is a whole number of bytes, {LEAST_MTU} or more, or None, not {value!r}")


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


@attrs.define
class Conditions:
    """Seconds, one way; probabilities from 0 to 1; bytes. Raises `ValueError` for what is out of range.

    `jitter` is the longest extra delay. What is reordered takes up to four latencies longer. `mtu` bounds what one
    datagram may take up as an IP packet: its bytes, 8 of UDP, and 20 of IPv4 or 40 of IPv6. A longer one is lost, as
    where fragments do not get through; None is no bound. Streams know no loss and no MTU, as TCP sees to that.
    """

    latency: float = attrs.field(default=0.010, validator=_check_seconds)
    jitter: float = attrs.field(default=0.0, validator=_check_seconds)
    loss: float = attrs.field(default=0.0, validator=_check_probability)
    duplication: float = attrs.field(default=0.0, validator=_check_probability)
    reordering: float = attrs.field(default=0.0, validator=_check_probability)
    mtu: int | None = attrs.field(default=None, validator=_check_mtu)
