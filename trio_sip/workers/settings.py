"""How a worker group is set up, and what it tells of itself."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal

import attrs

__all__ = ["DEFAULT_GROUP", "GroupStatistics", "WorkerGroup"]

DEFAULT_GROUP = "default"
"""The group a router without pre-routing delegates everything to."""
MAX_WORKERS = 10_000
MAX_QUEUE = 1_000_000


_Validator = Callable[["WorkerGroup", "attrs.Attribute[Any]", Any], None]


def _between(low: float, high: float, *kinds: type) -> _Validator:
    def validate(group: WorkerGroup, attribute: attrs.Attribute[Any], value: Any) -> None:
        if type(value) not in kinds or not low <= value <= high:
            raise ValueError(f"WorkerGroup {group.name!r}: {attribute.name} must be {low:g} to {high:g}, not {value!r}")

    return validate


@attrs.frozen
class WorkerGroup:
    """A worker group as a router declares it.

    >>> WorkerGroup("registrations", workers=2, queue=512, deadline=2.0)  # doctest: +ELLIPSIS
    WorkerGroup(name='registrations', workers=2, queue=512, ordered=True, when_full='refuse', deadline=2.0, max_age=2.0)
    """

    name: str = attrs.field()
    workers: int = attrs.field(default=4, validator=_between(1, MAX_WORKERS, int))
    """Tasks: how many messages can wait for something at the same time."""
    queue: int = attrs.field(default=1024, validator=_between(1, MAX_QUEUE, int))
    """Frames that may wait."""
    ordered: bool = True
    """Frames of one Call-ID run one at a time, in arrival order."""
    when_full: Literal["refuse", "shed"] = attrs.field(default="refuse")
    """`"refuse"`: `delegate` returns False and the script decides. `"shed"`: 503, and `delegate` returns True."""
    deadline: float | None = attrs.field(
        default=None, validator=attrs.validators.optional(_between(0.001, math.inf, int, float))
    )
    """Seconds from arrival within which a message is done, or cancelled and answered 503. `max_age` holds too."""
    max_age: float = attrs.field(default=2.0, validator=_between(0.001, math.inf, int, float))
    """Seconds a frame may wait on the channel before it is shed unseen."""

    @name.validator
    def _check_name(self, attribute: attrs.Attribute[str], value: Any) -> None:
        if not isinstance(value, str) or not value or "$" in value:
            raise ValueError(f"a worker group needs a name, without '$' (that is for delegate), not {value!r}")

    @when_full.validator
    def _check_when_full(self, attribute: attrs.Attribute[str], value: str) -> None:
        if value not in ("refuse", "shed"):
            raise ValueError(f"WorkerGroup {self.name!r}: when_full is 'refuse' or 'shed', not {value!r}")


@attrs.frozen
class GroupStatistics:
    """A group at one moment; counters are since it was started."""

    name: str
    queue_length: int
    """Frames that wait."""
    queue_age: float
    """Seconds the oldest of them has waited."""
    workers: int
    busy: int
    idle: int
    relaying: int
    """Routes that wait for a final response, outside the pool."""
    delegated: int
    processed: int
    refused: int
    """Frames `delegate` returned False for."""
    shed: int
    """Frames answered 503 unseen."""
    dropped: int
    """Messages whose route dropped them."""
    failed: int
    """Messages whose route raised."""
    timed_out: int
    """Messages the deadline ended, on the channel or in a route."""
