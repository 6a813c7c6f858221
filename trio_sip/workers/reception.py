"""The receive task: takes what one port or connection has received, runs pre-routing on each frame, and delegates it or
processes it in place.

There is one `Reception` for all receive tasks of a server; it is what a `Frame` asks to be delegated, dropped or shed.
Processing in place is for quick answers, and must not hold up a port. So a receive task whose route begins to wait is
replaced, as another task goes on receiving; the route is cancelled after `in_place_deadline` seconds, and at once where
`MAX_WAITING_IN_PLACE` wait already.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine, Iterator, Mapping
from typing import Any, NoReturn, Protocol

import attrs
import trio

from trio_sip.address import Flow
from trio_sip.errors import LocalProtocolError
from trio_sip.message.frame import Dropped, Frame
from trio_sip.message.parse import skip_empty_lines
from trio_sip.workers.group import Group
from trio_sip.workers.handler import Handler, Job
from trio_sip.workers.rate_limit import RateLimit
from trio_sip.workers.slot import Slot, Watch

__all__ = ["MAX_WAITING_IN_PLACE", "Reception", "ReceptionStatistics", "Source"]

MAX_WAITING_IN_PLACE = 64
"""Routes of one server that may wait in place at the same time; one more is cancelled and answered 503 at once."""

logger = logging.getLogger("trio_sip.workers")
routes_logger = logging.getLogger("trio_sip.routes")

_HERE = "; processing continues in the receive task"

Received = list[tuple[bytes, Flow]]


class Source(Protocol):
    """A UDP port or a stream connection, to receive from."""

    async def receive_many(self) -> Received:
        """Wait for messages; returns at least one, with the flow back to its sender."""


@attrs.define
class ReceptionStatistics:
    """What the receive tasks have done since the server was started."""

    received: int = 0
    keep_alives: int = 0
    """Datagrams that are no message and want none: empty lines, NULs, STUN."""
    delegated: int = 0
    in_place: int = 0
    dropped: int = 0
    shed: int = 0
    failed: int = 0
    timed_out: int = 0


class _Inlet:
    """One source, what was received from it and not looked at yet, and how it ended."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self.batch: Iterator[tuple[bytes, Flow]] = iter(())
        self.size = 0
        self.now = 0.0
        self.ended: Exception | None = None

    async def fill(self) -> bool:
        """Wait for the next batch; False when the source has ended."""
        try:
            received = await self._source.receive_many()
        except Exception as error:  # for whoever called `receive`: this task may be one of many
            self.ended = error
            return False
        self.now = trio.current_time()
        self.batch = iter(received)
        self.size = len(received)
        return True


class Reception:
    """What all receive tasks of a server share."""

    def __init__(
        self,
        groups: Mapping[str, Group],
        handler: Handler,
        pre_routing: Callable[[Frame], None],
        *,
        expand: Callable[[Frame, str], str],
        in_place_deadline: float,
        watch: Watch,
    ) -> None:
        self._groups = groups
        self._handler = handler
        self._pre_routing = pre_routing
        self._expand = expand
        self._in_place_deadline = in_place_deadline
        self._watch = watch
        self._warnings = RateLimit()
        self._waiting = 0
        self.counted = ReceptionStatistics()

    async def receive(self, source: Source) -> None:
        """Receive from `source` until it raises; then that is raised, when the routes that wait in place have ended."""
        inlet = _Inlet(source)
        try:
            async with trio.open_nursery() as nursery:
                await self._receive_from(inlet, nursery)
        finally:
            for data, flow in inlet.batch:  # cancelled in the midst of them
                self.counted.shed += 1
                self._handler.shed(Frame(data, flow, inlet.now, self))
        if inlet.ended is not None:
            raise inlet.ended

    async def _receive_from(self, inlet: _Inlet, nursery: trio.Nursery) -> None:
        """Receive until a route begins to wait: then another task goes on, and this one stays with the route."""
        slot = Slot(self, None, self._watch)
        is_replaced = False

        async def work() -> None:
            nonlocal is_replaced
            while not is_replaced:  # where the route was cancelled, this is called once more
                for data, flow in inlet.batch:
                    waiting = self._take(Frame(data, flow, inlet.now, self), slot)
                    if waiting is not None:
                        is_replaced = True
                        nursery.start_soon(self._receive_from, inlet, nursery)
                        await waiting
                        return
                self._watch.job = None
                if not await inlet.fill():
                    return
                self.counted.received += inlet.size

        await slot.serve(work)

    def _take(self, frame: Frame, slot: Slot) -> Coroutine[Any, Any, None] | None:
        """Pre-route one frame, and process it here unless it is done. Returns what has to be awaited, if anything."""
        if frame._data[:1] < b"!" and not self._is_message(frame):
            self.counted.keep_alives += 1
            return None
        self._watch.job = slot.message = frame
        try:
            self._pre_routing(frame)
        except Dropped:
            pass
        except Exception as error:
            self._pre_routing_failed(frame, error)
        if frame._done:
            return None
        frame._done = True
        self.counted.in_place += 1
        job = self._handler.open(frame, slot)
        return None if job is None else slot.begin(job)

    def _is_message(self, frame: Frame) -> bool:
        """Whether anything follows the empty lines this frame starts with."""
        frame._data = skip_empty_lines(frame._data)
        return frame._data[:1] >= b"!"

    def _pre_routing_failed(self, frame: Frame, error: Exception) -> None:
        self.counted.failed += 1
        if not frame._done:
            frame._done = True
            self._handler.pre_routing_failed(frame, error)
        else:
            logger.error(
                "pre-routing raised on %r, Call-ID %s, after it was done with it",
                frame, frame.call_id, exc_info=error,
            )  # fmt: skip

    # What a frame can ask for

    def delegate(self, frame: Frame, name: str, xdata: object) -> bool:
        """See `Frame.delegate`."""
        if frame._done:
            self._refuse(name, "the frame was delegated, dropped or processed before")
            return False
        group = self._groups.get(name)
        if group is None:
            if "$" in name:
                name = self._expand(frame, name)
                group = self._groups.get(name)
            if group is None:
                there_are = ", ".join(self._groups) or "none at all"
                self._refuse(
                    name, f"there is no such group, only {there_are}; declare it in Router(groups=[...])", _HERE
                )
                return False
        frame._xdata = xdata
        refused = group.offer(frame)
        if refused is None:
            frame._done = True
            self.counted.delegated += 1
            return True
        self._refuse(name, f"it is {refused}", _HERE)
        return False

    def drop(self, frame: Frame) -> NoReturn:
        """See `Frame.drop`."""
        self._check_pre_routing(frame, "drop")
        if not frame._done:
            frame._done = True
            self.counted.dropped += 1
        raise Dropped

    def shed(self, frame: Frame) -> NoReturn:
        """See `Frame.shed`."""
        self._check_pre_routing(frame, "shed")
        if not frame._done:
            frame._done = True
            self.counted.shed += 1
            self._handler.shed(frame)
        raise Dropped

    def log(self, frame: Frame, text: str) -> None:
        """See `Frame.log`."""
        if routes_logger.isEnabledFor(logging.INFO):
            routes_logger.info("%s", self._expand(frame, text))

    def _check_pre_routing(self, frame: Frame, what: str) -> None:
        if self._watch.job is not frame:
            raise LocalProtocolError(
                f"frame.{what}() is for pre-routing; a route says await request.drop(), or request.reply(503)"
            )

    def _refuse(self, name: str, why: str, so: str = "") -> None:
        suppressed = self._warnings.check((name, why))
        if suppressed is not None:
            more = f" ({suppressed} more like this)" if suppressed else ""
            logger.warning("not delegated to group %r: %s%s%s", name, why, so, more)

    # Processing in place: this is the owner of the receive tasks' slots

    def waits(self, slot: Slot, job: Job) -> float:
        self._waiting += 1
        now = trio.current_time()
        return now if self._waiting > MAX_WAITING_IN_PLACE else now + self._in_place_deadline

    def goes_on(self, slot: Slot, job: Job) -> None:
        self._waiting -= 1

    def count_failed(self) -> None:
        self.counted.failed += 1

    def count_timed_out(self) -> None:
        self.counted.timed_out += 1

    def count_dropped(self) -> None:
        self.counted.dropped += 1
